"""Low bits of an integer x = C + R: its residue mod 2^n, its bit n - 1, whether it is a multiple of 2^n.

Modulo 2^n the two parts are cut by each party alone; what is lost is the carry over 2^n, found as `compare.py` finds
signs. Where x itself may have left its dtype, this is how the bits that count are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols import compare
from jmpc.families.replicated3.protocols.share import deal, numbers, on_second
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCK, WIDTH
from jmpc.ir.ops.comparing import one_bit
from jmpc.ir.ops.integer import highest, none_set
from jmpc.ir.ops.integer import low_bits as low_bits_of
from jmpc.ir.ops.operands import SPLIT_INT
from jmpc.ir.types import INT, Type, secret_bits

Attrs = Mapping[str, Any]


def _low_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """x mod 2^bits as a number that may be 2^bits too large, and the bit that says whether it is."""
    shape = types[0].shape
    return Type(shape, INT, 0, (1 << (attrs["bits"] + 1)) - 1), secret_bits(shape)


def _cut_in_two(frame: Any, op: Any, x: np.ndarray) -> list[np.ndarray]:
    """Any way to cut x in two is allowed, this one too."""
    return [low_bits_of(frame, op, x), np.zeros(x.shape, np.bool_)]


@protocol(
    "low_bits",
    takes=(SPLIT_INT,),
    attrs={"bits": WIDTH, "block": BLOCK},
    gives=_low_type,
    means=_cut_in_two,
    source="the ring change of Wu et al. 2024 (Ditto), section 4.2, upwards from 2^n; carry as in `msb`",
)
def low_bits(me: Me, held: list[Array], types: Sequence[Type], attrs: Attrs) -> tuple[Pair, Pair]:
    """Idea: C mod 2^n + R mod 2^n is x mod 2^n, or 2^n more where it carries. Party 2 deals its part as a number; the
    carry comes from dealt one-hot blocks. The caller subtracts 2^n times the carry.
    Security: party 1 sees dealt shares, uniform under the key of 2 and 0; the carry is computed as in `msb`.
    Needs: n < k.  Error: none.
    Cost: 2 + ceil(log2 blocks) rounds; k bits from party 2, and what the carry takes."""
    n, ring = attrs["bits"], me.ring
    mine = lax.bitwise_and(held[0], ring.full(held[0], (1 << n) - 1))
    dealt = deal(me, mine if me.index == 2 else None, types[0].shape, numbers(ring))
    known = on_second(me, mine, ring.full(mine, 0))
    known = known if me.index < 2 else (ring.full(mine, 0), ring.full(mine, 0))
    low = (lax.add(dealt[0], known[0]), lax.add(dealt[1], known[1]))
    return low, compare.carry_out(me, mine, n, attrs["block"])


@protocol(
    "bit_test",
    takes=(SPLIT_INT,),
    attrs={"bits": WIDTH, "block": BLOCK},
    gives=one_bit,
    means=highest,
    source="Mohassel, Rindal, CCS 2018 (ABY3), section 5.3; as `msb`, of the low bits alone",
)
def bit_test(me: Me, held: list[Array], types: Sequence[Type], attrs: Attrs) -> Pair:
    """Bit n - 1 of x: the sign of x as an n-bit integer, whatever is above.

    Security, cost: as `msb` of width n.  Needs: nothing.  Error: none."""
    return compare.msb(me, held, types, {"width": attrs["bits"], "drop": 0, "block": attrs["block"]})


@protocol(
    "low_zero",
    takes=(SPLIT_INT,),
    attrs={"bits": WIDTH, "block": BLOCK},
    gives=one_bit,
    means=none_set,
    source="equality of C and -R by dealt one-hot blocks and a tree of ands, as `zero_test`, of the low bits alone",
)
def low_zero(me: Me, held: list[Array], types: Sequence[Type], attrs: Attrs) -> Pair:
    """Whether x = 0 mod 2^n: equality of n-bit integers, from their difference, whatever is above.

    Security, cost: as `zero_test` of width n.  Needs: nothing.  Error: none."""
    return compare.zero_test(me, held, types, {"width": attrs["bits"], "block": attrs["block"]})
