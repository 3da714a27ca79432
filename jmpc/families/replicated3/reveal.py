"""What leaves for a receiver of a result."""

from __future__ import annotations

from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.ir.types import Type
from jmpc.ring import bits


def reveal(me: Me, held: Array | Pair, t: Type) -> list[Array]:
    """A party's first summand, masked by a fresh zero share, so that the receiver learns the sum and nothing else: of
    packed bits, not what the words hold beyond them, which no type speaks of. No message between parties."""
    mine = held[0] if isinstance(held, tuple) else held
    ours, theirs = (me.mask(side, mine.shape, mine.dtype) for side in ("nxt", "prv"))
    if t.packed:
        return [bits.cut(lax.bitwise_xor(mine, lax.bitwise_xor(ours, theirs)), t.size)]
    return [lax.add(mine, lax.sub(ours, theirs))]
