"""The rule for scan: one region, compiled once, whatever its length.

What goes in: a loop's body and its operands. What comes out: its results; the public work of the body runs before, in
the clear. Not here: loops whose trip count must first be found (`while_loop.py`), what holds for a carry
(`carries.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.errors import BoundError
from jmpc.frontend.expand import with_fraction
from jmpc.frontend.fixed_point.precision import NOTHING, Wants
from jmpc.frontend.fixed_point.unfit import refuse_needed
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known, Step, run_steps
from jmpc.frontend.loops import carries, undo
from jmpc.frontend.loops.carries import Held
from jmpc.frontend.notes import Repeated
from jmpc.frontend.public import is_public, public_operands
from jmpc.frontend.scope import in_clear
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Block, Value
from jmpc.ir.types import FIXED, INFERRED, INT, Type

WALKS, MOST_WALKS = 4, 8  # after so many, what does not hold yet, and then all, is widened as far as it goes


@rule("scan")
def _scan(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    parts = _jax.scan_parts(eqn)
    body, wants = _jax.closed(parts["body"]), w.wants.inside(eqn)
    loop = Loop(*body, parts["consts"], parts["carry"], parts["length"], parts["reverse"], wants)
    return run_loop(w, loop, args, range(len(args)))


@dataclass(frozen=True)
class Loop:
    """A body that runs `length` times: parameters are consts, carry, slices; results are carry, rows."""

    jaxpr: Any
    body_consts: Sequence[Any] = field(repr=False)
    consts: int
    carry: int
    length: int
    reverse: bool = False
    wants: Wants = NOTHING

    def dtype(self, n: int) -> Any:
        """Of the carry with this number."""
        return self.jaxpr.invars[self.consts + n].aval.dtype


def run_loop(w: Walker, loop: Loop, args: list[Operand], operands: Sequence[int]) -> list[Operand]:
    """The carry at the end, and the stacked rows. operands: which of the equation's are the arguments."""
    consts, carry = loop.consts, loop.carry
    if loop.length == 0:
        avals = [v.aval for v in loop.jaxpr.outvars[carry:]]
        return [*args[consts : consts + carry], *(constant(np.zeros((0, *v.shape), v.dtype)) for v in avals)]
    # One owner's values are shared at the door of a loop: only public ones stay in the clear inside it.
    args = [a if is_public(a) else w.secret(a) for a in args]
    public = public_operands(loop.jaxpr, [is_public(a) for a in args], consts, carry)
    args = [a if p else w.secret(a) for a, p in zip(args, public, strict=True)]
    args[consts : consts + carry] = [_precise(w, loop, n, a) for n, a in enumerate(args[consts : consts + carry])]
    scan = _fixed_point(w, loop, args)
    w.within = Repeated(loop, operands, scan.inner.record)
    return scan.emit()


def _precise(w: Walker, loop: Loop, n: int, a: Operand) -> Operand:
    """The start of a carry with as many fraction bits as what it becomes should keep."""
    wanted = loop.wants.of(loop.jaxpr.invars[loop.consts + n])
    if wanted is None or not isinstance(a, Value) or a.type.kind != FIXED:
        return a
    return with_fraction(w, a, max(a.type.scale, wanted.by_constant))


def _fixed_point(w: Walker, loop: Loop, args: list[Operand]) -> Scan:
    """The loop walked with types that hold in every iteration. What a walk that is not kept has left is taken back."""
    first = args[loop.consts : loop.consts + loop.carry]
    starts = {n: carries.start_of(w, a, loop.dtype(n)) for n, a in enumerate(first) if isinstance(a, Value)}
    most = {n: carries.carried(s, s, carries.LAST, loop.dtype(n), w.config) for n, s in starts.items()}
    held, inner = _begun(w, loop, starts), None
    for walks in itertools.count(1):
        back = undo.mark(w)
        scan = Scan(w, loop, args, held)
        scan.inner.loops_before = inner.loops if inner is not None else []
        inner = scan.inner
        try:
            found = scan.walk()
        except BoundError:  # of a bound that is capped once it is no longer followed
            if held == most:
                raise
            back()
            held = most
            continue
        broken = [n for n in held if not held[n].holds(found[n])]
        if not broken:
            w.loops.append(held)
            return scan
        back()
        for n in broken if walks < MOST_WALKS else held:
            wider = carries.widened(held[n], starts[n], found[n], loop.dtype(n), w.config)
            held = held | {n: wider if walks < WALKS else most[n]}
    raise AssertionError("a count ends")


