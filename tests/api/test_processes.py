"""Secure functions in three processes: results, handles, and parties that fail, die, stall or are interrupted."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc import backends
from jmpc.client import asking
from jmpc.client.processes import ProcessBackend
from jmpc.errors import (
    ArgumentError,
    ConfigError,
    DeadlineError,
    FrameError,
    LaunchError,
    NotStoredError,
    PartyError,
    PeerError,
    RangeError,
)
from tests.frontend.oracle import assert_same
from tests.runtime.helpers import gone, until

ROOT = Path(__file__).parents[2]
MODULES = str(ROOT / "tests" / "daemon")
DEADLINE_S = 60.0  # nobody waits for it
HASTY_S = 4.0  # where a party is stopped, and the others wait for it to pass


class Faults:
    """What party_faults.py reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def at(self, party: int, round_no: int, how: str) -> Generator[None]:
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"party": party, "round": round_no, "how": how}))
        part.rename(self.path)
        try:
            yield
        finally:
            self.path.unlink(missing_ok=True)

    def held(self) -> bool:
        return all(Path(f"{self.path}.held.{party}").exists() for party in range(3))


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    return Faults(tmp_path_factory.mktemp("faults") / "fault")


@contextmanager
def block(faults: Faults, deadline_s: float) -> Generator[ProcessBackend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", "")
        patch.syspath_prepend(MODULES)
        given = {"FAULT": str(faults.path)}
        with jmpc.processes(deadline_s=deadline_s, modules=["party_faults"], environment=given) as backend:
            yield backend


@pytest.fixture(scope="module")
def parties(faults: Faults) -> Iterator[ProcessBackend]:
    """For all tests here; each leaves it usable, which is itself under test."""
    with block(faults, DEADLINE_S) as backend:
        pids = backend.cluster.pids
        yield backend
        pids += backend.cluster.pids
    assert gone(pids)


double = jmpc.secure(lambda x: jax.nn.relu(x) * 2)
keep = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)
open_it = jmpc.secure(lambda h: h * 2)


def works(x: np.ndarray) -> None:
    assert_same(double(x), jax.nn.relu(x) * 2)


def stored(backend: ProcessBackend) -> set[str]:
    """The names of all values at the parties, which have the same."""
    with backend.pool.bundle() as bundle:
        (found,) = {
            frozenset(row[0] for row in said["entries"])
            for said in asking.ask(bundle, "values", {"after": ""}, "listed")
        }
    return set(found)


def test_results_are_those_of_this_process(parties: ProcessBackend, x: np.ndarray) -> None:
    works(x)
    assert double.last_run is not None
    predicted = double.lower(x).cost()
    assert (double.last_run.rounds, double.last_run.bytes_sent) == (predicted.rounds, predicted.bytes_sent)
    assert double.last_run.executor == "processes"


def test_large_arrays_cross(parties: ProcessBackend) -> None:
    big = np.arange(400_000, dtype=np.float32) / 400_000
    assert_same(jmpc.secure(lambda x: x + 1)(big), big + 1)


def test_handles_stay_with_the_parties(parties: ProcessBackend, x: np.ndarray) -> None:
    gc.collect()
    works(x)
    handle = keep(x)
    assert_same(open_it(handle), (jnp.asarray(x) + 1) * 2)
    assert len(stored(parties)) == 1
    del handle
    gc.collect()
    assert len(stored(parties)) == 1  # the collector tells nobody: the next call does
    works(x)
    assert not stored(parties)


def test_several_learn_a_result_that_one_program_computes(parties: ProcessBackend, x: np.ndarray) -> None:
    both = jmpc.secure(lambda x: (double(x), x > 0), outputs=(["alice", "bob"], jmpc.SECRET), owners=["alice", "bob"])
    told, kept = both(x)
    assert_same(told, jax.nn.relu(x) * 2)
    assert_same(jmpc.secure(lambda b: ~b)(kept), jnp.asarray(x) <= 0)


