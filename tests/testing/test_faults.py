"""Faults as data, at work on messages and frames, and what is expected of a run under them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc import backends
from jmpc.errors import ConfigError, DeadlineError, FrameError, PartyError, PeerError
from jmpc.runtime.failure import Place
from jmpc.testing import faulty
from jmpc.testing.faults.expect import aborts, recovers, unexplained
from jmpc.testing.faults.injection import Acted, Injection
from jmpc.testing.faults.plan import ENDS, KINDS, ON_LINKS, ON_WIRES, FaultPlan
from jmpc.testing.faults.strategies import fault_plans
from jmpc.testing.faulty import FaultyProcesses, FaultyThreads, UnderFaults, faulty_parties

X = np.array([1.5, -2.0, 3.0, 0.0], np.float32)
relu = jmpc.secure(lambda x: jax.nn.relu(x) * 2)
DEADLINES_S = {"local": 0.4, "processes": 4.0}  # between threads, time passes only while all of them wait
PLANS = (
    "drop:0-1@1",
    "repeat:1-0@1",
    "reorder:2-1@1",
    "flip:0-1@0:3",
    "truncate:1-0@2:9",
    "splice:2-0@1",
    "close:0-2@1",
)


def right(result: object) -> bool:
    return np.allclose(np.asarray(result), np.maximum(X, 0) * 2, atol=2**-10)


@pytest.fixture(scope="module", params=["local", "processes"])
def parties(request: pytest.FixtureRequest) -> Iterator[FaultyThreads | FaultyProcesses]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", "")
        with faulty_parties(request.param, DEADLINES_S[request.param]) as made:
            assert right(relu(X))
            yield made


# --- plans


@given(fault_plans(KINDS, most=3))
def test_a_plan_is_its_text(plan: FaultPlan) -> None:
    assert FaultPlan.parse(str(plan)) == plan
    assert FaultPlan.of(str(plan)) == FaultPlan.of(plan) == plan


@given(fault_plans(KINDS, most=3, parties=5))
def test_parties_may_be_any_number(plan: FaultPlan) -> None:
    assert FaultPlan.parse(str(plan)) == plan
    assert all(f.sender < 5 and f.receiver < 5 for f in plan.faults)
    assert FaultPlan.of(3, parties=2).faults[0].way in ("0-1", "1-0")


@given(st.integers(0, 2**64))
def test_a_seed_is_one_fault_that_can_be_written_down(seed: int) -> None:
    plan = FaultPlan.of(seed)
    assert plan == FaultPlan.of(str(seed)) == FaultPlan.parse(str(plan))
    assert len(plan.faults) == 1


def test_seeds_reach_every_kind_and_way() -> None:
    found = [FaultPlan.of(seed).faults[0] for seed in range(300)]
    assert {f.kind for f in found} == set(ON_LINKS) == set(ENDS) - {*ON_WIRES, "kill", "corrupt"}
    assert len({(f.sender, f.receiver) for f in found}) == 6
    assert {f.round_no for f in found} == set(range(6))


@pytest.mark.parametrize(
    "text",
    [
        "drop",
        "drop:0-1",
        "lose:0-1@2",
        "drop:0-0@1",
        "drop:0-16@1",
        "drop:0-1@-1",
        "drop:0-1@1:5",
        "flip:0-1@1:x",
        "kill:0-1@1",
        "kill:16@1",
        "drop:1@1",
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FaultPlan.of(text)
    assert caught.value.todo


# --- at work


@pytest.mark.parametrize("plan", PLANS)
def test_a_fault_ends_the_run_and_the_next_one_works(parties: FaultyThreads | FaultyProcesses, plan: str) -> None:
    with parties.inject(plan) as injection, aborts(under=injection) as ended:
        relu(X)
    assert isinstance(ended.error, ENDS[plan.partition(":")[0]])
    assert tuple(one.fault for one in injection.acted) == FaultPlan.of(plan).faults
    assert right(recovers(relu, X))


@pytest.mark.parametrize("plan", ["replay:0-1@1", "reflect:2-1@1"])
def test_a_fault_of_frames_is_one_between_processes(parties: FaultyThreads | FaultyProcesses, plan: str) -> None:
    if parties.name == "local":
        with pytest.raises(ConfigError, match="threads"), parties.inject(plan):
            pass
        return
    with parties.inject(plan) as injection, aborts(under=injection):
        relu(X)
    assert right(recovers(relu, X))


def test_a_short_delay_is_waited_for_and_a_long_one_is_not(parties: FaultyThreads | FaultyProcesses) -> None:
    with parties.inject("delay:0-1@1:20") as injection:
        assert right(relu(X))
    assert len(injection.acted) == 1
    with parties.inject(f"delay:0-1@1:{int(2000 * parties.deadline_s)}"), aborts(DeadlineError):
        relu(X)
    assert right(recovers(relu, X))


def test_two_faults_act_in_one_session(parties: FaultyThreads | FaultyProcesses) -> None:
    with (
        parties.inject("delay:2-1@0:1,flip:2-1@1:400") as injection,
        aborts(FrameError, party=1, peer=2, under=injection),
    ):
        relu(X)
    assert [one.fault.kind for one in injection.acted] == ["delay", "flip"]
    assert right(recovers(relu, X))


def test_a_fault_that_never_acts_fails_the_test(parties: FaultyThreads | FaultyProcesses) -> None:
    """And says in which rounds it could have; what was written down for a whole test session too, but no plan that was
    drawn."""
    with (
        pytest.raises(AssertionError, match=r"drop:0-1@99 met no message: messages went that way in rounds \d"),
        parties.inject("drop:0-1@99"),
    ):
        assert right(relu(X))
    plan = FaultPlan.of("drop:0-1@99")
    with backends.use(UnderFaults(parties, lambda: plan, must_act=True)), pytest.raises(AssertionError, match="met no"):
        relu(X)
    with backends.use(UnderFaults(parties, lambda: plan)):
        assert right(relu(X))
    with parties.inject(plan, must_act=False) as injection:
        assert right(relu(X))
    assert injection.acted == []


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_a_party_is_killed_and_the_next_run_works(executor: str) -> None:
    """No deadline has to pass for it; processes that are started anew need time on a busy machine, and get it."""
    with faulty_parties(executor, 100.0) as made:
        assert right(relu(X))
        with made.inject("kill:1@1") as injection, aborts(PeerError, under=injection) as ended:
            relu(X)
        assert ended.error is not None
        assert 1 in (ended.error.party, ended.error.peer)
        assert ended.error.phase == "run"
        assert [str(one.fault) for one in injection.acted] == ["kill:1@1"]
        assert right(recovers(relu, X))


def test_an_error_says_under_which_fault_and_where_it_acted(parties: FaultyThreads | FaultyProcesses) -> None:
    """What is asked for in a round in which nothing goes that way acts in a later one."""
    with parties.inject("delay:0-1@0:1", must_act=False) as injection:
        relu(X)
    rounds = injection.met[0, 1]
    gap = next((n for n in range(max(rounds)) if n not in rounds), None)
    if gap is None:
        gap = min(rounds)
    acts = min(n for n in rounds if n >= gap)
    with parties.inject(f"flip:0-1@{gap}:3") as injection, aborts(FrameError, under=injection) as ended:
        relu(X)
    (note,) = [n for n in ended.error.__notes__ if n.startswith("under the fault")]  # type: ignore[union-attr]
    assert note.startswith(f"under the fault flip:0-1@{gap}:3")
    assert (f"acted in round {acts}" in note) == (acts != gap)
    assert ended.error is not None
    assert (ended.error.party, ended.error.peer, ended.error.round) == (1, 0, acts)
    assert right(recovers(relu, X))


def test_where_a_fault_acted_is_said() -> None:
    (fault,) = FaultPlan.of("drop:0-1@3").faults
    assert str(Acted(fault, 3)) == "drop:0-1@3"
    assert "which acted in round 5" in str(Acted(fault, 5))


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_thread_that_is_killed_says_nothing(killed: int) -> None:
    """In whichever round: the others miss it, or else who drives them does."""
    made = FaultyThreads(DEADLINES_S["local"])
    with backends.use(made):
        with made.inject(f"kill:{killed}@99", must_act=False) as injection:
            relu(X)
        rounds = sorted(set().union(*(met for way, met in injection.met.items() if way[0] == killed)))
        for round_no in rounds:
            with made.inject(f"kill:{killed}@{round_no}"), pytest.raises(PeerError) as caught:
                relu(X)
            assert killed in (caught.value.party, caught.value.peer)
    assert rounds


@settings(max_examples=12)
@given(plan=fault_plans())
def test_no_plan_gives_a_wrong_result_or_hangs(parties: FaultyThreads | FaultyProcesses, plan: FaultPlan) -> None:
    runs = iter([plan])
    backend = UnderFaults(parties, lambda: next(runs, FaultPlan()))
    with backends.use(backend):
        assert right(relu(X))


# --- what is expected


def error(
    kind: type[PartyError], party: int, peer: int, round_no: int | None, phase: str = "run", what: str = "x"
) -> PartyError:
    return kind(what, where=Place(party=party, phase=phase, round_no=round_no, peer=f"party {peer}"))


@pytest.mark.parametrize(
    ("raised", "wanted", "word"),
    [
        (None, {}, "without an error"),
        (PartyError("x"), {}, "names no party"),
        (error(FrameError, 1, 0, None), {}, "names no round"),
        (error(FrameError, 1, 0, 3), {"party": 0}, "party 1, not 0"),
        (error(FrameError, 1, 0, 3), {"peer": 2}, "peer 0, not 2"),
        (error(FrameError, 1, 0, 3), {"round_no": 4}, "round 3, not 4"),
        (error(DeadlineError, 1, 0, 3), {"kinds": (FrameError, PeerError)}, "not with FrameError or PeerError"),
        (error(FrameError, 1, 0, 3), {"under": Injection()}, "no fault met"),
    ],
)
def test_another_end_than_the_expected_one_is_an_assertion(raised: PartyError | None, wanted: dict, word: str) -> None:
    def block() -> None:
        with aborts(*wanted.get("kinds", ()), **{key: value for key, value in wanted.items() if key != "kinds"}):
            if raised:
                raise raised

    with pytest.raises(AssertionError, match=word):
        block()


def test_the_expected_end_is_handed_out_and_other_exceptions_pass() -> None:
    with aborts(FrameError, party=1, peer=0, round_no=3) as ended:
        raise error(FrameError, 1, 0, 3)
    assert isinstance(ended.error, FrameError)
    with aborts(FrameError, party=1):
        raise error(FrameError, 1, 0, None, "handshake")
    with pytest.raises(ZeroDivisionError), aborts():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("plan", "met", "raised", "word"),
    [
        ("flip:0-1@3:1", 3, error(FrameError, 1, 0, 3), ""),
        ("flip:0-1@3:1", 4, error(FrameError, 1, 0, 4), ""),
        ("flip:0-1@3:1", 3, error(FrameError, 1, 0, 4), "seen in that round"),
        ("flip:0-1@3:1", 3, error(FrameError, 0, 1, 3), "for party 1 to name"),
        ("flip:0-1@3:1", 3, error(FrameError, 1, 0, 2), "cannot be seen before"),
        ("flip:0-1@3:1", 3, error(FrameError, 1, 0, None), "happens in a round"),
        ("flip:0-1@3:1", 3, error(DeadlineError, 1, 0, 3), "does not end in DeadlineError"),
        ("drop:0-1@3", 3, error(DeadlineError, 2, 0, 5), ""),
        ("drop:0-1@3", 3, error(FrameError, 1, 0, 3), ""),
        ("drop:0-1@3", 3, error(FrameError, 1, 0, 5), "seen in that round"),
        ("repeat:0-1@3", 3, error(FrameError, 1, 0, 5), ""),
        ("reflect:0-1@3", 3, error(FrameError, 0, 1, 4), ""),
        ("reflect:0-1@3", 3, error(FrameError, 1, 0, 3), ""),
        ("reflect:0-1@3", 3, error(FrameError, 2, 0, 3), "for its two ends to name"),
        ("replay:0-1@3", 3, error(FrameError, 1, 0, 3), ""),
        ("repeat:0-1@3", 3, error(FrameError, 1, 0, 0, what="a frame has a wrong session and round"), ""),
        ("repeat:0-1@3", 3, error(FrameError, 1, 0, 0), "cannot be seen before"),
        ("close:0-1@3", 3, error(PeerError, 0, 1, 2), ""),
        ("close:0-1@3", 3, error(PeerError, 0, 1, 1), "cannot be seen before"),
        ("close:0-1@3", 3, error(PeerError, 0, 2, 3), "for its two ends"),
    ],
)
def test_a_fault_explains_its_own_errors_and_no_others(plan: str, met: int, raised: PartyError, word: str) -> None:
    (fault,) = FaultPlan.of(plan).faults
    why = unexplained(raised, [Acted(fault, met)])
    assert word in why
    assert bool(why) == bool(word)


def test_recovery_allows_one_refused_frame_of_another_session() -> None:
    def fails(*errors: PartyError) -> Callable[[], str]:
        left = list(errors)

        def call() -> str:
            if left:
                raise left.pop(0)
            return "result"

        return call

    stale = error(FrameError, 1, 0, 0, what="a frame has a wrong session and sequence")
    assert recovers(fails()) == recovers(fails(stale)) == "result"
    for errors, word in (
        ((error(FrameError, 1, 0, 2),), "the next run aborted"),
        ((error(PeerError, 1, 0, 2),), "the next run aborted"),
        ((stale, stale), "after the next one"),
    ):
        with pytest.raises(AssertionError, match=word):
            recovers(fails(*errors))


class Broken(FaultyThreads):
    """Parties that hide their errors."""

    def run(self, flow, fed):
        try:
            return super().run(flow, fed)
        except PartyError:
            return super().run(flow, fed)


class Late(FaultyThreads):
    """Parties that blame another round."""

    def run(self, flow, fed):
        try:
            return super().run(flow, fed)
        except FrameError as refused:
            raise FrameError(refused.what, where=Place(party=1, phase="run", round_no=0, peer="party 0")) from refused


@pytest.mark.parametrize(("kind", "word"), [(Late, "cannot be seen before"), (Broken, "without an error")])
def test_parties_that_hide_or_misplace_a_fault_are_found(kind: type[FaultyThreads], word: str) -> None:
    backend = UnderFaults(kind(DEADLINES_S["local"]), lambda: FaultPlan.of("flip:0-1@1:5"))
    with backends.use(backend), pytest.raises(AssertionError, match=word):
        relu(X)


def test_a_run_that_hangs_is_an_assertion(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(faulty, "HANGS_S", 0.1)
    monkeypatch.setattr(FaultyThreads, "execute", lambda *_: release.wait())
    with faulty_parties(deadline_s=0.01), pytest.raises(AssertionError, match="hangs"):
        relu(X)
    release.set()


def test_the_mesh_sends_no_messages() -> None:
    with pytest.raises(ConfigError, match="no faults on the executor 'mesh'"), faulty_parties("mesh"):
        pass
