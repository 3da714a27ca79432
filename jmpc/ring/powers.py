"""Powers of two in integer arithmetic: the same bits on every platform, compiler and device (see `circle.py`).

What goes in: exponents as integers with a fraction. What comes out: integers with a stated number of fraction bits.

Source: 2^t on [0, 1) by a least-maximum polynomial of degree 5, then a shift. Error: relative 1.1e-7, and half a unit
for the shift (tests/ring/test_powers.py).
"""

from __future__ import annotations

import numpy as np
from jax import lax

from jmpc._types import Array
from jmpc.ring.circle import SIGNED, WORD, polynomial

FRACTION = 30
ARGUMENT = 31
POWER = (1073741709, 744269248, 257848051, 59985925, 9602290, 2036310)  # 2^t = p(t), in units of 2^-FRACTION


def of_fraction(x: Array, bits: int) -> Array:
    """2^t, in [1, 2), as words with FRACTION fraction bits; t is the low `bits` bits of x, over 2^bits."""
    top = lax.shift_left(x, _like(x, 64 - bits))
    t = lax.bitcast_convert_type(lax.shift_right_logical(top, _like(x, 64 - ARGUMENT)), SIGNED)
    return lax.bitcast_convert_type(polynomial(t, POWER, ARGUMENT), WORD)


def shifted(power: Array, by: Array) -> Array:
    """`power`, below 2^31, times 2^by, rounded to the nearest integer; by is a signed array of at most 31."""
    down = lax.sub(lax.full(by.shape, SIGNED.type(31), SIGNED), by)
    down = lax.min(down, lax.full(by.shape, SIGNED.type(63), SIGNED))
    wide = lax.shift_left(power, _like(power, 32))
    half = lax.shift_right_logical(wide, lax.bitcast_convert_type(down, WORD))
    return lax.shift_right_logical(lax.add(half, _like(half, 1)), _like(half, 1))


def _like(x: Array, number: int) -> Array:
    return lax.full(x.shape, WORD.type(number), np.dtype(WORD))