def test_named_owners_and_receivers_are_all_here(parties: ProcessBackend, x: np.ndarray) -> None:
    """Whatever each of them does first, and a public value; no party is told a name."""
    function = jmpc.secure(
        lambda a, b, w: (jnp.maximum(jnp.sin(a) - b / 2, 0) * w, a > b),
        inputs={"a": "alice", "b": "bob"},
        public="w",
        outputs=("carol", "bob"),
        owners=["alice", "bob", "carol"],
    )
    w = np.float32(2.0)
    assert_same(function(x, x[::-1], w), (jnp.maximum(jnp.sin(x) - x[::-1] / 2, 0) * w, x > x[::-1]))


def test_a_handle_elsewhere_is_refused(parties: ProcessBackend, x: np.ndarray) -> None:
    there = keep(x)
    with backends.use(backends.LOCAL):
        here = keep(x)
        with pytest.raises(ArgumentError, match="where its shares are not"):
            open_it(there)
    with pytest.raises(ArgumentError, match="where its shares are not"):
        open_it(here)


def test_nothing_is_stored_under_a_name(parties: ProcessBackend) -> None:
    with pytest.raises(NotStoredError, match="'rows'"):
        jmpc.stored("rows")


def test_programs_that_the_parties_let_go_of_are_sent_again(parties: ProcessBackend, x: np.ndarray) -> None:
    """As where more programs came after it than a party keeps: then nothing of its hash is loaded."""
    thrice = jmpc.secure(lambda x: x * 3)
    flow = thrice.lower(x).flow
    parties._hashes[flow] = "ab" * 32
    compiled = thrice.lower(x).compile()
    parties._hashes[compiled.lowered.flow] = "ab" * 32
    assert_same(compiled(x), jnp.asarray(x) * 3)


def test_bad_input_is_refused_before_it_is_shared(parties: ProcessBackend, x: np.ndarray) -> None:
    with pytest.raises(RangeError, match="x: 6 of 6"):
        double(x * np.nan)
    works(x)


def test_check_mode_is_for_this_process(parties: ProcessBackend, x: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="this process only"):
        jmpc.secure(lambda x: x + 1, config=jmpc.Config(check=True))(x)


@pytest.mark.parametrize(
    ("how", "kind", "word"),
    [("raise", PartyError, "ValueError"), ("wrong", FrameError, "length"), ("round", FrameError, "round")],
)
def test_a_party_that_fails_ends_the_session_at_all_and_no_process(
    parties: ProcessBackend, faults: Faults, x: np.ndarray, how: str, kind: type[PartyError], word: str
) -> None:
    """And what the parties hold stays."""
    handle = keep(x)
    pids = parties.cluster.pids
    with faults.at(1, 1, how), pytest.raises(kind, match=word) as caught:
        double(x)
    assert "phase run, round" in str(caught.value)
    assert sorted(parties.cluster.reports) == [0, 1, 2]
    for party, report in parties.cluster.reports.items():
        assert isinstance(report, PartyError)
        assert f"party {party}, phase run, round" in str(report)
        assert "987654321" not in str(report)
    works(x)
    assert_same(open_it(handle), (jnp.asarray(x) + 1) * 2)
    assert parties.cluster.pids == pids


@pytest.mark.parametrize("party", [0, 1, 2])
def test_a_party_that_is_killed_in_a_run_is_named_and_the_next_call_works(
    parties: ProcessBackend, faults: Faults, x: np.ndarray, party: int
) -> None:
    works(x)
    handle, pids = keep(x), parties.cluster.pids
    with faults.at(party, 1, "kill"), pytest.raises(PeerError, match=f"party {party} was lost") as caught:
        double(x)
    assert f"party {party}, phase run, round" in str(caught.value)
    assert "SIGKILL" in str(caught.value)
    assert sorted(parties.cluster.reports) == [0, 1, 2]
    assert all(isinstance(report, PartyError) for report in parties.cluster.reports.values())
    works(x)
    assert gone(pids)
    assert not set(pids) & set(parties.cluster.pids)
    with pytest.raises(ArgumentError, match="is lost"):
        open_it(handle)


