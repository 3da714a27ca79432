"""Infer rules of integers that wrap: their low bits, single bits, comparisons over the whole ring.

An integer is known mod 2^k and may have left its dtype; `wrap` brings it back. Not here: bit decompositions
(`ops_bits.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import SHARE, VALUE, Attrs, rule
from jmpc.ir.types import INT, Type, secret_bits


@rule(VALUE, "wrap")
def _wrap(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The low `bits` bits, read as signed or unsigned."""
    bits = attrs["bits"]
    return (Type(types[0].shape, INT, 0, 1 << (bits - 1) if attrs["signed"] else (1 << bits) - 1),)


@rule(VALUE, "bit_at", "is_multiple")
@rule(SHARE, "bit_test", "low_zero")
def _test(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Bit `bits` - 1, the highest of the low `bits`; whether the low `bits` are all zero."""
    return (secret_bits(types[0].shape),)


@rule(VALUE, "less")
def _less(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[x < y], for elements anywhere in the ring, read as signed."""
    x, y = types
    if x.shape != y.shape:
        raise ProgramError(f"less: shapes {x.shape} and {y.shape} differ")
    return (secret_bits(x.shape),)


@rule(SHARE, "low_bits")
def _low_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """x mod 2^bits as a number that may be 2^bits too large, and the bit that says whether it is."""
    shape = types[0].shape
    return Type(shape, INT, 0, (1 << (attrs["bits"] + 1)) - 1), secret_bits(shape)
