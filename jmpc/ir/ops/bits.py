"""Bits of numbers, and numbers made of bits: decompositions, exponents, tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import EXPONENT, FLAG, SHIFT, SIZES, TABLES, WIDTH
from jmpc.ir.ops.operands import ARITH_NUMBER, SECRET_BIT
from jmpc.ir.ops.record import COMMON, SOME_BITS, UNSIGNED, VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import FIXED, INT, Type, secret_bits
from jmpc.numerics.elementary.normalise import FIRST, LOW_DIGIT, MINUS_ONE, index_digits, negative_index

__all__ = ["FIRST", "LOW_DIGIT", "MINUS_ONE", "index_digits", "negative_index"]


def planes(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    width: int = op.attrs["width"]
    numbers = np.arange(width).reshape(-1, *[1] * np.ndim(x)) + op.attrs["start"]
    return np.right_shift(frame.integers(op, x)[None], numbers) & 1 == 1


def planes_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Bits start .. start + width - 1 of two's complement, lowest first: (width, *shape)."""
    if attrs["start"] + attrs["width"] > config.k:
        raise ProgramError(f"bits: {attrs['width']} bits from {attrs['start']} of a ring of {config.k}")
    return (secret_bits((attrs["width"], *types[0].shape)),)


op("bits", VALUE, (ARITH_NUMBER,), {"start": SHIFT, "width": WIDTH}, means=planes, traits=(SOME_BITS,))(planes_type)


def _summed(frame: Frame, op: Op, bits: np.ndarray) -> np.ndarray:
    weights = np.left_shift(np.int64(1), np.arange(len(bits)))
    weights[-1] *= -1 if op.attrs["signed"] else 1
    return np.tensordot(weights, bits.astype(np.int64), (0, 0))


@op("from_bits", COMMON, (SECRET_BIT,), {"signed": FLAG}, means=_summed)
def _from_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The sum of 2^j b_j along the leading axis, the last with a minus sign if `signed`."""
    (x,) = types
    if not x.shape or not 1 <= x.shape[0] <= config.k:
        raise ProgramError(f"from_bits: a leading axis of 1 to {config.k} bits is wanted, not {x.shape}")
    if attrs["signed"]:
        return (Type(x.shape[1:], INT, 0, 1 << (x.shape[0] - 1)),)
    return (Type(x.shape[1:], INT, 0, (1 << x.shape[0]) - 1),)


# --- exponents and tables


def top_place(frame: Frame, op: Op, x: np.ndarray) -> list[np.ndarray]:
    """The bits of the index of the top bit."""
    x, symmetric, digits = frame.integers(op, x), op.attrs["symmetric"], op.attrs["digits"]
    size = np.where(x < 0, ~x, x)
    place = np.sum([size >> n > 0 for n in range(63)], 0)
    index = np.where(place > 0, place + FIRST - 1, 0)
    below = np.where(place > 0, index, MINUS_ONE) if symmetric else negative_index(digits)
    index = np.where(x < 0, below, index)
    return [index >> n & 1 == 1 for n in range(digits)] + [x < 0] * symmetric


def place_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The place of the top bit of |x| as an index, in `digits` bits, lowest first, and where signs are symmetric the
    sign."""
    (x,), width, digits = types, attrs["width"], attrs["digits"]
    if width + 1 > config.k or digits != index_digits(width, attrs["symmetric"]):
        raise ProgramError(f"exponent: {digits} digits for numbers of {width} bits")
    return (secret_bits(x.shape),) * (digits + attrs["symmetric"])


op("exponent", VALUE, (ARITH_NUMBER,), EXPONENT, means=top_place, traits=(UNSIGNED,))(place_type)


def _read(frame: Frame, op: Op, *bits: np.ndarray) -> list[np.ndarray]:
    at = np.asarray(sum(b.astype(np.int64) << n for n, b in enumerate(bits)))
    found = [np.array(table)[at] for table in op.attrs["tables"]]
    return [np.ldexp(x, -s) if frame.exact else x for x, s in zip(found, op.attrs["scales"], strict=True)]


@op("lookup", COMMON, (SECRET_BIT,), {"tables": TABLES, "scales": SIZES}, means=_read, more=SECRET_BIT)
def _lookup(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """tables[t][v] as a number with scales[t] fraction bits, v the number that the bits make, lowest first."""
    tables, scales = attrs["tables"], attrs["scales"]
    shape = types[0].shape
    if any(t.shape != shape for t in types) or len(scales) != len(tables) or not tables:
        raise ProgramError("lookup: the bits are of one shape, and each table, one at least, has a scale")
    if any(len(table) != 1 << len(types) for table in tables):
        raise ProgramError(f"lookup: a table of {len(types)} bits has {1 << len(types)} entries")
    limits = [max(max(map(abs, table)), 1) for table in tables]
    return tuple(Type(shape, FIXED, scale, limit) for scale, limit in zip(scales, limits, strict=True))
