"""Scales, bounds and kinds of numbers, truncation; how constants and inputs enter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import CONSTANT, CUT, KIND, LIMIT, ORIGIN, POINT, SCALE, SHIFT, SIZES
from jmpc.ir.ops.operands import ARITH_FIXED, NUMBER, PLAIN_ANY, PLAIN_OR_ARITH
from jmpc.ir.ops.record import COMMON, LOCAL, VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, BITS, BOOL, DECLARED, FIXED, INFERRED, INT, PLAIN, PUBLIC, SECRET, Type


def same(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return x


def _shift(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return x if frame.exact else np.left_shift(x, op.attrs["bits"])


@op("scale_up", COMMON, (NUMBER,), {"bits": SHIFT}, means=_shift)
def _scale_up(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The same number with `bits` more fraction bits."""
    (x,) = types
    bits = attrs["bits"]
    return (x.with_(kind=FIXED, scale=x.scale + bits, limit=x.limit << bits),)


@op("as_int", COMMON, (NUMBER,), means=same)
def _as_int(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A number without fraction bits, as an integer."""
    (x,) = types
    if x.scale:
        raise ProgramError(f"as_int of a value with {x.scale} fraction bits")
    return (x.with_(kind=INT),)


def _moved(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return np.ldexp(x, -op.attrs["bits"]) if frame.exact else x


@op("move_point", COMMON, (NUMBER,), {"bits": POINT}, means=_moved)
def _move_point(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The same integer with `bits` more fraction bits: the value times 2^-bits. Free."""
    (x,) = types
    return (x.with_(kind=FIXED, scale=x.scale + attrs["bits"]),)


@op("bound", COMMON, (NUMBER,), {"limit": LIMIT, "origin?": ORIGIN}, means=same, traits=(LOCAL,))
def _bound(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A bound from outside: declared by the user, or, with `origin`, set by the compiler. The identity on the value."""
    (x,) = types
    if "origin" in attrs:
        return (x.bounded(attrs["limit"], attrs["origin"]),)
    return (x.bounded(min(attrs["limit"], x.limit), DECLARED),)


def cut(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    """x / 2^bits to the nearest integer, halves up: floor, plus the highest bit that was cut."""
    bits = op.attrs["bits"]
    return x if frame.exact else np.right_shift(x, bits) + (np.right_shift(x, bits - 1) & 1)


def truncated(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Divided by 2^bits, rounded up or down; the scale drops by `bits`."""
    (x,), bits = types, attrs["bits"]
    if bits > x.scale:
        raise ProgramError(f"truncate: {bits} bits of a value with {x.scale} fraction bits")
    form = ARITH if x.secret else PLAIN
    return (x.with_(scale=x.scale - bits, limit=(x.limit >> bits) + 1, form=form),)


op("truncate", VALUE, (PLAIN_OR_ARITH,), {"bits": CUT}, means=cut)(truncated)


def _whole(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return np.floor(x) if frame.exact else np.right_shift(x, op.inputs[0].type.scale)


@op("floor", VALUE, (ARITH_FIXED,), means=_whole)
def _floor(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The largest integer below, exactly."""
    (x,) = types
    return (Type(x.shape, INT, 0, (x.limit >> x.scale) + 1, x.origin),)


def _constant(frame: Frame, op: Op) -> np.ndarray:
    t = op.output.type
    return frame.enter(np.full(t.shape, op.attrs["value"], np.int64), t)


@op("const", COMMON, (), {"shape": SIZES, "kind": KIND, "scale": SCALE, "value": CONSTANT}, means=_constant)
def _const(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    limit = max(abs(attrs["value"]), 1)
    return (Type(attrs["shape"], attrs["kind"], attrs["scale"], limit, INFERRED, PUBLIC, "", PLAIN),)


@op("share", COMMON, (PLAIN_ANY,), means=same, traits=(LOCAL,))
def _share(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """An owner's input, or a public value, becomes secret."""
    (x,) = types
    return (x.with_(visibility=SECRET, owner="", form=BITS if x.kind == BOOL else ARITH),)
