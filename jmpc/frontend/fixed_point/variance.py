"""Variances, seen in what was emitted, so that they are computed the precise way.

What goes in: operands of a difference. What comes out: the mean of (x - mean)^2 in place of mean(x^2) - mean^2, in
which fixed point cancels as floating point does. Nothing here looks at names of functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import squares, sums, unfit
from jmpc.frontend.fixed_point.encode import factor_scale
from jmpc.frontend.walk import NUMBER, Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ASSUMED, FIXED

NEVER_NEGATIVE: Fact[bool] = Fact("whether it is a variance, which no secret makes negative")


# --- mean(x^2) - mean(x)^2


@dataclass(frozen=True)
class Mean:
    """sum: of what.  factor: the constant that makes a mean of it.  worth: what it stands for, however it is held."""

    sum: Op
    factor: Op
    worth: float

    @property
    def of(self) -> Value:
        return self.sum.inputs[0]

    def is_like(self, other: Mean) -> bool:
        """Whether both are over the same axes of one shape."""
        same = math.isclose(self.worth, other.worth, rel_tol=1e-6) and self.of.shape == other.of.shape
        return same and self.sum.attrs["axes"] == other.sum.attrs["axes"]


def centred(w: Walker, x: Operand, y: Operand) -> Value | None:
    """mean((v - mean v)^2) for x - y, where x is mean(v^2) and y is (mean v)^2."""
    if not (isinstance(x, Value) and isinstance(y, Value)) or x.type.kind != FIXED or x.shape != y.shape:
        return None
    centre = _root_of_square(w, y)
    mean = None if centre is None else _mean(w, centre)
    made = None if mean is None else _mean(w, x)
    if centre is None or mean is None or made is None or not mean.is_like(made):
        return None
    alike = mean.of.type.scale == centre.type.scale
    root = _root_of_square(w, made.of)
    if not alike or root is None or squares.unfreed(w, root) is not squares.unfreed(w, mean.of):
        return None
    return _variance(w, centre, mean, x.shape)


def _variance(w: Walker, centre: Value, mean: Mean, shape: tuple[int, ...]) -> Value:
    kept = tuple(n for n in range(len(mean.of.shape)) if n not in mean.sum.attrs["axes"])
    small = w.emit("reshape", centre, shape=mean.sum.output.shape)
    away = w.emit("sub", mean.of, w.emit("broadcast", small, shape=mean.of.shape, dims=kept))
    if w.wanted is None and _may_be_large(w, away):
        made = _sum_of_parts(w, away, mean.sum.attrs, mean.worth)
        return w.facts.note(NEVER_NEGATIVE, w.in_format(w.emit("reshape", made, shape=shape)), True)
    total = w.emit("reduce_sum", _settled(w, unfit.product(w, "mul", away, away)), **mean.sum.attrs)
    factor = w.emit("const", **{**mean.factor.attrs, "shape": total.shape})
    w.facts.note(NUMBER, factor, mean.worth)
    made = w.emit("mul", sums.part(w, total, factor), factor)
    made = w.in_format(w.emit("reshape", _settled(w, made), shape=shape))
    return w.facts.note(NEVER_NEGATIVE, made, True)


# --- the mean of squares of deviations


def mean_of_squares(w: Walker, x: Value, number: float | None) -> Value | None:
    """number x, where x is the sum of the squares of deviations from a mean and the number makes a variance of it. A
    variance of the number format has squares that are none, where few deviations are large: what is squared is each
    times the root of the number, so that no square is more than the variance. (A root of it takes care of itself.)"""
    total = sums.hidden(w, x)
    if w.wanted is not None or total is None or number is None or not 0 < number < 1:
        return None
    away = _root_of_square(w, total.inputs[0])
    if away is None or total.name != "reduce_sum" or squares.deviation(w, away) is None or not _may_be_large(w, away):
        return None
    return _moved(w, x, total, _sum_of_parts(w, squares.unfreed(w, away), total.attrs, number))


def _may_be_large(w: Walker, away: Value) -> bool:
    """Whether the square of a deviation may be more than the ring holds."""
    return away.type.limit**2 >= 1 << (w.config.k - 2)


def _sum_of_parts(w: Walker, away: Value, attrs: Any, number: float) -> Value:
    """A variance is at most the square of what its numbers are, whatever is known of the single deviations."""
    found = squares.deviation(w, away)
    if found is not None and away.type.origin != ASSUMED:
        most = math.ceil(found.base.type.limit**2 * number * found.count)
        if most < ops.contract(2 * found.base.type.scale, w.config):
            away = w.emit("bound", away, limit=away.type.limit, origin=ASSUMED)
    root = math.sqrt(number)
    scale = factor_scale(np.asarray(root), w.config)
    factor = w.emit("const", value=round(root * 2**scale), shape=away.shape, kind=FIXED, scale=scale)
    part = _settled(w, w.emit("mul", away, factor))
    return w.emit("reduce_sum", _settled(w, w.emit("mul", part, part)), **{"axes": attrs["axes"]})


def _moved(w: Walker, x: Value, total: Op, made: Value) -> Value:
    """`made` as x was moved since it was the sum `total`."""
    if x is total.output:
        return made
    move = w.build.maker(x)
    assert move is not None
    inner = _moved(w, move.inputs[0], total, made)
    return inner if move.name == "bound" else w.emit(move.name, inner, **move.attrs)


def never_negative(w: Walker, x: Operand) -> bool:
    return w.facts.of(NEVER_NEGATIVE, x) is not None


def _settled(w: Walker, x: Value) -> Value:
    extra = x.type.scale - w.config.f
    return w.emit("truncate", x, bits=extra) if extra > 0 else x


def _product(w: Walker, x: Value) -> Op | None:
    """The product that x is, rounded or not."""
    made = sums.unrounded(w, x)
    return made if made is not None and made.name == "mul" else None


def _root_of_square(w: Walker, x: Value) -> Value | None:
    made = _product(w, x)
    return made.inputs[0] if made is not None and made.inputs[0] is made.inputs[1] else None


def _mean(w: Walker, x: Value) -> Mean | None:
    """x as a mean over some axes, whether they were kept with size 1 or not."""
    product = _product(w, x)
    factor = None if product is None else w.build.maker(product.inputs[1])
    if product is None or factor is None or factor.name != "const":
        return None
    made = sums.unrounded(w, product.inputs[0])
    while made is not None and made.name in ("reshape", "broadcast") and made.inputs[0].type.size == x.type.size:
        made = sums.maker(w, made.inputs[0])
    if made is None or made.name != "reduce_sum":
        return None
    held = factor.attrs["value"] / 2.0 ** factor.attrs["scale"]
    worth = w.facts.of(NUMBER, factor.output)
    return Mean(made, factor, held if worth is None else worth)
