"""How many bytes a party needs at once for a plan, before it runs.

What goes in: a plan. What comes out: a `Memory`. The plan is walked as `executors/run.py` runs it, with sizes in place
of arrays: what comes in is held by who called for the whole run, a message from one peer is one buffer until the last
of its arrays goes, short streams of masks are drawn before the first step and long ones range by range, a loop holds
what it carries and the stacks that its iterations fill. The body of a loop is walked once, however often it runs: the
text of a stranger must not keep a party busy.

Not here, since no plan says it: compiled code, the buffers of links, what a process needs by itself.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc import _jax
from jmpc.ir.plan import WHOLE_WORDS, Loop, Plan, Segment, Spec

WORD_BYTES = 8


@dataclass(frozen=True)
class Memory:
    """Bytes. arrays: the most that arrays take at once, exactly.  peak: the most of these and of the values on the way
    that a segment makes: an estimate from above, as if each was made by itself, where a compiler joins many."""

    arrays: int
    peak: int


def memory(plan: Plan) -> Memory:
    """What a run of the plan takes at its party, on a CPU."""
    drawn = {peer for peer, words in plan.mask_words.items() if words <= WHOLE_WORDS}
    walk = _Walk(drawn)
    walk.hold([_Buffer(WORD_BYTES * sum(plan.mask_words[peer] for peer in drawn))])
    inputs = [_Buffer(bytes_of(spec)) for spec in plan.input_specs]
    walk.hold(inputs)
    walk.scope(plan, inputs)
    return Memory(walk.arrays, walk.peak)


def bytes_of(spec: Spec) -> int:
    """Of an array."""
    shape, dtype = spec
    return math.prod(shape) * dtype.itemsize


@dataclass(eq=False)
class _Buffer:
    """What holds an array, or several."""

    bytes: int


@dataclass(frozen=True)
class _Made:
    """What one pass over a plan holds besides its inputs, which its caller holds throughout. results: the number of an
    input that is handed on as it came, or a buffer that is new."""

    arrays: int
    peak: int
    results: list[int | _Buffer]


@dataclass
class _Walk:
    """What is held now; by whom does not matter. drawn: the peers whose streams are drawn before the run.  bodies: of
    loops, each walked once."""

    drawn: set[int]
    now: int = 0
    arrays: int = 0
    peak: int = 0
    bodies: dict[Plan, _Made] = field(default_factory=dict[Plan, _Made])
    _held: Counter[_Buffer] = field(default_factory=Counter[_Buffer])

    def hold(self, buffers: Iterable[_Buffer]) -> None:
        for buffer in buffers:
            self.now += 0 if self._held[buffer] else buffer.bytes
            self._held[buffer] += 1
        self._look(0, 0)

    def drop(self, buffers: Iterable[_Buffer]) -> None:
        for buffer in buffers:
            self._held[buffer] -= 1
            if not self._held[buffer]:
                del self._held[buffer]
                self.now -= buffer.bytes

    def _look(self, arrays: int, peak: int) -> None:
        """What is held for a moment besides."""
        self.arrays = max(self.arrays, self.now + arrays)
        self.peak = max(self.peak, self.now + peak)

    def scope(self, plan: Plan, inputs: Sequence[_Buffer]) -> list[_Buffer]:
        """One pass over a plan; its results, which are held."""
        store = dict[int, _Buffer]()
        self._put(store, plan.inputs, inputs)
        for step in plan.steps:
            for messages in step.exchange.receives.values():
                buffer = _Buffer(sum(m.bytes for m in messages))
                self._put(store, [m.array for m in messages], [buffer] * len(messages))
            for loop in step.loops:
                self._put(store, loop.outputs, self._loop(loop, [store[n] for n in loop.inputs]), owned=True)
            if step.segment is not None:
                self._segment(step.segment, store)
            self.drop(store.pop(n) for n in step.frees)
        results = [store[n] for n in plan.outputs]
        self.hold(results)
        self.drop(store.values())
        return results

    def _put(
        self, store: dict[int, _Buffer], numbers: Sequence[int], buffers: Sequence[_Buffer], owned: bool = False
    ) -> None:
        """Into a store. owned: they are held already."""
        if not owned:
            self.hold(buffers)
        self.drop(store[n] for n in numbers if n in store)
        store.update(zip(numbers, buffers, strict=True))

    def _segment(self, segment: Segment, store: dict[int, _Buffer]) -> None:
        self._put(store, segment.outputs, [_Buffer(bytes_of(spec)) for spec in segment.output_specs])
        masks = WORD_BYTES * sum(r.count for r in segment.masks if r.peer not in self.drawn)
        self._look(masks, masks + segment.scratch)

    def _body(self, plan: Plan) -> _Made:
        if plan not in self.bodies:
            walk, inputs = _Walk(self.drawn, bodies=self.bodies), [_Buffer(0) for _ in plan.inputs]
            results, number = walk.scope(plan, inputs), {buffer: n for n, buffer in enumerate(inputs)}
            self.bodies[plan] = _Made(walk.arrays, walk.peak, [number.get(buffer, buffer) for buffer in results])
        return self.bodies[plan]

    def _loop(self, loop: Loop, given: Sequence[_Buffer]) -> list[_Buffer]:
        """The results of a loop, which are held. The last iteration holds the most, besides what the loop was given."""
        stacks = [_Buffer(loop.trip * bytes_of(spec)) for spec in loop.body.output_specs[loop.carry :]]
        self.hold(stacks)
        if loop.trip:
            body = self._body(loop.body)
            held = sum(buffer.bytes for buffer in set(_carried(loop, body, given, loop.trip - 1)) - set(given))
            self._look(held + body.arrays, held + body.peak)
            carry = _carried(loop, body, given, loop.trip)
        else:
            carry = list(given[loop.consts : loop.consts + loop.carry])
        self.hold(carry)
        return [*carry, *stacks]


def _carried(loop: Loop, body: _Made, given: Sequence[_Buffer], after: int) -> list[_Buffer]:
    """What is carried after so many iterations: of what an iteration makes, that of the last one, or of as many before
    as it took to be handed on from place to place."""
    places = range(loop.consts, loop.consts + loop.carry)
    source = body.results[: loop.carry]
    readers, age = defaultdict[int, list[int]](list), dict[int, tuple[int | _Buffer, int]]()
    for n, found in enumerate(source):
        if isinstance(found, int) and found in places:
            readers[found - loop.consts].append(n)
        else:
            age[n] = (found, 0)
    for n in (order := list(age)):  # it grows
        for reader in readers[n]:
            age[reader] = (age[n][0], age[n][1] + 1)
            order.append(reader)
    made = {key: _Buffer(key[0].bytes) for key in set(age.values()) if isinstance(key[0], _Buffer)}
    step = [x - loop.consts if isinstance(x, int) and x in places else n for n, x in enumerate(source)]
    carried: list[_Buffer] = []
    for n, place in enumerate(_repeated(step, after)):
        found, iterations = age.get(n, (0, after))
        if iterations >= after:  # what the loop was given, at some place
            carried.append(given[loop.consts + place])
        else:
            carried.append(made[found, iterations] if isinstance(found, _Buffer) else given[found])
    return carried


def _repeated(step: list[int], times: int) -> list[int]:
    """Where so many steps lead from each number."""
    reached = list(range(len(step)))
    while times:
        if times & 1:
            reached = [step[n] for n in reached]
        step = [step[n] for n in step]
        times >>= 1
    return reached


# --- inside a segment


def scratch(eqns: Sequence[Any], outside: Iterable[Any]) -> int:
    """Bytes of the values that equations make on the way, the most at once, if they run one by one. outside: variables
    that are held anyway, inputs and results; what else is read and not made, such as a mask, is made at its first
    reader."""
    counted = set(outside)
    last = {v: n for n, eqn in enumerate(eqns) for v in (*_variables(eqn.invars), *eqn.outvars)}
    now, most, live = 0, 0, set[Any]()
    for n, eqn in enumerate(eqns):
        touched = dict.fromkeys((*_variables(eqn.invars), *eqn.outvars))
        new = [v for v in touched if v not in counted and v not in live]
        live.update(new)
        now += sum(map(_variable_bytes, new))
        most = max(most, now + _inner(eqn))
        gone = [v for v in touched if v in live and last[v] == n]
        live.difference_update(gone)
        now -= sum(map(_variable_bytes, gone))
    return most


def _inner(eqn: Any) -> int:
    """Of the bodies of an equation. What a loop's body makes for the next iteration is beside what it came with; the
    results of a call are those of the equation."""
    call = _jax.body_of(eqn) is not None
    return max((_body(body, results_too=not call) for body in _jax.bodies_of(eqn)), default=0)


def _body(body: Any, results_too: bool) -> int:
    return scratch(body.eqns, body.invars if results_too else (*body.invars, *_variables(body.outvars)))


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [a for a in atoms if not isinstance(a, _jax.Literal)]


def _variable_bytes(v: Any) -> int:
    return math.prod(v.aval.shape) * v.aval.dtype.itemsize
