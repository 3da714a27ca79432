"""How long a run takes, reckoned by hand for small plans: links, overlap, local work, loops."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc.config import NETWORKS, Network
from jmpc.ir.plan import Exchange, Loop, MaskRange, Message, Plan, Segment, Step
from jmpc.party.forecast import MEASURED, NO_WORK, Speed, forecast

U64 = np.dtype(np.uint64)
LINK = Network("test", 1.0, 8.0)  # a second of latency, a word a second


def words(count: int) -> tuple[Message, ...]:
    return (Message(0, ((count,), U64), (0, 0), "and", ""),)


def plans(*rounds: dict[tuple[int, int], int], work: int = 0) -> list[Plan]:
    """A plan for each of three parties. rounds: by sender and receiver, the words sent; then a segment."""
    return [plan(p, [step(p, sent, work) for sent in rounds]) for p in range(3)]


def step(party: int, sent: dict[tuple[int, int], int], work: int = 0, loops: tuple[Loop, ...] = ()) -> Step:
    sends = {b: words(n) for (a, b), n in sent.items() if a == party}
    receives = {a: words(n) for (a, b), n in sent.items() if b == party}
    return Step(bool(sent), Exchange(sends, receives), loops, segment(work) if work else None)


def segment(work: int, masks: int = 0, reads: int = 0) -> Segment:
    return Segment((MaskRange(1, 0, masks),), (), (), (((reads,), U64),), (), lambda: [], "", work, 0)


def plan(party: int, steps: list[Step]) -> Plan:
    return Plan(party, (), (), (), (), tuple(steps), {})


RING = {(0, 1): 2, (1, 2): 2, (2, 0): 2}


def test_a_round_takes_the_latency_and_its_bytes() -> None:
    assert forecast(plans(RING), LINK) == 1 + 2
    assert forecast(plans(RING, RING), LINK) == 2 * (1 + 2)


def test_nothing_to_send_takes_nothing() -> None:
    assert forecast(plans(), LINK) == 0
    assert forecast(plans({}), LINK) == 0


def test_each_pair_of_parties_has_a_link_each_way() -> None:
    both = {(0, 1): 3, (0, 2): 3, (1, 0): 3}
    assert forecast(plans(both), LINK) == 1 + 3


def test_who_only_sends_waits_for_nobody() -> None:
    deals = {(2, 0): 1}
    assert forecast(plans(deals, deals, deals), LINK) == 1 + 3  # one latency for three rounds of one way
    answered = [{(2, 0): 1}, {(0, 2): 1}, {(2, 0): 1}]
    assert forecast(plans(*answered), LINK) == 3 * (1 + 1)


def test_a_link_that_is_busy_holds_the_next_message_back() -> None:
    assert forecast(plans({(0, 1): 10}, {(0, 1): 1, (1, 2): 1}), LINK) == max(10 + 1 + 1, 10 + 1 + 1 + 1)


def test_local_work_is_counted_by_kind() -> None:
    steps = [Step(False, Exchange(), (), segment(work=5, masks=3, reads=2))]
    idle = [plan(p, steps if p == 0 else [Step(False, Exchange(), (), None)]) for p in range(3)]
    assert forecast(idle, LINK, Speed(segment=1.0)) == 1.0
    assert forecast(idle, LINK, Speed(operation=1.0)) == 5.0
    assert forecast(idle, LINK, Speed(byte=1.0)) == 8 * (3 + 2)
    assert forecast(idle, LINK, Speed(1.0, 1.0, 1.0).times(2.0)) == 2 * (1 + 5 + 40)
    assert forecast(idle, LINK, NO_WORK) == 0.0


def test_who_is_busy_when_a_message_comes_goes_on_from_there() -> None:
    first = [Step(False, Exchange(), (), segment(work=100 if p == 1 else 0)) for p in range(3)]
    made = [plan(p, [first[p], step(p, {(0, 1): 1, (1, 2): 1})]) for p in range(3)]
    assert forecast(made, LINK, Speed(operation=1.0)) == 100 + 1 + 1
    late = [plan(p, [first[p], step(p, {(0, 1): 1})]) for p in range(3)]
    assert forecast(late, LINK, Speed(operation=1.0)) == 100


def test_bytes_are_sealed_and_opened() -> None:
    assert forecast(plans({(0, 1): 1}), LINK, Speed(byte=0.5)) == 4 + (1 + 1) + 4


def looped(trip: int, *rounds: dict[tuple[int, int], int]) -> list[Plan]:
    def loop(party: int) -> tuple[Loop, ...]:
        return (Loop(plan(party, [step(party, sent, 3) for sent in rounds]), trip, 0, 0, False, (), (), {}),)

    return [plan(p, [step(p, {}, 0, loop(p))]) for p in range(3)]


@given(
    st.integers(0, 60),
    st.lists(
        st.dictionaries(st.sampled_from([(a, b) for a in range(3) for b in range(3) if a != b]), st.integers(1, 9)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_loop_takes_nearly_what_its_trips_take_one_by_one(
    trip: int, rounds: list[dict[tuple[int, int], int]]
) -> None:
    """Not exactly: how its rounds overlap may take some trips to settle."""
    speed = Speed(operation=0.1)
    unrolled = forecast(plans(*rounds * trip, work=3), LINK, speed)
    assert forecast(looped(trip, *rounds), LINK, speed) == pytest.approx(unrolled, rel=0.2)


def test_a_loop_of_rounds_there_and_back_is_exact() -> None:
    for trip in (0, 1, 3, 4, 5, 100):
        assert forecast(looped(trip, RING), LINK) == pytest.approx(3 * trip)


@given(st.floats(1e-4, 0.1), st.floats(1e5, 1e9))
def test_of_a_real_program_it_lies_between_its_bytes_and_everything_one_after_the_other(
    latency_s: float, bandwidth: float
) -> None:
    link = Network("drawn", latency_s, bandwidth)
    report = LOWERED.cost(link)
    least = latency_s + max(report.bytes_sent) / 2 / bandwidth  # each party has two links
    assert least <= report.seconds <= link.seconds(report.rounds, sum(report.bytes_sent)) * (1 + 1e-9)
    assert report.run_seconds > report.seconds
    assert report.network is link


def sample(x: jax.Array, y: jax.Array) -> Any:
    return lax.fori_loop(0, 7, lambda _, c: jnp.maximum(c * y, x), x)


X = np.ones((4, 4), np.float32)
LOWERED = jmpc.secure(sample).lower(X, X)


def test_the_report_states_the_speed_that_it_reckons_with() -> None:
    assert LOWERED.cost().speed == MEASURED
    assert LOWERED.cost(speed=NO_WORK).run_seconds == LOWERED.cost().seconds
    slow = LOWERED.cost("wan", MEASURED.times(1000.0))
    assert slow.seconds == LOWERED.cost("wan").seconds
    assert slow.run_seconds > 10 * LOWERED.cost("wan").run_seconds
    assert "with local work" in str(slow)
    assert LOWERED.cost("metro").network is NETWORKS["metro"]
