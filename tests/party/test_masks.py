"""A word of a key's stream is used for one purpose: mask ranges of ops and of iterations of loops are disjoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc import families
from jmpc.executors import local, masks
from jmpc.executors.masks import Stream
from jmpc.executors.segment import Placed
from jmpc.families.replicated3.lowering import lower
from jmpc.ir.plan import Plan
from jmpc.ir.program import Program
from jmpc.ir.types import INT, Type, secret_bits
from jmpc.party.cut import ALIGN, Cutter, make_plan
from jmpc.party.schedule import Schedule, mask_words
from jmpc.ring.element import Ring
from jmpc.testing.build import program_of
from jmpc.testing.draw.ir_programs import order_programs, programs, share_programs
from jmpc.testing.simulator.lockstep import results_of, traces
from jmpc.testing.simulator.shares import hold
from tests.party.planning import build_plans, joint_schedule
from tests.party.samples import looped
from tests.passes.chains import chains

Use = tuple[int, int, Any]  # first word, number of words, what for
ANY = st.one_of(
    share_programs(), order_programs(), programs().map(lower), chains().map(lower), st.just(lower(looped(3)))
)


def uses(traced: Any, found: Schedule, peer: int, start: int = 0, path: Any = ()) -> Iterator[Use]:
    """Where each mask of a scope and of every iteration of its loops lies, by purpose."""
    cutter = Cutter(traced, found)
    for name, at in cutter.layout.start.items():
        if cutter._peer(name) == peer:
            yield start + at, found.masks[name][1], (path, name[2:])
    for eqn in cutter.eqns:
        if eqn.primitive.name == "party_loop":
            op, each = eqn.params["name"], cutter.bodies[eqn.params["name"]].mask_words[peer]
            for step in range(eqn.params["trip"]):
                first = start + cutter.layout.loops[op, peer] + step * each
                yield from uses(eqn.params["body"], found.loops[op][1], peer, first, (path, op, step))


@settings(max_examples=12)
@given(program=ANY)
def test_no_word_of_a_key_has_two_purposes(program: Program) -> None:
    found = joint_schedule(program)
    by_pair: dict[tuple[int, int], list[set[Use]]] = {pair: [] for pair in families.pairs(3)}
    for party, traced in enumerate(traces(program)):
        total = make_plan(traced, found).mask_words
        for peer in total:
            used = sorted(uses(traced, found, peer), key=lambda use: use[:2])
            ends = [0, *(first + count for first, count, _ in used)]
            starts = [*(first for first, _, _ in used), total[peer]]
            assert all(end <= start for end, start in zip(ends, starts, strict=True)), "two masks share a word"
            by_pair[min(party, peer), max(party, peer)].append(set(used))
    for mine, theirs in by_pair.values():
        assert mine == theirs, "two peers place a mask differently"


@settings(max_examples=12)
@given(program=ANY)
def test_segments_read_what_is_theirs(program: Program) -> None:
    """Within the plan's words, from a cache line on."""
    for plan in build_plans(program, joint_schedule(program)):
        for inner in scopes(plan):
            for step in inner.steps:
                for r in step.segment.masks if step.segment else ():
                    assert 0 <= r.start <= r.start + r.count <= inner.mask_words[r.peer]
            assert all(words % ALIGN == 0 for words in inner.mask_words.values())


def scopes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for step in plan.steps:
        for loop in step.loops:
            yield from scopes(loop.body)


@settings(max_examples=10)
@given(program=ANY)
def test_each_use_of_a_mask_has_its_own_name(program: Program) -> None:
    """One party never draws one name twice, and a name means one shape to both of its ends."""
    shapes: dict[Any, Any] = {}
    for traced in traces(program):
        drawn = [e.params for e in traced.jaxpr.eqns if e.primitive.name == "mask"]
        names = [(p["pair"], p["name"]) for p in drawn]
        assert len(set(names)) == len(names)
        for name, p in zip(names, drawn, strict=True):
            assert traced.party in name[0]
            assert shapes.setdefault(name, (p["shape"], p["dtype"])) == (p["shape"], p["dtype"])