def test_a_party_killed_between_calls_is_replaced(parties: ProcessBackend, x: np.ndarray) -> None:
    pids = parties.cluster.pids
    os.kill(pids[2], signal.SIGKILL)
    os.waitid(os.P_PID, pids[2], os.WEXITED | os.WNOWAIT)
    works(x)
    assert gone(pids)


@pytest.fixture
def can_be_interrupted() -> Iterator[None]:
    """Ctrl-C is heard. What a shell starts in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("can_be_interrupted")
def test_an_interrupted_call_leaves_parties_that_work(parties: ProcessBackend, faults: Faults, x: np.ndarray) -> None:
    """The signal comes when all three are in a round, and this process waits for them; what they hold stays."""
    works(x)
    handle, pids = keep(x), parties.cluster.pids

    def interrupt() -> None:
        until(faults.held)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with faults.at(-1, 1, "hold"):
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            double(x)
        thread.join()
    works(x)
    assert_same(open_it(handle), (jnp.asarray(x) + 1) * 2)
    assert parties.cluster.pids == pids


def test_calls_of_threads_take_turns(parties: ProcessBackend, x: np.ndarray) -> None:
    def call() -> None:
        with jmpc.use(parties):
            works(x)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parties.pool._idle) == 1


def test_stalled_parties(faults: Faults, x: np.ndarray) -> None:
    """In a run, and before one: the deadline passes, and the next call has other processes."""
    with block(faults, HASTY_S) as hasty:
        works(x)
        pids = hasty.cluster.pids
        with faults.at(1, 1, "stop"), pytest.raises(PartyError) as caught:
            double(x)
        assert "did not answer in time" in str(caught.value)
        assert "phase run, round" in str(caught.value)
        assert isinstance(caught.value, DeadlineError)
        works(x)
        assert gone(pids)
        os.kill(hasty.cluster.pids[0], signal.SIGSTOP)
        with pytest.raises(PartyError) as caught:
            double(x)
        assert isinstance(caught.value, DeadlineError) or "party 0" in str(caught.value)
        works(x)


def test_no_process_is_left(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with jmpc.processes(deadline_s=DEADLINE_S) as backend:
        pids = backend.cluster.pids
        with pytest.raises(ZeroDivisionError):
            jmpc.secure(lambda x: 1 // 0)(x)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    backend.cluster.close()
    with pytest.raises(LaunchError, match="closed"), jmpc.use(backend):
        double(x)


DRIVER = """
import json, os, pathlib, signal, sys, threading, time
import jax, numpy as np
import jmpc
from jmpc.errors import LaunchError

sys.path.append({modules!r})
fault = pathlib.Path({fault!r})
relu, x = jmpc.secure(lambda x: jax.nn.relu(x)), np.float32([1, -2])
with jmpc.processes(modules=["party_faults"], environment={{"FAULT": str(fault)}}) as backend:
    relu(x)
    before = backend.cluster.pids
    if (child := os.fork()) == 0:
        try:
            relu(x)
        except LaunchError as error:
            os._exit(7 if "another process" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    relu(x)
    assert backend.cluster.pids == before
    fault.write_text(json.dumps({{"party": -1, "round": 1, "how": "hold"}}))
    print(*before, flush=True)

    def kill():
        while not all(os.path.exists(f"{{fault}}.held.{{party}}") for party in range(3)):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    relu(x)
"""


def test_a_fork_uses_no_parties_and_none_outlives_a_driver_that_is_killed_in_a_call(tmp_path: Path) -> None:
    """Nor does a fork end them."""
    script = DRIVER.format(modules=MODULES, fault=str(tmp_path / "fault"))
    driver = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=400, check=False)
    assert driver.returncode == -signal.SIGKILL, driver.stderr
    pids = [int(word) for word in driver.stdout.split()]
    assert len(pids) == 3
    assert gone(pids)
