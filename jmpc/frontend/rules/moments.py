"""Derivatives of a variance of moments, mean(x^2) - mean(x)^2: two large terms, of which the difference counts.

What goes in: products with something over the root of such a variance, and what linear operations make of them. What
comes out: where the two terms meet, their difference, computed as such. The derivative is g x - g mean(x) with a small
g, of which fixed point has few bits, and x may be large. But g (x - mean(x)) is no larger than a normalised x times
what is known of g, so it is computed at once, instead of g x; what g x is beyond that, g mean(x), is only noted, until
it is taken away again. It is noted by how much of which elements of g and of the sum it is, which linear operations
change as they change the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import roots, squares, sums
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.rules.linear import number_of, product
from jmpc.frontend.walk import Operand, Walker, follows
from jmpc.ir.program import Op, Value
from jmpc.ir.types import FIXED

SAME = ("truncate", "bound", "scale_up")


@dataclass(frozen=True, eq=False)
class Linear:
    """factor times elements of `of`. at: which, by their place in it when it is flat."""

    factor: float
    of: Value
    at: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Pending:
    """factor times elements of `part`, something over a root, times elements of `total`, a sum."""

    factor: float
    part: Value
    total: Value
    part_at: np.ndarray = field(repr=False)
    total_at: np.ndarray = field(repr=False)

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Pending:
        return replace(self, part_at=move(self.part_at), total_at=move(self.total_at))


@dataclass(frozen=True, eq=False)
class Split:
    """The sum of a rest and of what is pending. rest: None for zero."""

    rest: Operand | None
    pending: tuple[Pending, ...]


SPLIT: Fact[Split] = Fact("it is a rest, and a part of a mean")


# --- what a value is linear in


def _linear(w: Walker, x: Value) -> Linear:
    factor, moves, found = 1.0, [], x
    while (step := _step(w, found)) is not None:
        found, number, made = step
        factor *= number
        moves += [made] if made is not None else []
    at = np.arange(found.type.size, dtype=np.int32).reshape(found.shape)
    for made in reversed(moves):
        at = _moved(made, at)
    return Linear(factor, found, at)


def _step(w: Walker, x: Value) -> tuple[Value, float, Op | None] | None:
    """What x is a multiple of, by how much, and the op that moved it."""
    if (scaled := w.facts.of(squares.SCALED, x)) is not None:
        return (*scaled, None)
    made = sums.maker(w, x)
    if made is None:
        return None
    if made.output is not x and made.name not in SAME + squares.MOVES:  # a wide sum, which stands for another
        return made.output, 1.0, None
    if made.name in SAME or made.name == "neg":
        return made.inputs[0], -1.0 if made.name == "neg" else 1.0, None
    if made.name in roots.MOVES:
        return made.inputs[0], 1.0, made
    for base, factor in (made.inputs, made.inputs[::-1]) if made.name == "mul" else ():
        number = None if factor.type.secret else squares.number(w, factor)
        if number is not None and base.type.secret:
            return base, number, None
    return None


def _moved(made: Op, at: np.ndarray) -> np.ndarray:
    """Places, as an op moved what they are the places of. Broadcasts take no memory."""
    if made.name == "reshape":
        return at.reshape(made.output.shape)
    if made.name == "transpose":
        return at.transpose(made.attrs["perm"])
    return _spread(at, made.attrs["shape"], made.attrs["dims"])


def _spread(at: np.ndarray, shape: Sequence[int], dims: Sequence[int]) -> np.ndarray:
    aligned = [1] * len(shape)
    for d, size in zip(dims, at.shape, strict=True):
        aligned[d] = size
    return np.broadcast_to(at.reshape(aligned), shape)


# --- the products that both terms come from


def _split(w: Walker, x: Operand, part: Operand) -> Split | None:
    """x times something over the root of a variance, where x is what it is the variance of, or its mean."""
    argument = roots.divisor(w, part) if isinstance(part, Value) else None
    if argument is None or len(argument.of) != 1 or (isinstance(x, Known) and not x.owner):
        return None
    x, part = w.secret(x), w.secret(part)
    away = squares.deviation(w, argument.of[0])
    if away is None or away.base.type.kind != FIXED:
        return None
    given, over = _linear(w, x), _linear(w, part)
    base = _linear(w, away.base)
    if squares.same(w, given.of, base.of) and base.factor and np.array_equal(given.at, base.at):
        return _of_base(w, argument.of[0], away, part, given.factor / base.factor, over)
    total = _linear(w, away.total.output)
    if not squares.same(w, given.of, total.of):
        return None
    return Split(None, (Pending(over.factor * given.factor, over.of, total.of, over.at, given.at),))


def _of_base(
    w: Walker, centred: Value, away: squares.Deviation, part: Value, factor: float, over: Linear
) -> Split | None:
    made = roots.normalised(w, centred, part)
    if made is None:
        return None
    rest = _times(w, made, factor)
    total = away.total.output
    kept = [d for d in range(len(away.base.shape)) if d not in away.axes]
    at = _spread(np.arange(total.type.size, dtype=np.int32).reshape(total.shape), away.base.shape, kept)
    return Split(rest, (Pending(over.factor * factor / away.count, over.of, total, over.at, at),))


def _times(w: Walker, x: Value, factor: float) -> Value:
    return x if factor == 1 else product(w, "mul", [x, constant(np.full(x.shape, factor, np.float32))])


# --- what becomes of them


@follows("mul", "div")
def _product(w: Walker, eqn: Any, args: list[Operand], made: Operand) -> Operand:
    for x, y in (args, args[::-1]):
        number = number_of(y)
        if number and isinstance(x, Value) and (eqn.primitive.name == "mul" or x is args[0]):
            factor = 1 / number if eqn.primitive.name == "div" else number
            return _follow(w, eqn, args, made, lambda p, factor=factor: replace(p, factor=p.factor * factor))
    if eqn.primitive.name == "mul" and isinstance(made, Value) and not _is_normalised(w, args):
        for x, y in (args, args[::-1]):
            if (found := _split(w, x, y)) is not None:
                w.facts.note(SPLIT, made, found)
                break
    return made


def _is_normalised(w: Walker, args: list[Operand]) -> bool:
    """Whether one is over its own root, so that the product is as it should be."""
    for x, y in (args, args[::-1]):
        argument = roots.divisor(w, y)
        if argument is not None and isinstance(x, Value) and squares.is_over_its_own_root(w, x, argument):
            return True
    return False


@follows("neg")
def _neg(w: Walker, eqn: Any, args: list[Operand], made: Operand) -> Operand:
    return _follow(w, eqn, args, made, lambda p: replace(p, factor=-p.factor))


@follows("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "reduce_sum")
def _move(w: Walker, eqn: Any, args: list[Operand], made: Operand) -> Operand:
    op = w.build.maker(made)
    if op is None or op.name not in roots.MOVES or op.inputs[0] is not args[0]:
        return made
    return _follow(w, eqn, args, made, lambda p: p.moved(lambda at: _moved(op, at)))


def _follow(w: Walker, eqn: Any, args: list[Operand], made: Operand, change: Callable[[Pending], Pending]) -> Operand:
    """Of one operand: the rest, as the rule has it, and what is pending, changed."""
    splits = [w.facts.of(SPLIT, a) for a in args]
    if isinstance(made, Value) and any(splits):
        (split,) = [s for s in splits if s is not None]
        rest = split.rest
        if rest is not None:
            rests = [a if s is None else rest for a, s in zip(args, splits, strict=True)]
            (rest,) = w.by_rule(eqn.primitive.name, eqn, rests)
        w.facts.note(SPLIT, made, Split(rest, tuple(change(p) for p in split.pending)))
    return made


@follows("add", "add_any", "sub")
def _sum(w: Walker, eqn: Any, args: list[Operand], made: Operand) -> Operand:
    """The sum; of the rests alone, where nothing is pending any more."""
    splits = [w.facts.of(SPLIT, a) for a in args]
    if not isinstance(made, Value) or not any(splits):
        return made
    sign = -1.0 if eqn.primitive.name == "sub" else 1.0
    pending: list[Pending] = []
    for split, factor in zip(splits, (1.0, sign), strict=True):
        for p in split.pending if split is not None else ():
            pending = _with(w, pending, replace(p, factor=p.factor * factor))
    rest = _rest(w, eqn, args, splits)
    if not pending:
        return made if rest is None else rest
    return w.facts.note(SPLIT, made, Split(rest, tuple(pending)))


def _rest(w: Walker, eqn: Any, args: list[Operand], splits: list[Split | None]) -> Operand | None:
    rests = [a if s is None else s.rest for a, s in zip(args, splits, strict=True)]
    if all(r is None for r in rests):
        return None
    zero = constant(np.zeros(args[0].shape, np.float32))
    given = [zero if r is None else w.secret(r) for r in rests]
    return w.by_rule(eqn.primitive.name, eqn, given)[0]


def _with(w: Walker, pending: list[Pending], more: Pending) -> list[Pending]:
    """One more; with another of the same elements it makes one, or none."""
    for n, p in enumerate(pending):
        alike = squares.same(w, p.part, more.part) and squares.same(w, p.total, more.total)
        if alike and np.array_equal(p.part_at, more.part_at) and np.array_equal(p.total_at, more.total_at):
            rest = [q for m, q in enumerate(pending) if m != n]
            factor = p.factor + more.factor
            return rest if math.isclose(p.factor, -more.factor, rel_tol=1e-5) else [*rest, replace(p, factor=factor)]
    return [*pending, more]
