"""The rule for scan: one region, compiled once, whatever its length.

What goes in: a loop's body and its operands. What comes out: its results; the public work of the body runs before, in
the clear. Not here: loops whose trip count must first be found (`rules_while.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.frontend import integers
from jmpc.frontend.expand import with_fraction
from jmpc.frontend.kinds import constant, integer_limit
from jmpc.frontend.known import Known, Step, run_steps
from jmpc.frontend.precision import NOTHING, Wants
from jmpc.frontend.public import is_public, public_operands
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Block, Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INFERRED, INT, Type


@rule("scan")
def _scan(w: Walker, eqn: Any, args: list[Any]) -> list[Operand]:
    parts = _jax.scan_parts(eqn)
    body, wants = _jax.closed(parts["body"]), w.wants.inside(eqn)
    return run_loop(w, Loop(*body, parts["consts"], parts["carry"], parts["length"], parts["reverse"], wants), args)


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


def run_loop(w: Walker, loop: Loop, args: list[Any]) -> list[Operand]:
    """The carry at the end, and the stacked rows."""
    consts, carry = loop.consts, loop.carry
    if loop.length == 0:
        avals = [v.aval for v in loop.jaxpr.outvars[carry:]]
        return [*args[consts : consts + carry], *(constant(np.zeros((0, *v.shape), v.dtype)) for v in avals)]
    # One owner's values are shared at the door of a loop: only public ones stay in the clear inside it.
    args = [a if is_public(a) else w.secret(a) for a in args]
    public = public_operands(loop.jaxpr, [is_public(a) for a in args], consts, carry)
    args = [a if p else w.secret(a) for a, p in zip(args, public, strict=True)]
    args[consts : consts + carry] = [_capped(w, a) for a in args[consts : consts + carry]]
    return Scan(w, loop, args).emit()


def _capped(w: Walker, a: Operand) -> Operand:
    """A carry starts within the contract that it is assumed to keep."""
    most = ops.contract(a.type.scale, w.config, a.type.kind) if isinstance(a, Value) else 0
    if isinstance(a, Known) or a.type.kind == BOOL or a.type.limit <= most:
        return a
    return w.emit("bound", a, limit=most, origin=ASSUMED)


class Scan:
    """One scan being lowered. Public work of the body runs first, as a scan in the clear, and what the secret part
    needs of it comes in as one more stacked input. grown: carries, by number, of integers that leave their dtype in the
    body, which wrap in the ring alone; the others keep to their dtype."""

    def __init__(self, w: Walker, loop: Loop, args: list[Operand], grown: frozenset[int] = frozenset()) -> None:
        first, last = loop.consts, loop.consts + loop.carry
        self.w, self.loop, self.args, self.grown, self.inner = w, loop, args, grown, Walker(w.shared, w)
        self.consts, self.carry, self.xs = args[:first], args[first:last], args[last:]
        self.held = [self._held(n, a) for n, a in enumerate(self.carry)]

    def _held(self, n: int, a: Operand) -> Type | None:
        """A type that holds in every iteration: the contract of the number format, or where an integer may be."""
        if isinstance(a, Known) or a.type.kind == BOOL:
            return a.type if isinstance(a, Value) else None
        if a.type.kind == FIXED:
            scale = self._scale(n, a)
            return a.type.with_(scale=scale).bounded(ops.contract(scale, self.w.config), ASSUMED)
        if integers.bits_of(self._dtype(n)) > self.w.config.k:
            return a.type.bounded(integer_limit(self._dtype(n), self.w.config), ASSUMED)
        low, high = self._span(n)
        return a.type.bounded(max(-low, high), INFERRED)

    def _scale(self, n: int, a: Value) -> int:
        """The fraction bits of a carry: those of its start, or as many as what it becomes should keep."""
        wanted = self.loop.wants.of(self.loop.jaxpr.invars[len(self.consts) + n])
        return a.type.scale if wanted is None else max(a.type.scale, wanted.by_constant)

    def emit(self) -> list[Operand]:
        inner = self.inner
        params: dict[str, list[Value]] = {"const": [], "carry": [], "xs": []}
        body_args: list[Operand] = [self._const(a, params["const"]) for a in self.consts]
        body_args += [self._carried(n, params["carry"]) for n in range(len(self.carry))]
        body_args += [self._sliced(a, params["xs"]) for a in self.xs]
        outs = inner.run(self.loop.jaxpr, self.loop.body_consts, body_args, self.loop.wants)
        new_carry, ys = outs[: len(self.carry)], outs[len(self.carry) :]
        grown = {n for n, v in enumerate(new_carry) if not integers.is_settled(inner, v, self._dtype(n))}
        if grown - self.grown:
            return Scan(self.w, self.loop, self.args, self.grown | grown).emit()
        results = [self._same_type(v, t) for v, t in zip(new_carry, self.held, strict=True) if t is not None]
        results += [v for v in ys if isinstance(v, Value)]
        stacked, clear = self._public_part(body_args, new_carry, ys)
        captured_outer = [outer for outer, _ in inner.captures]
        operands = [a for a in self.consts if isinstance(a, Value)] + captured_outer
        operands += [self._start(n, a) for n, a in enumerate(self.carry) if isinstance(a, Value)]
        operands += [a for a in self.xs if isinstance(a, Value)] + stacked
        all_params = params["const"] + [p for _, p in inner.captures] + params["carry"] + params["xs"] + inner.params
        body = inner.build.block(tuple(all_params), tuple(results))
        made = self._loop(operands, body, len(params["const"]) + len(inner.captures), len(params["carry"]))
        return self._outputs(made, clear, ys)

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
        a, held = self.carry[number], self.held[number]
        if isinstance(a, Known):
            return Known(a.shape, a.dtype, scope=self.inner.prelude)
        assert held is not None
        param = self._param(Value(held), params)
        return param if held.kind != INT else integers.within(self.inner, param, self._span(number))

    def _sliced(self, a: Operand, params: list[Value]) -> Operand:
        if isinstance(a, Known):
            return Known(a.shape[1:], a.dtype, scope=self.inner.prelude)
        return self._param(integers.like(self.inner, a, a.shape[1:]), params)

    @staticmethod
    def _param(value: Value, params: list[Value]) -> Value:
        params.append(value)
        return value

    def _dtype(self, n: int) -> Any:
        return self.loop.jaxpr.invars[len(self.consts) + n].aval.dtype

    def _span(self, n: int) -> integers.Interval:
        """Where the carry with this number may be, if it is an integer."""
        k = self.w.config.k
        return integers.fitted((-1 << k, 1 << k), k) if n in self.grown else integers.of_dtype(self._dtype(n), k)

    def _start(self, n: int, a: Value) -> Value:
        held = self.held[n]
        if held is not None and held.kind == FIXED:
            return with_fraction(self.w, a, held.scale)
        kept = a.type.kind != INT or n in self.grown
        return a if kept else self.w.secret(integers.settle(self.w, a, self._dtype(n)))

    def _same_type(self, v: Operand, held: Type) -> Value:
        value = (
            with_fraction(self.inner, self.inner.secret(v), held.scale) if held.kind == FIXED else self.inner.secret(v)
        )
        return value if value.type == held else self.inner.emit("bound", value, limit=held.limit, origin=held.origin)

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
