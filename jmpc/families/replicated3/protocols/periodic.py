"""Fourier sums of a secret: no comparison, no carry, since a wrap of the ring is a whole period.

How this works. Parties 0 and 1 know C, party 2 knows R, and x = C + R mod 2^k. Multiplied by the public integer A of
`turn`, 2^k is the period, so the angle of x is that of A C plus that of A R, exactly. By the rule for the sine of a
sum, a_n sin(n x) + b_n cos(n x) = sin(n C) D_n + cos(n C) E_n with D_n = a_n cos(n R) - b_n sin(n R) and
E_n = a_n sin(n R) + b_n cos(n R). Party 2 deals D_n and E_n; parties 0 and 1 multiply their halves by the same
integers sin(n C), cos(n C). Only odd n are used: with a period of more than four half windows they suffice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import deal, numbers, own_half, unmasked
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import PERIODIC
from jmpc.ir.ops.operands import SPLIT_FIXED
from jmpc.ir.ops.waves import COEFFICIENT, fourier, periodic_type, turn
from jmpc.ir.types import Type
from jmpc.ring import circle
from jmpc.ring.circle import SIGNED, WORD
from jmpc.ring.element import Ring


@protocol(
    "periodic_sum3",
    takes=(SPLIT_FIXED,),
    attrs=PERIODIC,
    gives=unmasked(periodic_type),
    means=fourier,
    source="sine of a sum, shares as angles; dealt by party 2; Fourier fits as in SecFormer",
)
def periodic_sum3(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Array:
    """sum_n sin_n sin(2 pi n x / T) + cos_n cos(2 pi n x / T) over n = 1, 3, 5, ..., as one summand a party, that of
    party 2 zero.

    Security: party 1 sees the dealt words, uniform under the key of 2 and 0; nothing else is sent. The summands are
    not masked: what opens or reshares them masks them.
    Needs: nothing of x; the sum of the coefficients times 2^scale below 2^(k-2).
    Error: N words rounded to scale - known bits and N numbers to `known` bits: at most N 2^(known - scale) plus
    2^-known times the sum of the coefficients, and the period is exact to one part in 2 A.
    Cost: 1 round, 2 N words from party 2."""
    ring, n = me.ring, len(attrs["sin"])
    shape, group = (2 * n, *types[0].shape), numbers(me.ring)
    angles = _angles(ring, held[0], turn(attrs["rate"], types[0].scale, ring.k))
    if me.index == 2:
        deal(me, ring.reduce(_dealt_words(ring, angles, attrs)), shape, group)
        return ring.full(held[0], 0)
    half = own_half(me, deal(me, None, shape, group))
    return ring.reduce(_known_sum(ring, angles, lax.reshape(half, (n, 2, *types[0].shape)), attrs))


def _angles(ring: Ring, x: Array, factor: int) -> Array:
    """x times the factor mod 2^k, as words in which 2^64 is a turn."""
    wide = lax.convert_element_type(ring.scale(x, factor % (1 << ring.k)), WORD)
    return lax.shift_left(wide, lax.full(x.shape, WORD.type(64 - ring.k), WORD))


def _known_sum(ring: Ring, angles: Array, half: Array, attrs: Mapping[str, Any]) -> Array:
    """The sum over n of sin(n C) and cos(n C), rounded, times this party's halves of D_n and E_n."""
    cut = circle.FRACTION - attrs["known"]

    def add(total: Array, s: Array, c: Array, words: Array) -> tuple[Array, None]:
        for known, n in ((s, 0), (c, 1)):
            word = lax.index_in_dim(words, n, 0, keepdims=False)
            total = lax.add(total, lax.mul(_rounded(ring, known, cut), word))
        return total, None

    return circle.over_odd_multiples(angles, add, ring.full(angles, 0), half)[0]


def _dealt_words(ring: Ring, angles: Array, attrs: Mapping[str, Any]) -> Array:
    """D_1, E_1, D_3, E_3, ... stacked, with scale - known fraction bits."""
    cut = COEFFICIENT + circle.FRACTION - (attrs["scale"] - attrs["known"])

    def deal_one(carry: tuple[()], s: Array, c: Array, pair: Array) -> tuple[tuple[()], Array]:
        a, b = (_typed.broadcast(lax.index_in_dim(pair, n, 0, keepdims=False), s.shape) for n in (0, 1))
        d = lax.sub(lax.mul(c, a), lax.mul(s, b))
        e = lax.add(lax.mul(s, a), lax.mul(c, b))
        return carry, lax.concatenate([lax.expand_dims(_rounded(ring, x, cut), (0,)) for x in (d, e)], 0)

    pairs = np.array([attrs["sin"], attrs["cos"]], SIGNED).T
    words = circle.over_odd_multiples(angles, deal_one, (), pairs)[1]
    return lax.reshape(words, (2 * len(pairs), *angles.shape))


def _rounded(ring: Ring, x: Array, bits: int) -> Array:
    """A signed integer over 2^bits, to the nearest, as a ring element."""
    half = lax.full(x.shape, SIGNED.type((1 << bits) >> 1), SIGNED)
    near = lax.shift_right_arithmetic(lax.add(x, half), lax.full(x.shape, SIGNED.type(bits), SIGNED))
    return lax.convert_element_type(lax.bitcast_convert_type(near, WORD), ring.dtype)
