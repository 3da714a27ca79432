"""Division by 2^m with stochastic rounding, from the `split` view z = C + R.

Both ways give ceil(C / 2^m) + floor(R / 2^m) modulo 2^(k-m), the number whose sign `msb` finds with `drop`. It is floor
or ceil of z / 2^m, so of z = 0 it is 0, and unbiased, since C mod 2^m is uniform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import (
    combine,
    deal,
    numbers,
    on_second,
    own_half,
    residues,
)
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import CUT
from jmpc.ir.ops.operands import SPLIT_NUMBER
from jmpc.ir.ops.record import BOUNDED
from jmpc.ir.ops.scaling import cut, truncated
from jmpc.ir.types import Type
from jmpc.ring.element import Ring


@protocol(
    "truncate_wrap",
    takes=(SPLIT_NUMBER,),
    attrs={"bits": CUT},
    gives=truncated,
    means=cut,
    traits=(BOUNDED,),
    source="Dalskov, Escudero, Keller 2019/131, section 5; dealt by party 2",
)
def truncate_wrap(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Idea: shift C and R apart; the one thing lost is the wrap w of C + R over 2^k, and since a shifted z has top bit
    zero, w = msb(C) or msb(R).
    Security: party 1 sees R >> m and msb(R) dealt under masks; parties 0 and 1 see each other's masked half of
    (1 - msb C) msb R. All uniform. Parties 0 and 1 know C mod 2^m, the dither of the rounding: the functionality is
    "round with a uniform dither that parties 0 and 1 learn", see docs/security.md.
    Needs: |z| < 2^(k-2).  Error: floor plus e, e in {0, 1}, unbiased; never a large error.
    Cost: 2 rounds, k + 3 m bits (m in whole bytes)."""
    ring, m, k = me.ring, attrs["bits"], me.ring.k
    shape = types[0].shape
    low = residues(ring, m)
    if me.index == 2:
        r = held[0]
        high = deal(me, ring.shift_right(r, m), shape, numbers(ring))
        deal(me, ring.bit(r, k - 1), shape, low)
        wrap = combine(me, None, shape, low)
        lost: Pair = wrap
        known = on_second(me, r, ring.full(r, 0))
    else:
        c = ring.reduce(lax.add(held[0], ring.full(held[0], (1 << (k - 2)) - 1)))
        high = deal(me, None, shape, numbers(ring))
        top = ring.bit(c, k - 1)
        b = own_half(me, deal(me, None, shape, low))
        wrap = combine(me, lax.mul(lax.sub(ring.full(c, 1), top), b), shape, low)
        middle = 1 - me.index
        lost = (wrap[0], lax.add(wrap[1], top)) if middle else (lax.add(wrap[0], top), wrap[1])
        shifted = lax.add(ring.shift_right(c, m), ring.full(c, 1 - (1 << (k - 2 - m))))
        known = on_second(me, shifted, ring.full(c, 0))
    parts = [lax.sub(lax.add(h, kn), ring.shift_left(w, k - m)) for h, kn, w in zip(high, known, lost, strict=True)]
    return ring.reduce(parts[0]), ring.reduce(parts[1])


@protocol(
    "truncate_local",
    takes=(SPLIT_NUMBER,),
    attrs={"bits": CUT},
    gives=truncated,
    means=cut,
    traits=(BOUNDED,),
    source="Mohassel, Rindal, CCS 2018 (ABY3), section 5.1.1; rounding made unbiased",
)
def truncate_local(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Idea: party 2 shifts R and deals it, parties 0 and 1 shift -C and take the negative: opposite rounding, no bias.
    Security: party 1 sees one dealt element, uniform.
    Needs: the failure budget. Pr[error of 2^(k-m)] = |z| / 2^k.  Error otherwise: floor plus e, e in {0, 1}, unbiased.
    Cost: 1 round, k bits from party 2; beside a product, no round of its own."""
    ring, m = me.ring, attrs["bits"]
    shape = types[0].shape
    if me.index == 2:
        return deal(me, _arithmetic_shift(ring, held[0], m), shape, numbers(ring))
    kept = ring.reduce(lax.neg(_arithmetic_shift(ring, lax.neg(held[0]), m)))
    pair = deal(me, None, shape, numbers(ring))
    known = on_second(me, kept, ring.full(kept, 0))
    return lax.add(pair[0], known[0]), lax.add(pair[1], known[1])


def _arithmetic_shift(ring: Ring, x: Array, bits: int) -> Array:
    spare = ring.storage_bits - ring.k
    signed = lax.bitcast_convert_type(ring.shift_left(x, spare), ring.signed_dtype)
    shifted = lax.shift_right_arithmetic(
        signed, lax.full(x.shape, ring.signed_dtype.type(bits + spare), ring.signed_dtype)
    )
    return ring.reduce(lax.bitcast_convert_type(shifted, ring.dtype))
