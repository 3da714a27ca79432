"""Cosines: a sum of products over the roots of both sums of squares.

What goes in: a numerator and a divisor. What comes out: their quotient, if it is one. The numbers are normalised first,
each by its own root, and then multiplied: that is precise whatever their size, and neither the sum of products nor the
product of the roots is ever held.
"""

from __future__ import annotations

from dataclasses import dataclass

from jmpc.frontend.expand import with_fraction
from jmpc.frontend.fixed_point import roots, squares, sums
from jmpc.frontend.fixed_point.squares import Argument
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir.program import Op, Value
from jmpc.ir.types import FIXED


@dataclass(frozen=True)
class Terms:
    """The sum of a b over axes, in some shape."""

    a: Value
    b: Value
    axes: tuple[int, ...]
    shape: tuple[int, ...]


def quotient(w: Walker, x: Operand, y: Value) -> Value | None:
    """x / y, if x is sum(a b) and y the root of sum(a^2) times the root of sum(b^2)."""
    divisor, numerator = sums.unrounded(w, y), sums.unrounded(w, x) if isinstance(x, Value) else None
    terms = None if numerator is None else _terms(w, numerator)
    if terms is None or divisor is None or divisor.name != "mul":
        return None
    arguments = [found[0] for v in divisor.inputs if (found := roots.noted(w, roots.ROOT, v)) and not found[1]]
    for one, two in (arguments, arguments[::-1]) if len(arguments) == 2 else ():
        if _is_of(w, one, terms.a, terms) and _is_of(w, two, terms.b, terms):
            return _cosine(w, terms, one, two)
    return None


def _is_of(w: Walker, argument: Argument, x: Value, terms: Terms) -> bool:
    """Whether it is the sum of the squares of x over the same axes."""
    kept = tuple(n for d, n in enumerate(x.shape) if d not in terms.axes)
    squeezed = tuple(n for n in argument.low.shape if n != 1) == tuple(n for n in kept if n != 1)
    return len(argument.of) == 1 and squeezed and squares.same(w, argument.of[0], x)


def _cosine(w: Walker, terms: Terms, one: Argument, two: Argument) -> Value:
    units = [_unit(w, x, argument, terms.axes) for x, argument in ((terms.a, one), (terms.b, two))]
    product = with_fraction(w, w.emit("mul", *units), w.config.f)
    total = w.emit("reduce_sum", product, axes=terms.axes)
    return w.emit("reshape", total, shape=terms.shape) if total.shape != terms.shape else total


def _unit(w: Walker, x: Value, argument: Argument, axes: tuple[int, ...]) -> Value:
    """x over its own root, which is spread along the axes that it sums over."""
    kept = tuple(d for d in range(len(x.shape)) if d not in axes)
    flat = {"shape": tuple(x.shape[d] for d in kept)}
    spread = [Op("broadcast", (), (), {"shape": x.shape, "dims": kept}), Op("reshape", (), (), flat)]
    return roots.unit(w, x, argument, spread)


def _terms(w: Walker, made: Op) -> Terms | None:
    shape = made.output.shape
    while made.name in ("reshape", "broadcast") and made.inputs[0].type.size == made.output.type.size:
        inner = sums.unrounded(w, made.inputs[0])
        if inner is None:
            return None
        made = inner
    if made.name == "dot":
        a, b = made.inputs
        (left, right), (first, second) = made.attrs["dims"]
        kept = tuple(d for d in range(len(a.shape)) if d not in left)
        whole = left == right and first == second == kept and a.shape == b.shape
        return Terms(a, b, tuple(left), shape) if whole and a.type.kind == b.type.kind == FIXED else None
    inner = sums.unrounded(w, made.inputs[0]) if made.name == "reduce_sum" else None
    if inner is None or inner.name != "mul" or not all(v.type.secret for v in inner.inputs):
        return None
    a, b = inner.inputs
    return Terms(a, b, made.attrs["axes"], shape)
