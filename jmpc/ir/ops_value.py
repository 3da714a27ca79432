"""Infer rules of the value level: what is computed."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import VALUE, Attrs, held, rule
from jmpc.ir.ops_linear import linear_shape
from jmpc.ir.types import (
    ARITH,
    BOOL,
    INT,
    PLAIN,
    SECRET,
    Type,
    secret_bits,
)


@rule(VALUE, "truncate")
def _truncate(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Divide by 2^bits, rounding up or down; the scale drops by `bits`."""
    return (truncated(types[0], attrs["bits"]),)


def truncated(x: Type, bits: int) -> Type:
    if bits > x.scale:
        raise ProgramError(f"truncate: {bits} bits of a value with {x.scale} fraction bits")
    form = ARITH if x.secret else PLAIN
    return x.with_(scale=x.scale - bits, limit=(x.limit >> bits) + 1, form=form)


@rule(VALUE, "is_negative", "is_zero")
def _test(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (secret_bits(types[0].shape),)


@rule(VALUE, "floor")
def _floor(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The largest integer below, exactly."""
    (x,) = types
    return (Type(x.shape, INT, 0, (x.limit >> x.scale) + 1, x.origin),)


@rule(VALUE, "relu")
def _relu(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0].with_(form=ARITH),)


@rule(VALUE, "select_or_zero")
def _select_or_zero(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The value where the bit is one, else zero."""
    b, x = types
    if b.kind != BOOL or b.shape != x.shape:
        raise ProgramError(f"select_or_zero: {b.kind}{b.shape} and {x.shape}")
    return (x.with_(visibility=SECRET, owner="", form=ARITH),)


@rule(VALUE, "to_arith")
def _to_arith(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (Type(types[0].shape, INT, 0, 1),)


@rule(VALUE, "reduce_and", "reduce_or")
def _reduce_logic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (Type(kept, BOOL, **held((x,))),)


@rule(VALUE, "reduce_max")
def _reduce_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (x.with_(shape=kept, form=ARITH),)


@rule(VALUE, "argmax")
def _argmax(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Index of the first largest element along one axis."""
    x = types[0]
    axis = attrs["axis"]
    kept = tuple(n for d, n in enumerate(x.shape) if d != axis)
    return (Type(kept, INT, 0, max(x.shape[axis] - 1, 1)),)


@rule(VALUE, "window_max")
def _window_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    return (x.with_(shape=linear_shape("window_sum", types, attrs), form=ARITH),)
