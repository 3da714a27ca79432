"""Infer rules of bit decomposition, at both levels."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, SHARE, VALUE, Attrs, rule
from jmpc.ir.types import FIXED, INT, Type, secret_bits
from jmpc.numerics.normalise import FIRST, LOW_DIGIT, MINUS_ONE, index_digits, negative_index

__all__ = ["FIRST", "LOW_DIGIT", "MINUS_ONE", "index_digits", "negative_index"]


@rule(VALUE, "bits")
@rule(SHARE, "bits_of")
def _bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Bits start .. start + width - 1 of two's complement, lowest first: (width, *shape)."""
    if attrs["start"] + attrs["width"] > config.k:
        raise ProgramError(f"bits: {attrs['width']} bits from {attrs['start']} of a ring of {config.k}")
    return (secret_bits((attrs["width"], *types[0].shape)),)


@rule(COMMON, "from_bits")
def _from_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The sum of 2^j b_j along the leading axis, the last with a minus sign if `signed`."""
    (x,) = types
    if not x.shape or not 1 <= x.shape[0] <= config.k:
        raise ProgramError(f"from_bits: a leading axis of 1 to {config.k} bits is wanted, not {x.shape}")
    if attrs["signed"]:
        return (Type(x.shape[1:], INT, 0, 1 << (x.shape[0] - 1)),)
    return (Type(x.shape[1:], INT, 0, (1 << x.shape[0]) - 1),)


# --- exponents and tables


@rule(VALUE, "exponent")
@rule(SHARE, "top_bit")
def _exponent(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The place of the top bit of |x| as an index, in `digits` bits, lowest first (protocol `top_bit`), and where signs
    are symmetric the sign."""
    (x,), width, digits = types, attrs["width"], attrs["digits"]
    if width + 1 > config.k or digits != index_digits(width, attrs["symmetric"]):
        raise ProgramError(f"exponent: {digits} digits for numbers of {width} bits")
    return (secret_bits(x.shape),) * (digits + attrs["symmetric"])


@rule(COMMON, "lookup")
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
