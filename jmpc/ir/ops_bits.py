"""Infer rules of bit decomposition, at both levels."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, SHARE, VALUE, Attrs, rule
from jmpc.ir.types import INT, Type, secret_bits


@rule(VALUE, "bits")
@rule(SHARE, "bits_of")
def _bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Bits start .. start + width - 1 of two's complement, lowest first: (width, *shape)."""
    if attrs["start"] + attrs["width"] > config.k:
        raise ProgramError(f"bits: {attrs['width']} bits from {attrs['start']} of a ring of {config.k}")
    return (secret_bits((attrs["width"], *types[0].shape)),)


@rule(COMMON, "from_bits")
def _from_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The sum of 2^j b_j along the leading axis, the last with a minus sign if `signed`. Of k - 1 bits and more the
    type says no more than the contract of integers."""
    (x,) = types
    if not x.shape or not 1 <= x.shape[0] <= config.k:
        raise ProgramError(f"from_bits: a leading axis of 1 to {config.k} bits is wanted, not {x.shape}")
    width = x.shape[0] - bool(attrs["signed"])
    return (Type(x.shape[1:], INT, 0, min((1 << width), (1 << (config.k - 2)) - 1)),)
