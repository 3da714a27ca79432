"""Randomness that no party knows: each pair of parties draws one of three summands from its key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jmpc._types import Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.table import protocol
from jmpc.ring.bits import WORD, words

SOURCE = "Cramer, Damgard, Ishai, TCC 2005 (pseudo-random secret sharing)"


@protocol("random_bits", source=SOURCE)
def random_bits(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> Pair:
    """Idea: a fair bit is the exclusive or of three pseudo-random bits, one of each pairwise key.
    Security: a party holds two of the three keys; the third bit, and so their sum, is pseudo-random to it. Two parties
    together know it.  Needs: nothing.  Error: none.  Cost: 0 rounds, 0 bits."""
    width = words(math.prod(attrs["shape"]))
    return me.mask("prv", (width,), WORD), me.mask("nxt", (width,), WORD)


@protocol("random_words", source=SOURCE)
def random_words(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> Pair:
    """Idea: a uniform element of the ring is the sum of three pseudo-random ones, one of each pairwise key.
    Security: as `random_bits`.  Needs: nothing.  Error: none.  Cost: 0 rounds, 0 bits."""
    shape = tuple(attrs["shape"])
    return me.ring.reduce(me.mask("prv", shape, me.ring.dtype)), me.ring.reduce(me.mask("nxt", shape, me.ring.dtype))
