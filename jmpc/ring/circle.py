"""Sine and cosine of angles in integer arithmetic: the same bits on every platform, compiler and device.

What goes in: angles as words, 2^64 to a turn. What comes out: signed integers with `FRACTION` fraction bits. Two
parties multiply shares by numbers that each computes alone, where one unit of difference would give garbage, so no
float may have a part in them.

Source: an eighth of a turn by least-maximum polynomials (Remez's problem, solved by Lawson's weights), the quarters by
exchanging sine and cosine, odd multiples by Chebyshev's recurrence. Error: 4e-9 for the angle itself, and below
n^2 2^-28 for its n-th multiple (tests/ring/test_circle.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from jmpc._types import AnyArray, Array

SIGNED, WORD = np.dtype(np.int64), np.dtype(np.uint64)
FRACTION = 30
ARGUMENT = 31  # fraction bits of an eighth of a turn
SINE = (843314845, -86699678, 2673480, -38523)  # sin(v pi/4) = v p(v^2)
COSINE = (1073741824, -331168967, 17023452, -349974, 3790)  # cos(v pi/4) = p(v^2)


def sine_cosine(angle: Array) -> tuple[Array, Array]:
    """(sine, cosine) of each angle."""
    eighth, quarter = WORD.type(1 << 61), WORD.type(62)
    turned = lax.shift_right_logical(lax.add(angle, _like(angle, eighth)), _like(angle, quarter))
    rest = lax.sub(angle, lax.shift_left(turned, _like(angle, quarter)))
    v = _down(lax.bitcast_convert_type(rest, SIGNED), 61 - ARGUMENT)
    square = _down(lax.mul(v, v), ARGUMENT)
    sine = _down(lax.mul(v, polynomial(square, SINE, ARGUMENT)), ARGUMENT)
    cosine = polynomial(square, COSINE, ARGUMENT)
    odd, upper = _bit(turned, 0), _bit(turned, 1)
    s, c = lax.select(odd, cosine, sine), lax.select(odd, sine, cosine)
    crossed = lax.bitwise_xor(odd, upper)
    return lax.select(upper, lax.neg(s), s), lax.select(crossed, lax.neg(c), c)


def over_odd_multiples(
    angle: Array, step: Callable[[Any, Array, Array, Any], tuple[Any, Any]], first: Any, rows: AnyArray
) -> tuple[Any, Any]:
    """Scan `carry, out = step(carry, sine, cosine, row)` over 1, 3, 5, ... times each angle, one multiple a row:
    s_(n+2) = 2 cos(2 a) s_n - s_(n-2), and cosines likewise. A loop, so that its size is that of one step."""
    s, c = sine_cosine(angle)
    twice = lax.sub(_down(lax.mul(c, c), FRACTION - 2), _like(c, SIGNED.type(2 << FRACTION)))

    def body(state: Any, row: Any) -> tuple[Any, Any]:
        carry, s, c, s_before, c_before = state
        carry, out = step(carry, s, c, row)
        s_next, c_next = (lax.sub(_down(lax.mul(twice, x), FRACTION), y) for x, y in ((s, s_before), (c, c_before)))
        return (carry, s_next, c_next, s, c), out

    (carry, *_), outs = lax.scan(body, (first, s, c, lax.neg(s), c), rows)
    return carry, outs


def polynomial(x: Array, coefficients: tuple[int, ...], bits: int) -> Array:
    """Horner's rule for x with `bits` fraction bits; the result has the coefficients'. Each step rounds down."""
    *rest, high = coefficients
    value = _like(x, SIGNED.type(high))
    for c in reversed(rest):
        value = lax.add(_down(lax.mul(value, x), bits), _like(x, SIGNED.type(c)))
    return value


def _down(x: Array, bits: int) -> Array:
    return lax.shift_right_arithmetic(x, _like(x, SIGNED.type(bits)))


def _bit(x: Array, position: int) -> Array:
    return lax.ne(lax.bitwise_and(x, _like(x, WORD.type(1 << position))), _like(x, WORD.type(0)))


def _like(x: Array, number: Any) -> Array:
    return lax.full(x.shape, number, number.dtype)
