"""Integers that wrap: their low bits, single bits.

An integer is known mod 2^k and may have left its dtype; `wrap` brings it back. Not here: decompositions (`bits.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.ir.ops.attributes import FLAG, WIDTH
from jmpc.ir.ops.comparing import one_bit
from jmpc.ir.ops.operands import ARITH_INT
from jmpc.ir.ops.record import VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import INT, Type


def low_bits(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    """x mod 2^bits, by a mask: of 64 bits, all of them. Exact arithmetic holds integers too."""
    return x.astype(np.int64) & np.int64((1 << op.attrs["bits"]) - 1 if op.attrs["bits"] < 64 else -1)


def _wrapped(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    low, bits = low_bits(frame, op, x), op.attrs["bits"]
    return low - ((low >> (bits - 1)) << bits) if op.attrs["signed"] and bits < 64 else low


@op("wrap", VALUE, (ARITH_INT,), {"bits": WIDTH, "signed": FLAG}, means=_wrapped)
def _wrap(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The low `bits` bits, read as signed or unsigned."""
    bits = attrs["bits"]
    return (Type(types[0].shape, INT, 0, 1 << (bits - 1) if attrs["signed"] else (1 << bits) - 1),)


def highest(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    """Bit `bits` - 1, the highest of the low `bits`."""
    return (x.astype(np.int64) >> (op.attrs["bits"] - 1)) & 1 == 1


def none_set(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    """Whether the low `bits` are all zero."""
    return low_bits(frame, op, x) == 0


op("bit_at", VALUE, (ARITH_INT,), {"bits": WIDTH}, means=highest)(one_bit)
op("is_multiple", VALUE, (ARITH_INT,), {"bits": WIDTH}, means=none_set)(one_bit)
