"""Rounding of real numbers to whole ones, and remainders, as plain JAX.

What goes in: numbers with `fraction` bits after the point. What comes out: whole numbers of the same format, exactly.

Idea: all on top of the exact floor. Half a unit, and a unit of the format more or less, decide ties.
"""

from __future__ import annotations

import jax.numpy as jnp

from jmpc._types import Array
from jmpc.numerics.language.words import number, point, word


@word
def is_odd(x: Array) -> Array:
    """Whether floor(x) is odd: one bit of x."""
    return jnp.floor(x) % 2 == 1


def ceil(x: Array) -> Array:
    return -jnp.floor(-x)


def half_to_even(x: Array, *, fraction: int) -> Array:
    """Ties go to the even neighbour: the half is a unit short where floor(x) is even."""
    unit = 2.0**-fraction
    return jnp.floor(x + (0.5 - unit) + point(number(is_odd(x)), bits=fraction))


def half_away(x: Array, *, fraction: int) -> Array:
    """Ties go away from zero: the half is a unit short where x < 0."""
    return jnp.floor(x + 0.5 - point(number(x < 0), bits=fraction))


def remainder(x: Array, y: Array) -> Array:
    """lax.rem: x - y trunc(x / y), of the sign of x. Domain: |x / y| < 2^14, so that the quotient is off by less than
    one, which is put right; then the remainder is exact. Of y = 0, as of a quotient beyond: a number of no meaning."""
    size, modulus = jnp.abs(x), jnp.abs(y)
    rest = size - jnp.floor(size / modulus) * modulus
    rest = jnp.where(rest < 0, rest + modulus, jnp.where(rest >= modulus, rest - modulus, rest))
    return jnp.where(x < 0, -rest, rest)