def _begun(w: Walker, loop: Loop, starts: dict[int, Held]) -> dict[int, Held]:
    """What to try first: what the starts say, with what the same loop came to in an earlier walk of the body around."""
    before = w.loops_before[len(w.loops)] if len(w.loops) < len(w.loops_before) else {}
    known = {n: before.get(n, s) for n, s in starts.items()}
    alike = all(known[n].type.bounded(0, INFERRED) == s.type.bounded(0, INFERRED) for n, s in starts.items())
    seen = known if alike else starts
    return {n: carries.carried(s, seen[n], seen[n].rung, loop.dtype(n), w.config) for n, s in starts.items()}


def _at_scale(w: Walker, x: Value, held: Type) -> Value:
    return with_fraction(w, x, held.scale) if held.kind == FIXED else x


def _as_held(w: Walker, x: Value, held: Type) -> Value:
    return x if x.type == held else w.emit("bound", x, limit=held.limit, origin=held.origin)


class Scan:
    """One scan being lowered. Public work of the body runs first, as a scan in the clear, and what the secret part
    needs of it comes in as one more stacked input. held: what each secret carry is tried with, by number."""

    def __init__(self, w: Walker, loop: Loop, args: list[Operand], held: dict[int, Held]) -> None:
        first, last = loop.consts, loop.consts + loop.carry
        self.w, self.loop, self.held, self.inner = w, loop, held, Walker(w.shared, w)
        self.consts, self.carry, self.xs = args[:first], args[first:last], args[last:]

    def walk(self) -> dict[int, Held]:
        """Walk the body. What it gives for each secret carry."""
        self.params: dict[str, list[Value]] = {"const": [], "carry": [], "xs": []}
        self.body_args: list[Operand] = [self._const(a, self.params["const"]) for a in self.consts]
        self.body_args += [self._carried(n, self.params["carry"]) for n in range(len(self.carry))]
        self.body_args += [self._sliced(a, self.params["xs"]) for a in self.xs]
        outs = self.inner.run(self.loop.jaxpr, self.loop.body_consts, self.body_args, self.loop.wants)
        self.new_carry, self.ys = outs[: len(self.carry)], outs[len(self.carry) :]
        self.given = {n: _at_scale(self.inner, self.inner.secret(outs[n]), h.type) for n, h in self.held.items()}
        refuse_needed(self.inner, [*self.given.values(), *self.ys])
        return {n: carries.known_of(self.inner, value) for n, value in self.given.items()}

    def emit(self) -> list[Operand]:
        """The loop, whose body is walked and gives what `held` says."""
        inner, params = self.inner, self.params
        results = [_as_held(inner, self.given[n], held.type) for n, held in self.held.items()]
        results += [v for v in self.ys if isinstance(v, Value)]
        stacked, clear = self._public_part(self.body_args, self.new_carry, self.ys)
        captured_outer = [outer for outer, _ in inner.captures]
        operands = [a for a in self.consts if isinstance(a, Value)] + captured_outer
        operands += [self._start(n) for n in self.held]
        operands += [a for a in self.xs if isinstance(a, Value)] + stacked
        all_params = params["const"] + [p for _, p in inner.captures] + params["carry"] + params["xs"] + inner.params
        body = inner.build.block(tuple(all_params), tuple(results))
        made = self._loop(operands, body, len(params["const"]) + len(inner.captures), len(params["carry"]))
        return self._outputs(made, clear, self.ys)

    def _loop(self, operands: list[Value], body: Block, consts: int, carry: int) -> list[Value]:
        if not body.results:
            return []
        attrs = {"body": body, "trip": self.loop.length, "consts": consts, "carry": carry}
        attrs["reverse"] = self.loop.reverse
        types = ops.infer("loop", [v.type for v in operands], attrs, self.w.config, self.w.build.loc)
        made = self.w.build.emit_many("loop", operands, types, **attrs)
        for outer, inner in zip(made, [*body.params[consts : consts + carry], *body.results[carry:]], strict=True):
            integers.within(self.w, outer, integers.interval(self.inner, inner))
        return list(made)

    def _const(self, a: Operand, params: list[Value]) -> Operand:
        return a if isinstance(a, Known) else self._param(integers.like(self.inner, a), params)

    def _carried(self, number: int, params: list[Value]) -> Operand:
        a, held = self.carry[number], self.held.get(number)
        if held is None:
            return Known(a.shape, in_clear(a).dtype, scope=self.inner.prelude)
        return integers.within(self.inner, self._param(Value(held.type), params), held.span)

    def _sliced(self, a: Operand, params: list[Value]) -> Operand:
        if isinstance(a, Known):
            return Known(a.shape[1:], a.dtype, scope=self.inner.prelude)
        return self._param(integers.like(self.inner, a, a.shape[1:]), params)

    @staticmethod
    def _param(value: Value, params: list[Value]) -> Value:
        params.append(value)
        return value

    def _start(self, n: int) -> Value:
        """A carry's first value as the body's parameter is."""
        a, held = self.carry[n], self.held[n]
        assert isinstance(a, Value)
        low, high = integers.interval(self.w, a)
        if held.type.kind == INT and not held.span[0] <= low <= high <= held.span[1]:
            a = self.w.secret(integers.settle(self.w, a, self.loop.dtype(n)))
        return _as_held(self.w, a, held.type) if a.type.limit > held.type.limit else a

    def _public_part(
        self, body_args: list[Operand], new_carry: list[Operand], ys: list[Operand]
    ) -> tuple[list[Value], dict[Any, Known]]:
        """Run the body's public work as a scan in the clear. Returns the stacked values that the secret part reads, and
        by name what leaves the loop in the clear."""
        sources, steps = self.inner.sources, self.inner.prelude.steps
        effects = any(s.effect for s in steps)
        carried = [(n, v) for n, v in enumerate(new_carry) if isinstance(v, Known) and isinstance(self.carry[n], Known)]
        leaving = [(n, v) for n, v in enumerate(ys) if isinstance(v, Known)]
        after, rows = [v for _, v in carried], [v for _, v in leaving] + [s.known for s in sources]
        if not (after or rows or effects):
            return [], {}
        given = list(zip([*self.carry, *self.xs], body_args[len(self.consts) :], strict=True))
        starts, slices = _clear_pairs(given[: len(self.carry)]), _clear_pairs(given[len(self.carry) :])
        outer = _outside(steps, after + rows, self.inner)
        scan = ClearScan(
            [p for _, p in starts], [p for _, p in slices], outer, steps, after, rows, self.loop.length,
            self.loop.reverse,
        )  # fmt: skip
        made = self._scope().add(scan.run, [*(a for a, _ in starts + slices), *outer], scan.outs(), effects)
        clear: dict[Any, Known] = {("carry", n): k for (n, _), k in zip(carried, made, strict=False)}
        clear.update({("y", n): k for (n, _), k in zip(leaving, made[len(carried) :], strict=False)})
        stacks = made[len(carried) + len(leaving) :]
        return [self.w.operand(k, s.type.scale) for k, s in zip(stacks, sources, strict=True)], clear

    def _scope(self) -> Any:
        return self.w.prelude if self.w.parent else self.w.root

    def _outputs(self, made: list[Value], clear: dict[Any, Known], ys: list[Operand]) -> list[Operand]:
        queue = iter(made)
        outs: list[Operand] = [
            clear["carry", n] if isinstance(a, Known) else next(queue) for n, a in enumerate(self.carry)
        ]
        return outs + [clear["y", n] if isinstance(v, Known) else next(queue) for n, v in enumerate(ys)]


