"""Powers of two of a secret: no carry bit, since the parts of an exponent multiply without being reduced.

How this works. Parties 0 and 1 know C, party 2 knows R, and x = C + R mod 2^k. Multiplied by a public integer, and
with a public offset added to C, the exponent is y' = C' + R' mod 2^(high + low) as a real number with F fraction bits.
Cut both: a high digit of `high` bits, each worth 2^low, and the rest, below 2^low. The rests add up to less than
2 2^low and need not be reduced: 2^C_rest and 2^R_rest are factors. So with h = (C_high + R_high) mod 2^high the number
2^low h + C_rest + R_rest is y' or y' + 2^(high + low), and it is y' wherever y' >= 2^low. Party 2 deals, for each digit
that C_high may be, the rest of the product; parties 0 and 1 pick the one of theirs and multiply their half of it by the
same integer 2^C_rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc._types import Array
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import deal, numbers, own_half, unmasked
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import POWER2
from jmpc.ir.ops.operands import SPLIT_FIXED
from jmpc.ir.ops.waves import exponent, power, power2_type
from jmpc.ir.types import Type
from jmpc.ring import powers
from jmpc.ring.circle import SIGNED, WORD
from jmpc.ring.element import Ring


@protocol(
    "power2_sum3",
    takes=(SPLIT_FIXED,),
    attrs=POWER2,
    gives=unmasked(power2_type),
    means=power,
    source="two-party view of the exponent, derived here; table dealt by party 2",
)
def power2_sum3(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Array:
    """2^y, y = rate x, as one summand a party, that of party 2 zero.

    Security: party 1 sees the dealt words, uniform under the key of 2 and 0, each word under a mask of its own: the
    digit that picks one is known to parties 0 and 1 alone, and nothing else is sent. The summands are not masked: what
    opens or reshares them masks them.
    Needs: y in the window [top - 2^(high + low) + 2^low, top), and top + scale <= k - 2.
    Error: relative 2^-(known + 1) and |x| 2^-25 (less where the window leaves x fewer than 24 more fraction bits), and
    absolute 2^(2^low - 1 + known - scale): half a unit of a dealt word times the largest known factor.
    Cost: 1 round, 2^high words from party 2."""
    ring, digits = me.ring, 1 << attrs["high"]
    shape, group = (digits, *types[0].shape), numbers(me.ring)
    factor, bits = exponent(attrs, types[0].scale, ring.k)
    y = ring.scale(held[0], factor)
    if me.index == 2:
        deal(me, ring.reduce(_table(ring, y, bits, attrs)), shape, group)
        return ring.full(held[0], 0)
    half = own_half(me, deal(me, None, shape, group))
    offset = (1 << (attrs["high"] + attrs["low"])) - attrs["top"]
    y = lax.add(y, ring.full(y, offset << bits))
    high, whole, power = _parts(y, bits, attrs)
    known = powers.shifted(power, _plus(whole, attrs["known"] - powers.FRACTION))
    picked = _pick(high, [lax.index_in_dim(half, n, 0, keepdims=False) for n in range(digits)])
    return ring.reduce(lax.mul(picked, lax.convert_element_type(known, ring.dtype)))


def _parts(y: Array, bits: int, attrs: Mapping[str, Any]) -> tuple[Array, Array, Array]:
    """Of an exponent with `bits` fraction bits: its high digit, the whole part of its rest, and 2^fraction."""
    word = lax.convert_element_type(y, WORD)
    high = _field(word, bits + attrs["low"], attrs["high"])
    whole = _field(word, bits, attrs["low"])
    return high, lax.bitcast_convert_type(whole, SIGNED), powers.of_fraction(word, bits)


def _table(ring: Ring, y: Array, bits: int, attrs: Mapping[str, Any]) -> Array:
    """For each digit c: 2^(2^low ((c + R_high) mod 2^high) + R_rest - offset), with scale - known fraction bits."""
    high, whole, power = _parts(y, bits, attrs)
    offset = (1 << (attrs["high"] + attrs["low"])) - attrs["top"]
    lowest = _plus(whole, attrs["scale"] - attrs["known"] - powers.FRACTION - offset)

    def entry(c: int) -> Array:
        digit = _field(lax.add(high, lax.full(high.shape, WORD.type(c), WORD)), 0, attrs["high"])
        step = lax.shift_left(digit, lax.full(digit.shape, WORD.type(attrs["low"]), WORD))
        power_here = powers.shifted(power, lax.add(lowest, lax.bitcast_convert_type(step, SIGNED)))
        return lax.expand_dims(lax.convert_element_type(power_here, ring.dtype), (0,))

    return lax.concatenate([entry(c) for c in range(1 << attrs["high"])], 0)


def _pick(digit: Array, options: list[Array]) -> Array:
    """options[digit]: a tree of selections by the bits of the digit."""
    for n in range(len(options).bit_length() - 1):
        odd = lax.ne(_field(digit, n, 1), lax.full(digit.shape, WORD.type(0), WORD))
        options = [lax.select(odd, y, x) for x, y in zip(options[::2], options[1::2], strict=True)]
    (only,) = options
    return only


def _field(x: Array, start: int, count: int) -> Array:
    """`count` bits from `start` up."""
    down = lax.shift_right_logical(x, lax.full(x.shape, WORD.type(start), WORD)) if start else x
    return lax.bitwise_and(down, lax.full(x.shape, np.uint64((1 << count) - 1), WORD))


def _plus(x: Array, number: int) -> Array:
    return lax.add(x, lax.full(x.shape, SIGNED.type(number), SIGNED))
