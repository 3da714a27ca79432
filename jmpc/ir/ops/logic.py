"""Logic on bits, and what bits choose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import AXES
from jmpc.ir.ops.operands import BIT, PLAIN_OR_ARITH, SECRET_BIT
from jmpc.ir.ops.record import COMMON, VALUE, Attrs, Frame, op
from jmpc.ir.ops.visibility import held
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, BOOL, INT, SECRET, Type


def _logic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.kind != BOOL or y.kind != BOOL or x.shape != y.shape:
        raise ProgramError(f"logic on {x.kind}{x.shape} and {y.kind}{y.shape}")
    return (Type(x.shape, BOOL, **held((x, y))),)


op("xor", COMMON, (BIT, BIT), means=lambda frame, op, x, y: np.logical_xor(x, y))(_logic)
op("and", COMMON, (BIT, BIT), means=lambda frame, op, x, y: np.logical_and(x, y))(_logic)
op("or", COMMON, (BIT, BIT), means=lambda frame, op, x, y: np.logical_or(x, y))(_logic)


@op("not", COMMON, (BIT,), means=lambda frame, op, x: np.logical_not(x))
def _not(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0],)


def _reduced(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (Type(kept, BOOL, **held((x,))),)


op("reduce_and", VALUE, (BIT,), {"axes": AXES}, means=lambda frame, op, x: np.all(x, op.attrs["axes"]))(_reduced)
op("reduce_or", VALUE, (BIT,), {"axes": AXES}, means=lambda frame, op, x: np.any(x, op.attrs["axes"]))(_reduced)


def chosen(frame: Frame, op: Op, bit: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    """The last operand where the bit is one."""
    return np.where(bit, operands[-1], 0)


@op("select_or_zero", VALUE, (SECRET_BIT, PLAIN_OR_ARITH), means=chosen)
def _select_or_zero(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The value where the bit is one, else zero."""
    b, x = types
    if b.kind != BOOL or b.shape != x.shape:
        raise ProgramError(f"select_or_zero: {b.kind}{b.shape} and {x.shape}")
    return (x.with_(visibility=SECRET, owner="", form=ARITH),)


def as_number(frame: Frame, op: Op, bit: np.ndarray, *dabit: np.ndarray) -> np.ndarray:
    return bit.astype(np.int64)


def number_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A bit as the number 0 or 1."""
    return (Type(types[0].shape, INT, 0, 1),)


op("to_arith", VALUE, (SECRET_BIT,), means=as_number)(number_type)