@dataclass(frozen=True)
class ClearScan:
    """The public work of a loop's body, as a scan in the clear. carry, slices, outer: the values that it starts from;
    after: the new carry; rows: what it stacks."""

    carry: list[Known]
    slices: list[Known]
    outer: list[Known]
    steps: list[Step]
    after: list[Known]
    rows: list[Known]
    length: int
    reverse: bool

    def outs(self) -> list[jax.ShapeDtypeStruct]:
        shapes = [(k.shape, k.dtype) for k in self.carry] + [((self.length, *k.shape), k.dtype) for k in self.rows]
        return [jax.ShapeDtypeStruct(*spec) for spec in shapes]

    def run(self, *arrays: Any) -> list[Any]:
        first = len(self.carry)
        last = first + len(self.slices)
        outer = dict(zip(self.outer, arrays[last:], strict=True))

        def body(state: Any, slices: Any) -> Any:
            env = outer | dict(zip([*self.carry, *self.slices], [*state, *slices], strict=True))
            run_steps(self.steps, env)
            after = [_value(k, env) for k in self.after]
            return _like(after, state), [_value(k, env) for k in self.rows]

        start = [jax.numpy.asarray(a) for a in arrays[:first]]
        final, stacked = jax.lax.scan(body, start, list(arrays[first:last]), self.length, self.reverse)
        return [*final, *stacked]


def _value(known: Known, env: dict[Known, Any]) -> Any:
    return known.concrete if known.concrete is not None else env[known]


def _like(values: Sequence[Any], state: Sequence[Any]) -> list[Any]:
    return [jax.numpy.asarray(v, s.dtype) for v, s in zip(values, state, strict=True)]


def _clear_pairs(given: Sequence[tuple[Operand, Operand]]) -> list[tuple[Known, Known]]:
    """(value outside the loop, parameter of its body) for those in the clear."""
    return [(a, p) for a, p in given if isinstance(a, Known) and isinstance(p, Known)]


def _outside(steps: list[Any], wanted: list[Known], inner: Walker) -> list[Known]:
    """Values from outside the loop that its public work reads."""
    made = {k for s in steps for k in s.outputs}
    read = [k for s in steps for k in s.inputs] + wanted
    found = [k for k in read if k.concrete is None and k not in made and k.scope is not inner.prelude]
    return list(dict.fromkeys(found))
