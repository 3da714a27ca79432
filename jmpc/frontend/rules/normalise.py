"""Rules for the words of `numerics/elementary/normalise.py`: tables of the exponent, and a product with a scale made
for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jmpc.frontend.walk import Operand, Walker, word_rule
from jmpc.ir import ops
from jmpc.ir.ops.bits import LOW_DIGIT, index_digits
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED
from jmpc.numerics.elementary.normalise import Form, Table


def _many(w: Walker, name: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
    """An op of several results."""
    types = ops.infer(name, [v.type for v in inputs], attrs, w.config, w.build.loc)
    return w.build.emit_many(name, inputs, types, **attrs)


@word_rule("by_exponent")
def _by_exponent(
    w: Walker, args: list[Operand], form: Form, high: tuple[Table, ...], low: tuple[Table, ...]
) -> list[Value]:
    x = w.secret(args[0])
    digits = index_digits(form.width, form.symmetric)
    bits = _many(w, "exponent", x, width=form.width, digits=digits, symmetric=form.symmetric)
    return [*looked_up(w, bits[LOW_DIGIT:], high), *looked_up(w, bits[:LOW_DIGIT], low)]


def looked_up(w: Walker, bits: Sequence[Value], tables: Sequence[Table]) -> tuple[Value, ...]:
    """What each table says of the number that the bits make, lowest first."""
    return _many(w, "lookup", *bits, tables=tuple(t for t, _ in tables), scales=tuple(s for _, s in tables))


@word_rule("scaled")
def _scaled(w: Walker, args: list[Operand], bits: int, limit: float) -> Value:
    """The bounds of the factors say nothing of the product: it rests on what the function says."""
    x, s = (w.secret(a) for a in args)
    free = w.emit("bound", s, limit=s.type.limit, origin=ASSUMED)
    made = w.emit("move_point", w.emit("mul", x, free), bits=bits)
    return w.emit("bound", made, limit=min(round(limit * 2**made.type.scale), made.type.limit), origin=ASSUMED)
