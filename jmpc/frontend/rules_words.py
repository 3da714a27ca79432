"""Rules for the words of `numerics/`: fraction bits, points, bounds."""

from __future__ import annotations

from typing import Any

from jmpc.frontend.expand import with_fraction
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Walker, word_rule
from jmpc.ir.program import Value
from jmpc.ir.types import INFERRED


@word_rule("fraction")
def _fraction(w: Walker, args: list[Any], bits: int) -> Value:
    return with_fraction(w, w.secret(args[0]), bits)


@word_rule("product")
def _product(w: Walker, args: list[Any], bits: int | None) -> Value:
    x, y = (w.factor(a) if isinstance(a, Known) and not a.owner else w.secret(a) for a in args)
    made = w.emit("mul", x, y)
    return made if bits is None or made.type.scale <= bits else with_fraction(w, made, bits)


@word_rule("point")
def _point(w: Walker, args: list[Any], bits: int) -> Value:
    return w.emit("move_point", w.secret(args[0]), bits=bits)


@word_rule("within")
def _within(w: Walker, args: list[Any], limit: float) -> Value:
    x = w.secret(args[0])
    return w.emit("bound", x, limit=min(x.type.limit, max(round(limit * 2**x.type.scale), 1)), origin=INFERRED)


@word_rule("number")
def _number(w: Walker, args: list[Any]) -> Value:
    return w.emit("scale_up", w.emit("to_arith", w.secret(args[0])), bits=0)
