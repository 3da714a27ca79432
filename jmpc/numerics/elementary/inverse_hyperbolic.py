"""Inverse hyperbolic functions, as plain JAX: logarithms of what their definitions say.

What goes in: arrays. What comes out: the functions, with the error of the logarithms and roots of this folder.
Source: Abramowitz and Stegun 4.6. Error: 1e-4 absolute; a small result has no relative precision beyond that.
Domain at 64 bits with 18 of fraction: asinh, every x; acosh, x >= 1; atanh, |x| <= 1 - 2^-17.
Outside: acosh x is log x for x in (0, 1) and that of the smallest number below; atanh x is the larger logarithm of its
definition less that of the smallest number, which grows from 6.6 at 1.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from jmpc._types import Array
from jmpc.numerics.elementary import hypotenuse
from jmpc.numerics.language.words import point, within


def asinh(x: Array) -> Array:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x, so that nothing cancels."""
    negative = x < 0
    size = jnp.where(negative, -x, x)
    found = _log_of_half(size, hypotenuse.root(x, size, 1.0))
    return jnp.where(negative, -found, found)


def _log_of_half(x: Array, y: Array) -> Array:
    """log(x + y) by half of the sum, which the format holds for any x and y of it, and whose halves are exact."""
    return jnp.log(point(x, bits=1) + point(y, bits=1)) + math.log(2)


def acosh(x: Array, *, largest: float) -> Array:
    """x^2 - 1 near 1 is less than the rounding of x^2; x - 1 is exact. largest: number of the format."""
    roots = (within(jnp.sqrt(part), limit=math.sqrt(largest)) for part in (x - 1, x + 1))
    return _log_of_half(x, next(roots) * next(roots))


def atanh(x: Array) -> Array:
    """Two logarithms of exact arguments cost less than one of a quotient, and have its error."""
    return 0.5 * (jnp.log(1 + x) - jnp.log(1 - x))
