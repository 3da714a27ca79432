"""Randomness that no party knows, common to both levels: nothing is sent for it.

Each op has a `number` of its own, so that no two of a program are taken for the same. The interpreter takes zeros, and
leaves what is shuffled in its order: any value is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import COUNT, GROUPS, SIZES, THRESHOLDS
from jmpc.ir.ops.operands import ARITH_ANY
from jmpc.ir.ops.record import COMMON, DRAWS, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, BITS, BOOL, INT, SECRET, Type, secret_bits

DRAWN = {"shape": SIZES, "number": COUNT}


def zeros(frame: Frame, op: Op) -> list[np.ndarray]:
    return [np.zeros(value.shape, np.int64) for value in op.outputs]


@op("random_bits", COMMON, (), DRAWN, means=zeros, traits=(DRAWS,))
def _random_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Fair bits."""
    return (secret_bits(attrs["shape"]),)


@op("random_words", COMMON, (), DRAWN, means=zeros, traits=(DRAWS,))
def _random_words(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Uniform elements of the ring."""
    return (Type(attrs["shape"], INT, 0, 1 << (config.k - 1)),)


@op("random_count", COMMON, (), {**DRAWN, "trials": GROUPS, **THRESHOLDS}, means=zeros, traits=(DRAWS,))
def _random_count(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Of `trials` uniform numbers u of `bits` bits, how many `thresholds` are at most u, in bits, lowest first."""
    digits = (_rows("random_count", attrs) * attrs["trials"]).bit_length()
    return (secret_bits((digits, *attrs["shape"])),)


@op("random_chances", COMMON, (), {**DRAWN, **THRESHOLDS}, means=zeros, traits=(DRAWS,))
def _random_chances(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """For each of `thresholds` t, whether a uniform number of `bits` bits of its own is below t."""
    return (secret_bits((_rows("random_chances", attrs), *attrs["shape"])),)


def _in_order(frame: Frame, op: Op, *arrays: np.ndarray) -> list[np.ndarray]:
    return list(arrays)


@op(
    "random_shuffle",
    COMMON,
    (ARITH_ANY,),
    {"number": COUNT},
    means=_in_order,
    more=ARITH_ANY,
    traits=(DRAWS,),
)
def _random_shuffle(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The operands with their second axis in an order that nobody knows: one for all operands, a new one for each place
    of the first axis; what is along a third axis moves as one."""
    lead = types[0].shape[:2]
    if any(len(t.shape) not in (2, 3) or t.shape[:2] != lead for t in types) or len(lead) < 2:
        raise ProgramError(f"random_shuffle: rows of one length are wanted, not {[t.shape for t in types]}")
    return tuple(t.with_(visibility=SECRET, owner="", form=BITS if t.kind == BOOL else ARITH) for t in types)


def _rows(name: str, attrs: Attrs) -> int:
    """How many thresholds there are."""
    width, thresholds = attrs["bits"], attrs["thresholds"]
    if not thresholds or not all(0 <= t <= 1 << width for t in thresholds):
        raise ProgramError(f"{name}: thresholds from 0 to 2^{width} are wanted")
    return len(thresholds)
