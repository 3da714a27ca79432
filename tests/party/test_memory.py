"""The memory of a plan, counted before it runs, is that of a run which counts the arrays that are alive."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc import _jax
from jmpc.executors.engine import Wire
from jmpc.executors.run import Run
from jmpc.executors.segment import Placed
from jmpc.families.replicated3.lowering import lower
from jmpc.ir.plan import WHOLE_WORDS, Exchange, Loop, MaskRange, Message, Plan, Segment, Spec, Step
from jmpc.ir.program import Program
from jmpc.party.memory import Memory, memory, scratch
from tests.executors.programs import PROGRAMS
from tests.party.planning import build_plans, joint_schedule
from tests.party.samples import looped, network
from tests.party.test_masks import ANY

U64 = np.dtype(np.uint64)


class Tracker:
    """Bytes of the buffers that are alive: each is told when it is made, and found gone when Python lets it go."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def made(self, buffer: Any, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(buffer, self.gone, size)

    def gone(self, size: int) -> None:
        self.now -= size


class Counting:
    """One party of a run of the real driver: code that makes arrays of the right shapes, peers that send zeros, streams
    of zeros. Nothing depends on a value, so the arrays live as long as in any run."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.tracker, self.round_no = plan, Tracker(), -1
        self.whole = {peer: self.array(((words,), U64)) for peer, words in plan.mask_words.items()
                      if words <= WHOLE_WORDS}  # fmt: skip

    def array(self, spec: Spec) -> np.ndarray:
        made = np.ones(*spec)
        self.tracker.made(made, made.nbytes)
        return made

    def run(self) -> int:
        """The most bytes at once."""
        placed = Placed.here([self.plan])
        code = {names: self.executable(group[0]) for names, group in placed.groups.items()}
        streams = {peer: Words(self, peer) for peer in self.plan.mask_words}
        inputs = [self.array(spec) for spec in self.plan.input_specs]
        Run(placed, code, [streams], Wire(self))([inputs])  # pyright: ignore[reportArgumentType]
        return self.tracker.most

    def executable(self, segment: Segment | None) -> Any:
        assert segment is not None

        def call(*arguments: Any) -> list[np.ndarray]:
            counts, arrays = [r.count for r in segment.masks], arguments[len(segment.masks) :]
            assert [a.shape for a in arguments[: len(counts)]] == [(n,) for n in counts]
            assert [(a.shape, a.dtype) for a in arrays] == list(segment.input_specs)
            return [self.array(spec) for spec in segment.output_specs]

        return call

    def exchange(self, round_no: int, sends: Mapping[int, Any], receives: Mapping[int, Any]) -> dict[int, Any]:
        """A message is one buffer, as in `runtime/channel.py`."""
        got: dict[int, list[np.ndarray]] = {}
        for peer, specs in receives.items():
            sizes = [int(np.prod(shape, dtype=np.int64)) * dtype.itemsize for shape, dtype in specs]
            buffer, start = self.array(((sum(sizes),), np.dtype(np.uint8))), 0
            got[peer] = []
            for size, (shape, dtype) in zip(sizes, specs, strict=True):
                got[peer].append(np.frombuffer(buffer[start : start + size], dtype).reshape(shape))
                start += size
        return got


class Words:
    def __init__(self, owner: Counting, peer: int) -> None:
        self.owner, self.peer = owner, peer

    def arguments(self, start: int, count: int) -> tuple[Any, ...]:
        if self.peer in self.owner.whole:
            return (self.owner.whole[self.peer][start : start + count],)
        return (self.owner.array(((count,), U64)),)


@pytest.fixture(autouse=True)
def stacks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of loops: the driver makes these itself."""
    from jmpc.executors import run

    def counted(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return current[-1].array((shape, dtype))

    monkeypatch.setattr(run, "aligned_array", counted)


current: list[Counting] = []


def measured(plan: Plan) -> int:
    current.append(Counting(plan))
    try:
        return current[-1].run()
    finally:
        current.pop()


def check(plans: Sequence[Plan]) -> None:
    for plan in plans:
        found = memory(plan)
        assert found.arrays == measured(plan)
        assert found.peak >= found.arrays


def plans_of(program: Program) -> list[Plan]:
    return build_plans(program, joint_schedule(program))


@settings(max_examples=40)
@given(program=ANY)
def test_what_is_said_before_is_what_a_run_holds(program: Program) -> None:
    check(plans_of(program))


@pytest.mark.parametrize("program", [looped(1), looped(7), looped(7, reverse=True), network(5)])
def test_loops_and_layers(program: Program) -> None:
    check(plans_of(lower(program)))


def _swapped(x: Any, y: Any) -> Any:
    """What is carried goes round and round, as it came."""
    return lax.fori_loop(0, 5, lambda i, xyz: (xyz[1], xyz[2], xyz[0]), (x, y, x + y))


def _handed_on(x: Any, y: Any) -> Any:
    """New arrays, handed on from place to place: each iteration holds one more, until the last place."""

    def body(carry: Any, row: Any) -> Any:
        a, b, c = carry
        return (a * row, a, b), c

    return lax.scan(body, (x, x, x), jnp.stack([y, y, y, y, y, y]))


def _nested(x: Any, y: Any) -> Any:
    def outer(carry: Any, row: Any) -> Any:
        inner = lax.fori_loop(0, 3, lambda i, z: jax.nn.relu(z * row), carry)
        return inner, (inner > 0, row)

    return lax.scan(outer, x, jnp.stack([x, y, y, x]))


def _many_words(x: Any, y: Any) -> Any:
    """Longer streams than those that are drawn before the run."""
    return jax.nn.relu(jnp.broadcast_to(x * y, (64, *x.shape)) * jnp.ones((64, 1, 1)))


X, Y = np.ones((40, 30), np.float32), np.ones((40, 30), np.float32)
FUNCTIONS = {"swapped": _swapped, "handed on": _handed_on, "nested": _nested, "many words": _many_words}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loops_that_hand_on_what_they_got(name: str) -> None:
    plans = jmpc.secure(FUNCTIONS[name]).lower(X, Y).flow.plans
    check(plans)
    if name == "many words":
        assert all(max(p.mask_words.values()) > WHOLE_WORDS for p in plans)


@pytest.mark.parametrize("name", ["mlp", "conv and pool", "sort", "loop", "product, k=32"])
def test_programs_of_every_kind(name: str) -> None:
    function, args, config = PROGRAMS[name]
    lowered = jmpc.secure(function, config=config).lower(*args)
    check(lowered.flow.plans)
    assert lowered.cost().memory == tuple(memory(p).peak for p in lowered.flow.plans)


# --- by hand


def spec(words: int) -> Spec:
    return ((words,), U64)


KEYS = count()  # of segments, no two of which are alike


def segment(
    inputs: dict[int, int], outputs: dict[int, int], masks: tuple[MaskRange, ...] = (), more: int = 0
) -> Segment:
    specs = [tuple(map(spec, sizes.values())) for sizes in (inputs, outputs)]
    return Segment(masks, tuple(inputs), tuple(outputs), specs[0], specs[1], lambda *a: [], str(next(KEYS)), 0, more)


def plan(
    inputs: dict[int, int], outputs: dict[int, int], *steps: Step, masks: tuple[int, int] = (0, 0)
) -> Plan:  # fmt: skip
    sizes = [tuple(map(spec, found.values())) for found in (inputs, outputs)]
    return Plan(0, tuple(inputs), sizes[0], tuple(outputs), sizes[1], steps, {1: masks[0], 2: masks[1]})


def test_inputs_stay_and_what_is_freed_goes() -> None:
    """Words: 5 come in, 3 are made of them, 1 of those; the second step frees the 3 and the inputs, of which the caller
    still has its own."""
    first = Step(False, Exchange(), (), segment({0: 5}, {1: 3}), frees=(0,))
    second = Step(False, Exchange(), (), segment({1: 3}, {2: 1}), frees=(1,))
    third = Step(False, Exchange(), (), segment({2: 1}, {3: 2}))
    assert memory(plan({0: 5}, {3: 2}, first, second, third)) == Memory(8 * 9, 8 * 9)
    without = [Step(s.is_round, s.exchange, s.loops, s.segment) for s in (first, second, third)]
    assert memory(plan({0: 5}, {3: 2}, *without)) == Memory(8 * 11, 8 * 11)


def test_a_message_is_one_buffer() -> None:
    """Of 4 and 6 words from one peer, and 1 from the other: the 4 are held as long as the 6 are."""
    messages = {1: (Message(1, spec(4), (0, 0), "", ""), Message(2, spec(6), (0, 1), "", "")),
                2: (Message(3, spec(1), (0, 2), "", ""),)}  # fmt: skip
    first = Step(True, Exchange({}, messages), (), None, frees=(1, 3))
    second = Step(False, Exchange(), (), segment({2: 6}, {4: 7}), frees=(2,))
    assert memory(plan({0: 2}, {4: 7}, first, second)).arrays == 8 * (2 + 10 + 7)
    assert memory(plan({0: 2}, {2: 6}, first)).arrays == 8 * (2 + 11)


def test_short_streams_are_held_and_long_ones_are_drawn_as_they_go() -> None:
    ranges = (MaskRange(1, 0, 30), MaskRange(2, 0, 50))
    step = Step(False, Exchange(), (), segment({}, {1: 1}, ranges, more=1000))
    after = Step(False, Exchange(), (), segment({}, {2: 20}))
    long = WHOLE_WORDS + 1
    assert memory(plan({}, {1: 1, 2: 20}, step, after, masks=(100, 200))) == Memory(8 * 321, 8 * 301 + 1000)
    assert memory(plan({}, {1: 1, 2: 20}, step, after, masks=(long, long))) == Memory(8 * 81, 8 * 81 + 1000)
    assert memory(plan({}, {1: 1, 2: 20}, step, after, masks=(WHOLE_WORDS, long))).arrays == 8 * (WHOLE_WORDS + 51)


def test_a_loop_holds_its_stacks_and_two_carries() -> None:
    """An iteration makes a new carry of 4 words and a row of 3, beside the carry that it got; the first one's is the
    caller's. Ten rows are stacked."""
    body = plan({0: 4}, {1: 4, 2: 3}, Step(False, Exchange(), (), segment({0: 4}, {1: 4, 2: 3})))

    def looping(trip: int) -> Memory:
        loop = Loop(body, trip, 0, 1, False, (0,), (1, 2), {1: 0, 2: 0})
        return memory(plan({0: 4}, {1: 4, 2: 3 * trip}, Step(False, Exchange(), (loop,), None)))

    assert [looping(trip).arrays // 8 for trip in (0, 1, 2, 10)] == [4, 4 + 3 + 7, 4 + 6 + 4 + 7, 4 + 30 + 4 + 7]


@st.composite
def handing_on(draw: Any) -> Loop:
    """A loop whose body hands on what it got, in any order, and makes some anew."""
    consts, carry, stacked = draw(st.integers(0, 2)), draw(st.integers(1, 6)), draw(st.integers(0, 2))
    count = consts + carry + stacked
    made = {100 + n: n + 1 for n in range(draw(st.integers(0, 3)))}
    pool = [*range(count), *made]
    handed = draw(st.lists(st.sampled_from(pool), min_size=carry, max_size=carry))
    rows = draw(st.lists(st.sampled_from(pool), max_size=2))
    sizes = dict.fromkeys(range(count), 2) | made
    steps = [Step(False, Exchange(), (), segment({}, made))] if made else []
    specs = tuple(spec(sizes[n]) for n in (*handed, *rows))
    inputs = tuple(range(count))
    body = Plan(0, inputs, tuple(spec(2) for _ in inputs), (*handed, *rows), specs, tuple(steps), {1: 0, 2: 0})
    return Loop(body, draw(st.integers(0, 9)), consts, carry, draw(st.booleans()), inputs, (), {1: 0, 2: 0})


@settings(max_examples=200)
@given(loop=handing_on(), freed=st.sets(st.integers(0, 20)))
def test_whatever_a_loop_hands_on(loop: Loop, freed: set[int]) -> None:
    """Also what is held after it, once what it was given is freed."""
    last, results = loop.consts + loop.carry, tuple(range(200, 200 + len(loop.body.outputs)))
    given = tuple(n + 50 for n in loop.inputs)
    shapes = [((2,) if n < last else (loop.trip, 2), U64) for n in loop.inputs]
    making = Step(False, Exchange(), (), replace(segment({}, dict.fromkeys(given, 2)), output_specs=tuple(shapes)))
    looping = Step(False, Exchange(), (replace(loop, inputs=given, outputs=results),), None, tuple(
        n for n in given if n - 50 in freed
    ))  # fmt: skip
    after = Step(False, Exchange(), (), segment({}, {300: 5}))
    rows = [((loop.trip, *shape), dtype) for shape, dtype in loop.body.output_specs[loop.carry :]]
    specs = (*loop.body.output_specs[: loop.carry], *rows)
    check([Plan(0, (), (), results, specs, (making, looping, after), {1: 0, 2: 0})])


def test_a_loop_is_not_gone_through() -> None:
    """Neither one that runs for ever, nor loops in loops, nor places that go round in circles of 2, 3, 5, ..."""

    def nested(depth: int, trip: int) -> Plan:
        body = plan({0: 4}, {1: 4}, Step(False, Exchange(), (), segment({0: 4}, {1: 4})))
        for _ in range(depth):
            loop = Loop(body, trip, 0, 1, False, (0,), (1,), {1: 0, 2: 0})
            body = plan({0: 4}, {1: 4}, Step(False, Exchange(), (loop,), None))
        return body

    check([nested(3, 2)])
    assert memory(nested(30, 1 << 40)).arrays == 8 * 4 * 32
    circles, places = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37), list[int]()
    for size in circles:
        places += [len(places) + (n + 1) % size for n in range(size)]
    numbers = tuple(range(len(places)))
    turning = Plan(0, numbers, (spec(1),) * len(places), tuple(places), (spec(1),) * len(places), (), {1: 0, 2: 0})
    loop = Loop(turning, 1 << 40, 0, len(places), False, numbers, tuple(n + 1000 for n in numbers), {1: 0, 2: 0})
    whole = plan(dict.fromkeys(numbers, 1), {1000: 1}, Step(False, Exchange(), (loop,), None))
    assert memory(whole).arrays == 8 * len(places)


def test_a_long_line_of_places_takes_no_square_of_its_length() -> None:
    long = 30_000
    numbers, made = tuple(range(long)), {long: 1}
    body = Plan(0, numbers, (spec(1),) * long, (long, *numbers[:-1]), (spec(1),) * long,
                (Step(False, Exchange(), (), segment({}, made)),), {1: 0, 2: 0})  # fmt: skip
    loop = Loop(body, 1 << 40, 0, long, False, numbers, tuple(n + long for n in numbers), {1: 0, 2: 0})
    whole = plan(dict.fromkeys(numbers, 1), {long: 1}, Step(False, Exchange(), (loop,), None))
    assert memory(whole).arrays == 8 * (long + long + 1)


# --- inside a segment


def scratch_of(function: Any, *sizes: int) -> int:
    """In words of 64 bits, with inputs and results held by others."""
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(function)(*(jnp.zeros(n, U64) for n in sizes)).jaxpr
    found = scratch(jaxpr.eqns, [v for v in (*jaxpr.invars, *jaxpr.outvars) if not isinstance(v, _jax.Literal)])
    assert found % 8 == 0
    return found // 8


def test_values_on_the_way_are_counted_while_something_reads_them() -> None:
    assert scratch_of(lambda x: x + x, 10) == 0
    assert scratch_of(lambda x: (x + x) * x, 10) == 10
    assert scratch_of(lambda x: ((x + x) * x) - x, 10) == 20  # one is read while the next is made
    assert scratch_of(lambda x: (((x + x) * x) - x) & x, 10) == 20
    assert scratch_of(lambda x: (x + x)[:2] + (x * x)[:2], 10) == 12 + 2


def test_loops_inside_a_segment_hold_what_an_iteration_makes() -> None:
    def body(i: Any, x: Any) -> Any:
        return (x + x) * x

    assert scratch_of(lambda x: lax.fori_loop(0, 9, body, x), 1000) >= 2000
    assert scratch_of(lambda x: jax.jit(lambda y: (y + y) * y)(x), 10) == 10
