"""Rules for the words of `numerics/`: fraction bits, points, bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jmpc.frontend.expand import with_fraction
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Operand, Walker, word_rule
from jmpc.ir.ops.waves import COEFFICIENT, RATE
from jmpc.ir.program import Value
from jmpc.ir.types import INFERRED, weakest
from jmpc.numerics.elementary.normalise import most_fraction
from jmpc.numerics.language.dealt import Window, padded


@word_rule("fraction")
def _fraction(w: Walker, args: list[Operand], bits: int) -> Value:
    return with_fraction(w, w.secret(args[0]), bits)


@word_rule("product")
def _product(w: Walker, args: list[Operand], bits: int | None) -> Value:
    x, y = (w.factor(a) if isinstance(a, Known) and not a.owner else w.secret(a) for a in args)
    made = w.emit("mul", x, y)
    return made if bits is None or made.type.scale <= bits else with_fraction(w, made, bits)


@word_rule("point")
def _point(w: Walker, args: list[Operand], bits: int) -> Value:
    return w.emit("move_point", w.secret(args[0]), bits=bits)


@word_rule("within")
def _within(w: Walker, args: list[Operand], limit: float) -> Value:
    x = w.secret(args[0])
    return w.emit(
        "bound",
        x,
        limit=min(x.type.limit, max(round(limit * 2**x.type.scale), 1)),
        origin=weakest(x.type.origin, INFERRED),
    )


@word_rule("cut")
def _cut(w: Walker, args: list[Operand], bits: int) -> Value:
    x = w.secret(args[0])
    if x.type.scale <= bits:
        return with_fraction(w, x, bits)
    whole = w.emit("floor", w.emit("move_point", x, bits=-bits))
    return w.emit("move_point", whole, bits=bits)


@word_rule("whole")
def _whole(w: Walker, args: list[Operand]) -> Value:
    return w.emit("as_int", w.secret(args[0]))


@word_rule("number")
def _number(w: Walker, args: list[Operand]) -> Value:
    return w.emit("scale_up", w.emit("to_arith", w.secret(args[0])), bits=0)


@word_rule("series")
def _series(
    w: Walker, args: list[Operand], period: float, sin: tuple[float, ...] = (), cos: tuple[float, ...] = ()
) -> Value:
    """With up to 24 spare fraction bits, as the ring and the types allow, shared out between dealt and known."""
    units = [tuple(round(c * 2**COEFFICIENT) for c in wave) for wave in padded(sin, cos)]
    most = math.ceil(math.log2(max(sum(map(abs, (*sin, *cos))), 1)))
    scale = min(w.config.f + 24, most_fraction(w.config.k, w.config.f), w.config.k - 4 - most)
    rate = round(2**RATE / period)
    x = w.secret(args[0])
    return w.emit("periodic", x, rate=rate, sin=units[0], cos=units[1], scale=scale, known=(scale - 2) // 2)


@word_rule("power_of_two")
def _power_of_two(w: Walker, args: list[Operand], rate: float, window: Window) -> Value:
    attrs = {name: getattr(window, name) for name in ("top", "high", "low", "scale", "known")}
    return w.emit("power2", w.secret(args[0]), rate=round(rate * 2**RATE), **attrs)


@word_rule("below")
def _below(w: Walker, args: list[Operand], threshold: float, slack: float) -> Any:
    """Decided where the bound of x decides it."""
    x = w.secret(args[0])
    level = round(threshold * 2**x.type.scale)
    if abs(level) > x.type.limit:
        return constant(np.full(x.shape, level > 0))
    drop = max(math.floor(slack * 2**x.type.scale), 1).bit_length() - 1
    return w.emit("is_below", x, threshold=level, drop=drop)