@pytest.mark.parametrize(
    ("shape", "dtype", "words"), [((), "u8", 1), ((9,), "u1", 2), ((3, 3), "u4", 5), ((0,), "u8", 0)]
)
def test_a_mask_takes_whole_words(shape: tuple[int, ...], dtype: str, words: int) -> None:
    assert mask_words({"shape": shape, "dtype": np.dtype(dtype)}) == words


# --- as they are drawn

Drawn = list[tuple[int, int]]


class Recording(Stream):
    """A stream that notes what is drawn."""

    log: dict[bytes, list[Drawn]]

    def __init__(self, key: bytes, total_words: int, prf: str = "aes") -> None:
        super().__init__(key, total_words, prf)
        self.total, self.drawn = total_words, []
        Recording.log.setdefault(key, []).append(self.drawn)

    def arguments(self, start: int, count: int) -> tuple[Any, ...]:
        assert 0 <= start <= start + count <= self.total, "beyond what the plan states"
        self.drawn.append((start, count))
        return super().arguments(start, count)


def watch(program: Program, monkeypatch: pytest.MonkeyPatch) -> Mapping[bytes, list[Drawn]]:
    monkeypatch.setattr(masks, "Stream", Recording)
    Recording.log = {}
    plans = build_plans(program, joint_schedule(program))
    local.run_local(Placed.here(plans), [[np.zeros(shape, dtype) for shape, dtype in p.input_specs] for p in plans])
    return Recording.log


def test_iterations_of_a_loop_draw_new_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word that some iteration draws is drawn by that iteration alone; the two ends of a key cover the same."""
    bit = secret_bits((5,))
    body = program_of(lambda emit, b: (emit("and", b, emit("not", b)),), [bit], looped(1).config).body
    trip = 4

    def make(emit: Any, b: Any) -> Any:
        return emit("loop", b, body=body, consts=0, carry=1, trip=trip)

    log = watch(program_of(make, [bit], looped(1).config, "jmpc.SECRET"), monkeypatch)
    assert len(log) == 3
    for ends in log.values():
        assert len(ends) == 2
        covered = [[w for start, count in drawn for w in range(start, start + count)] for drawn in ends]
        assert sorted(covered[0]) == sorted(covered[1])
        assert len(set(covered[0])) == len(covered[0]) == trip  # one packed word of five bits an iteration


def test_equal_ops_draw_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(emit: Any, b: Any) -> Any:
        numbers = [emit("bit_to_arith", b) for _ in range(3)]
        assert all(v.type.kind == INT for v in numbers)
        return tuple(numbers)

    log = watch(program_of(make, [secret_bits((8,))], looped(1).config, "jmpc.SECRET"), monkeypatch)
    key_words = {max(len({w for s, c in d for w in range(s, s + c)}) for d in ends) for ends in log.values()}
    assert max(key_words) >= 3 * 2 * 8  # of parties 2 and 0: two masks of eight words for each of the three


@pytest.mark.parametrize("receiver", ["jmpc.SECRET", "carol"])
def test_a_share_that_is_a_mask_leaves_as_any_other(receiver: str) -> None:
    """Party 2's half of a bit made a number is nothing but masks. Here it is a result, what a loop starts from, and
    what its body returns."""
    bit, number = secret_bits((5,)), Type((5,), INT)
    body = program_of(lambda emit, b, x: emit("bit_to_arith", b), [bit, number], looped(1).config).body

    def make(emit: Any, b: Any) -> Any:
        first = emit("bit_to_arith", b)
        return first, emit("loop", b, first, body=body, consts=1, carry=1, trip=2)

    program = program_of(make, [bit], looped(1).config, receiver)
    plans = build_plans(program, joint_schedule(program))
    truth = np.array([1, 0, 0, 1, 1], bool)
    held = hold(truth, bit, Ring(64), np.random.default_rng(0))
    found, _ = local.run_local(Placed.here(plans), held)
    for result in results_of(program, found):
        np.testing.assert_array_equal(result, truth)
