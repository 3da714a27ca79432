"""Random bits that are set with public probabilities, one for each row: digits of distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jmpc._types import Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.bits import repacked
from jmpc.families.replicated3.protocols.counts import below
from jmpc.families.replicated3.table import protocol
from jmpc.ring.bits import WORD, words


@protocol("random_chances", source="pseudo-random sharing as `random_bits`; comparison tree as `random_count`")
def random_chances(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> Pair:
    """For each of `thresholds` t, [u < t] of uniform numbers u of `bits` bits of its own, as packed bits.

    Idea: `random_count`, with a number for each threshold, and nothing counted.
    Security: the bits of u are pseudo-random to each single party, as in `random_bits`; ands as in `logic`.
    Needs: thresholds from 0 to 2^bits.  Error: none.  Cost: ceil(log2 bits) rounds of ands."""
    shape, rows = tuple(attrs["shape"]), len(attrs["thresholds"])
    bits = (attrs["bits"], rows, 1, words(math.prod(shape)))
    u: Pair = (me.mask("prv", bits, WORD), me.mask("nxt", bits, WORD))
    found = below(me, u, attrs["thresholds"])
    return repacked(found[0], shape), repacked(found[1], shape)
