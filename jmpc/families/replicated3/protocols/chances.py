"""Random bits that are set with public probabilities, one for each row: digits of distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.bits import repacked
from jmpc.families.replicated3.protocols.counts import below, halves
from jmpc.families.replicated3.table import even, plane_bytes, protocol
from jmpc.ir.types import Type
from jmpc.ring.bits import WORD, words

Array = Any
Pair = tuple[Array, Array]


def chances_cost(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    """Two ands a join, one where nothing is below."""
    joins, rows = halves(attrs["bits"]), len(attrs["thresholds"])
    ands = (sum(2 * n for n in joins) - len(joins)) * rows
    return even(len(joins), ands * plane_bytes(math.prod(attrs["shape"])))


@protocol(
    "random_chances",
    source="pseudo-random sharing as `random_bits`; comparison tree as `random_count`",
    cost=chances_cost,
)
def random_chances(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> Pair:
    """For each of `thresholds` t, [u < t] of uniform numbers u of `bits` bits of its own, as packed bits.

    Idea: `random_count`, with a number for each threshold, and nothing counted.
    Security: the bits of u are pseudo-random to each single party, as in `random_bits`; ands as in `logic`.
    Needs: thresholds from 0 to 2^bits.  Error: none.  Cost: ceil(log2 bits) rounds; see `chances_cost` for the bits."""
    shape, rows = tuple(attrs["shape"]), len(attrs["thresholds"])
    bits = (attrs["bits"], rows, 1, words(math.prod(shape)))
    u: Pair = (me.mask("prv", bits, WORD), me.mask("nxt", bits, WORD))
    found = below(me, u, attrs["thresholds"])
    return repacked(found[0], shape), repacked(found[1], shape)
