"""Comparisons, and what is made of them at once: ReLU, maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import COMPARE, FILLED_AXES, FILLED_AXIS, SHIFT, THRESHOLD, WINDOW
from jmpc.ir.ops.linear import linear_shape
from jmpc.ir.ops.operands import ARITH_FIXED, ARITH_INT, ARITH_NUMBER
from jmpc.ir.ops.record import UNSIGNED, VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, INT, Type, secret_bits


def one_bit(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A bit for each element of the first operand."""
    return (secret_bits(types[0].shape),)


def negative(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return x < 0


def zero(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return x == 0


op("is_negative", VALUE, (ARITH_NUMBER,), COMPARE, means=negative)(one_bit)
op("is_zero", VALUE, (ARITH_NUMBER,), COMPARE, means=zero, traits=(UNSIGNED,))(one_bit)


def _below(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    return x < op.attrs["threshold"] * (np.ldexp(1.0, -op.inputs[0].type.scale) if frame.exact else 1)


@op("is_below", VALUE, (ARITH_FIXED,), {"threshold": THRESHOLD, "drop": SHIFT}, means=_below)
def _is_below(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[x < threshold]; either answer for the 2^drop numbers from the threshold up."""
    return (secret_bits(types[0].shape),)


@op("less", VALUE, (ARITH_INT, ARITH_INT), means=lambda frame, op, x, y: x < y)
def _less(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[x < y], for elements anywhere in the ring, read as signed."""
    x, y = types
    if x.shape != y.shape:
        raise ProgramError(f"less: shapes {x.shape} and {y.shape} differ")
    return (secret_bits(x.shape),)


@op("relu", VALUE, (ARITH_NUMBER,), COMPARE, means=lambda frame, op, x: np.maximum(x, 0))
def _relu(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0].with_(form=ARITH),)


# --- maxima


@op(
    "reduce_max",
    VALUE,
    (ARITH_NUMBER,),
    {"axes": FILLED_AXES},
    means=lambda frame, op, x: np.max(x, op.attrs["axes"]),
)
def _reduce_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (x.with_(shape=kept, form=ARITH),)


@op("argmax", VALUE, (ARITH_NUMBER,), {"axis": FILLED_AXIS}, means=lambda frame, op, x: np.argmax(x, op.attrs["axis"]))
def _argmax(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Index of the first largest element along one axis."""
    x = types[0]
    axis: int = attrs["axis"]
    kept = tuple(n for d, n in enumerate(x.shape) if d != axis)
    return (Type(kept, INT, 0, max(x.shape[axis] - 1, 1)),)


def _largest(frame: Frame, op: Op, x: np.ndarray) -> Any:
    """Padding holds the smallest number there is, so it never wins."""
    lowest = -np.inf if frame.exact else np.iinfo(np.int64).min
    a = op.attrs
    dilations = a["base_dilation"], a["window_dilation"]
    return _typed.reduce_window(x, x.dtype.type(lowest), lax.max, a["window"], a["strides"], a["padding"], *dilations)


@op("window_max", VALUE, (ARITH_NUMBER,), WINDOW, means=_largest)
def _window_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    return (x.with_(shape=linear_shape("window_sum", types, attrs), form=ARITH),)
