"""Infer rules of randomness that no party knows, common to both levels: nothing is sent for it.

Each op has a `number` of its own, so that no two of a program are taken for the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, Attrs, rule
from jmpc.ir.types import INT, Type, secret_bits


@rule(COMMON, "random_bits")
def _random_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Fair bits."""
    return (secret_bits(attrs["shape"]),)


@rule(COMMON, "random_words")
def _random_words(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Uniform elements of the ring."""
    return (Type(attrs["shape"], INT, 0, 1 << (config.k - 1)),)


@rule(COMMON, "random_count")
def _random_count(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Of `trials` uniform numbers u of `bits` bits, how many `thresholds` are at most u, in bits, lowest first."""
    width, thresholds = attrs["bits"], attrs["thresholds"]
    if not thresholds or not all(0 <= t <= 1 << width for t in thresholds):
        raise ProgramError(f"random_count: thresholds from 0 to 2^{width} are wanted")
    digits = (len(thresholds) * attrs["trials"]).bit_length()
    return (secret_bits((digits, *attrs["shape"])),)
