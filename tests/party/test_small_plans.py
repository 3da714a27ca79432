"""Schedules and plans of a few exchanges, by hand: which round each is in, what each step does and frees, where masks
lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc import _jax, families
from jmpc.errors import ProgramError
from jmpc.families.replicated3.neighbours import Me
from jmpc.ir.plan import MaskRange, Plan, Step
from jmpc.party.cut import ALIGN, Cutter, make_plan
from jmpc.party.exchange import Party
from jmpc.party.program import Traced
from jmpc.party.schedule import Schedule, schedule
from jmpc.ring.element import Ring

Array = Any
U64, U8 = np.dtype(np.uint64), np.dtype(np.uint8)
SHAPE = (3,)


def traces(function: Callable[..., Any], *shapes: tuple[int, ...]) -> list[Traced]:
    """The programs of three parties from one of (me, *arrays)."""
    found = []
    for party in range(3):
        me: Any = Me(Party(party, Ring(64)))

        def run(*arrays: Array, me: Any = me) -> list[Array]:
            out = function(me, *arrays)
            return [me.staged(a) for a in (out if isinstance(out, tuple) else (out,))]

        with jax.enable_x64(True):
            avals = [_jax.aval(shape, U64) for shape in shapes or (SHAPE,)]
            jaxpr, consts = _jax.closed(_jax.make_jaxpr(run, *avals))
        found.append(Traced(jaxpr, consts, party, 3, (("op", "f.py:1"),)))
    return found


def passed(me: Any, x: Array) -> Array:
    """x to the next party, and that of the previous one."""
    return me.exchange(to_nxt=x, from_prv=(tuple(x.shape), x.dtype))


def slots(function: Callable[..., Any], *shapes: tuple[int, ...]) -> list[int]:
    """The slot of each exchange, in the order in which they are met."""
    found = schedule(traces(function, *shapes))
    return [found.exchanges[name] for name in sorted(found.exchanges)]


def plans(function: Callable[..., Any], *shapes: tuple[int, ...]) -> list[Plan]:
    made = traces(function, *shapes)
    found = schedule(made)
    return [make_plan(t, found) for t in made]


# --- rounds


def test_what_depends_on_a_message_is_sent_a_round_later() -> None:
    assert slots(lambda me, x: passed(me, passed(me, passed(me, x) + x))) == [1, 2, 3]


def test_what_depends_on_nothing_travels_together() -> None:
    assert slots(lambda me, x: passed(me, x) + passed(me, x + x)) == [1, 1]


def test_a_message_waits_for_the_round_before_its_first_reader() -> None:
    """The second exchange could be in round 1; what reads it goes out in round 3, or not before the end."""

    def before_the_third(me: Any, x: Array) -> Array:
        first, early = passed(me, x), passed(me, x + x)
        return passed(me, passed(me, first) + early)

    def at_the_end(me: Any, x: Array) -> tuple[Array, Array]:
        first, early = passed(me, x), passed(me, x + x)
        return passed(me, passed(me, first)), early

    assert slots(before_the_third) == [1, 2, 2, 3]
    assert slots(at_the_end) == [1, 3, 2, 3]


def test_a_message_that_nobody_reads_is_sent_all_the_same() -> None:
    def unread(me: Any, x: Array) -> Array:
        passed(me, x + x)
        return passed(me, x)

    assert slots(unread) == [1, 1]


def test_the_latest_party_sets_the_round() -> None:
    """Party 1 alone sends what it got before."""

    def uneven(me: Any, x: Array) -> Array:
        got = passed(me, x)
        return passed(me, got if me.index == 1 else x)

    assert slots(uneven) == [1, 2]


def test_no_round_is_made_for_a_message_that_could_wait_longer() -> None:
    """Rounds are those of the longest chain; an exchange moves into one of them, never between."""

    def two_chains(me: Any, x: Array) -> Array:
        a = passed(me, passed(me, x))
        b = passed(me, x + x)
        return passed(me, a + x) + passed(me, b)

    found = schedule(traces(two_chains))
    assert found.slots == 3
    assert set(found.exchanges.values()) == {1, 2, 3}


def test_parties_that_meet_at_other_exchanges_are_found() -> None:
    def uneven(me: Any, x: Array) -> Array:
        return passed(me, x) if me.index else x

    with pytest.raises(AssertionError, match="meet at different exchanges"):
        schedule(traces(uneven))


def test_a_program_without_messages_has_one_step() -> None:
    found = schedule(traces(lambda me, x: x + x))
    assert found == Schedule({}, {}, {})
    (step,) = plans(lambda me, x: x + x)[0].steps
    assert (step.is_round, step.segment is not None) == (False, True)


# --- masks


def masked_later(me: Any, x: Array) -> Array:
    """Pairs draw 3 words for the first message, then a byte and 5 words for what comes after the second."""
    both = {side: me.mask(side, SHAPE) for side in ("nxt", "prv")}
    got = passed(me, passed(me, x + both["nxt"]) + x)
    late = [me.mask(side, (9,), U8) for side in ("nxt", "prv")]
    more = [me.mask(side, (5,)) for side in ("nxt", "prv")]
    told = sum(lax.reduce(m, U64.type(0), lax.add, (0,)) for m in more)
    small = sum(lax.convert_element_type(lax.reduce(m, U8.type(0), lax.add, (0,)), U64) for m in late)
    return got - both["prv"] + lax.broadcast(told + small, SHAPE)


def test_a_mask_has_the_slot_in_which_a_party_first_uses_it() -> None:
    """One end of the key uses it before the first round, the other at the end: the earlier counts for both."""
    found = schedule(traces(masked_later))
    assert [found.exchanges[name] for name in sorted(found.exchanges)] == [1, 2]
    assert found.masks == {
        **{(*pair, 0, 0): (0, 3) for pair in families.pairs(3)},
        **{(*pair, 0, 1): (2, 2) for pair in families.pairs(3)},
        **{(*pair, 0, 2): (2, 5) for pair in families.pairs(3)},
    }


def test_masks_of_a_slot_lie_together_and_slots_on_cache_lines() -> None:
    for plan in plans(masked_later):
        nxt, prv = sides(plan)
        assert plan.mask_words == {nxt: 2 * ALIGN, prv: 2 * ALIGN}
        first, second, last = (step.segment for step in plan.steps)
        assert first is not None
        assert first.masks == (MaskRange(nxt, 0, 3),)
        assert second is not None
        assert second.masks == ()
        assert last is not None
        assert last.masks == (MaskRange(nxt, ALIGN, 7), MaskRange(prv, 0, 3), MaskRange(prv, ALIGN, 7))


def test_a_segment_reads_its_masks_out_of_their_ranges() -> None:
    """Run by hand: the words of each range, the inputs, the outputs."""
    plan = plans(masked_later)[0]
    last = plan.steps[-1].segment
    assert last is not None
    ranges = [np.arange(100 * (n + 1), 100 * (n + 1) + r.count, dtype=np.uint64) for n, r in enumerate(last.masks)]
    (got,) = [np.full(shape, 1000, dtype) for shape, dtype in last.input_specs]
    with jax.enable_x64(True):
        (found,) = last.run(*ranges, got)
    small = sum(int(r[:2].view(np.uint8)[:9].sum()) % 256 for r in (ranges[0], ranges[2]))
    told = sum(int(r[2:].sum()) for r in (ranges[0], ranges[2]))
    np.testing.assert_array_equal(found, 1000 - ranges[1] + np.uint64(told + small))


def test_a_mask_that_nobody_uses_has_no_place() -> None:
    def unused(me: Any, x: Array) -> Array:
        me.mask("nxt", SHAPE)
        me.mask("prv", SHAPE)
        return passed(me, x)

    assert schedule(traces(unused)).masks == {}


# --- steps


def there_and_back(me: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """Two messages in one round; y is read at the end again."""
    a, b = passed(me, x + y), me.exchange(to_prv=x, from_nxt=(SHAPE, U64))
    got = passed(me, a - b)
    return got * y, a


def names(messages: Any) -> list[Any]:
    return [m.name for m in messages]


def sides(plan: Plan) -> tuple[int, int]:
    """The next party and the previous one."""
    return (plan.party + 1) % 3, (plan.party - 1) % 3


def test_steps_rounds_and_messages() -> None:
    for plan in plans(there_and_back, SHAPE, SHAPE):
        assert [step.is_round for step in plan.steps] == [False, True, True]
        assert plan.inputs == (0, 1)
        assert plan.input_specs == ((SHAPE, U64),) * 2
        assert plan.output_specs == ((SHAPE, U64),) * 2
        nxt, prv = sides(plan)
        assert plan.mask_words == {nxt: 0, prv: 0}
        _, second, third = (step.exchange for step in plan.steps)
        assert {peer: names(messages) for peer, messages in second.sends.items()} == {nxt: [(0, 0)], prv: [(0, 1)]}
        assert {peer: names(messages) for peer, messages in second.receives.items()} == {prv: [(0, 0)], nxt: [(0, 1)]}
        assert {peer: names(messages) for peer, messages in third.sends.items()} == {nxt: [(0, 2)]}
        assert {m.spec for m in second.sent} == {(SHAPE, U64)}
        assert {(m.op, m.loc) for m in (*second.sent, *third.received)} == {("op", "f.py:1")}


def test_arrays_are_freed_after_their_last_reader() -> None:
    """x once its messages are sent, b in the step that reads it, y at the end, and results never."""
    for plan in plans(there_and_back, SHAPE, SHAPE):
        first, second, third = plan.steps
        x, y = plan.inputs
        made = {m.array: m.name for m in second.exchange.received}
        a, b = (next(n for n, name in made.items() if name == (0, k)) for k in (0, 1))
        assert x not in first.frees
        assert x in second.frees
        assert b in second.frees
        assert y in third.frees
        assert a not in (*first.frees, *second.frees, *third.frees)
        assert not set(plan.outputs) & {n for step in plan.steps for n in step.frees}
        freed = [n for step in plan.steps for n in step.frees]
        assert len(freed) == len(set(freed))


def test_what_a_segment_makes_for_nobody_is_not_kept() -> None:
    def twice(me: Any, x: Array) -> Array:
        return passed(me, (x + x) * (x + x))

    (segment, *_) = (step.segment for step in plans(twice)[0].steps)
    assert segment is not None
    assert len(segment.outputs) == 1
    assert segment.inputs == (0,)
    assert segment.work > 0


TABLES = (np.arange(3, dtype=np.uint64), np.arange(2000, dtype=np.uint64))


def in_the_open(me: Any, x: Array, table: np.ndarray) -> Array:
    return x + jnp.asarray(table)


def in_a_call(me: Any, x: Array, table: np.ndarray) -> Array:
    return jax.jit(lambda y: y + jnp.asarray(table))(x)


def in_a_call_in_a_branch(me: Any, x: Array, table: np.ndarray) -> Array:
    def added(y: Array) -> Array:
        return jax.jit(lambda z: z + table)(y)

    return lax.cond(x[0] > U64.type(1), added, lambda y: y, x)


def in_a_loop(me: Any, x: Array, table: np.ndarray) -> Array:
    return lax.fori_loop(0, 3, lambda i, y: in_a_call(me, y, table), x)


@pytest.mark.parametrize("table", TABLES, ids=len)
@pytest.mark.parametrize("place", [in_the_open, in_a_call, in_a_call_in_a_branch, in_a_loop])
def test_constants_are_part_of_the_code_wherever_they_stand(place: Callable[..., Any], table: np.ndarray) -> None:
    """One element in the middle differs, which no text of an array shows."""
    other = table.copy()
    other[len(other) // 2] ^= np.uint64(8)

    def key(values: np.ndarray) -> str:
        (segment, *_) = (
            step.segment for step in plans(lambda me, x: passed(me, place(me, x, values)), table.shape)[0].steps
        )
        assert segment is not None
        assert segment.inputs == (0,)
        return segment.key

    assert key(table) == key(table.copy())
    assert key(table) != key(other)


@pytest.mark.parametrize(
    "other",
    [
        lambda me, x: passed(me, x - x),
        lambda me, x: passed(me, x + me.mask("nxt", SHAPE)),
        lambda me, x: passed(me, (x + x) + x),
        lambda me, x: passed(me, lax.rev(x, (0,)) + x),
    ],
)
def test_other_code_has_another_key(other: Callable[..., Any]) -> None:
    def first(plan: Plan) -> Step:
        return plan.steps[0]

    here, there = (first(plans(f)[0]).segment for f in (lambda me, x: passed(me, x + x), other))
    assert here is not None
    assert there is not None
    assert here.key != there.key


def test_other_shapes_have_other_keys() -> None:
    one, two = (plans(lambda me, x: passed(me, x + x), shape)[0].steps[0].segment for shape in ((3,), (4,)))
    assert one is not None
    assert two is not None
    assert one.key != two.key


# --- schedules as data


def test_a_schedule_is_numbers_and_comes_back() -> None:
    inner = Schedule({(0, 1): 2}, {}, {(0, 1, 0, 0): (3, 5)})
    found = Schedule({(0, 0): 1, (2, 1): 0}, {3: (1, inner)}, {(0, 2, 2, 1): (0, 7)})
    data = found.to_data()
    assert data == [[[0, 0, 1], [2, 1, 0]], [[3, 1, [[[0, 1, 2]], [], [[0, 1, 0, 0, 3, 5]]]]], [[0, 2, 2, 1, 0, 7]]]
    assert Schedule.from_data(json.loads(json.dumps(data))) == found
    assert Schedule.from_data([[[0, 0, (1 << 31) - 1]], [], []]).slots == (1 << 31) - 1


@pytest.mark.parametrize("slot", [-1, 1 << 31, 1.0, True, "1", None, [1]])
def test_slots_are_natural_numbers(slot: Any) -> None:
    for data in ([[[0, 0, slot]], [], []], [[], [[0, slot, [[], [], []]]], []], [[], [], [[0, 1, 0, 0, slot, 1]]]):
        with pytest.raises(ProgramError, match="malformed"):
            Schedule.from_data(data)


# --- schedules that do not fit


FOUND = schedule(traces(there_and_back, SHAPE, SHAPE))


@pytest.mark.parametrize(
    ("exchanges", "said"),
    [
        ({(0, 0): 1, (0, 1): 1}, "another program"),
        ({**FOUND.exchanges, (0, 3): 1}, "another program"),
        ({**FOUND.exchanges, (0, 2): 4}, "another program"),
        ({**FOUND.exchanges, (0, 2): 1}, "before it exists"),
        ({**FOUND.exchanges, (0, 0): 0}, "before it exists"),
        ({(0, 0): 2, (0, 1): 2, (0, 2): 2}, "before it exists"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(exchanges: Any, said: str) -> None:
    for traced in traces(there_and_back, SHAPE, SHAPE):
        with pytest.raises(ProgramError, match=said):
            make_plan(traced, Schedule(exchanges, {}, {}))


def test_a_schedule_may_use_later_rounds() -> None:
    """What it says of rounds is its own business, as long as nothing is sent before it exists."""
    later = Schedule({(0, 0): 1, (0, 1): 2, (0, 2): 3}, {}, {})
    for traced in traces(there_and_back, SHAPE, SHAPE):
        plan = make_plan(traced, later)
        assert [step.is_round for step in plan.steps] == [False, True, True, True]


def test_masks_must_be_those_of_the_program() -> None:
    made = traces(masked_later)
    found = schedule(made)
    for change in ({(0, 1, 0, 0): (0, 4)}, {(0, 1, 0, 0): (3, 3)}, {(0, 1, 0, 1): (2, 0)}):
        with pytest.raises(ProgramError):
            make_plan(made[0], Schedule(found.exchanges, {}, {**found.masks, **change}))
    less = {name: place for name, place in found.masks.items() if name != (0, 1, 0, 2)}
    with pytest.raises(ProgramError, match="another mask"):
        make_plan(made[0], Schedule(found.exchanges, {}, less))
    moved = {**found.masks, (0, 1, 0, 2): (1, 5)}  # another place, which both ends take alike
    assert Cutter(made[0], Schedule(found.exchanges, {}, moved)).layout.start[0, 1, 0, 2] == ALIGN
