"""Inverse hyperbolic functions, as plain JAX: logarithms of what their definitions say.

What goes in: arrays. What comes out: the functions, with the error of the logarithms and roots of this folder.
Source: Abramowitz and Stegun 4.6. Error: 1e-4 absolute; a small result has no relative precision beyond that.
Domain at 64 bits with 18 of fraction: asinh, |x| <= 2^12; acosh, [1, 2^24]; atanh, |x| <= 1 - 2^-17.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from jmpc.numerics.words import within

Array = Any


def asinh(x: Array) -> Array:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x, so that nothing cancels."""
    negative = x < 0
    size = jnp.where(negative, -x, x)
    found = jnp.log(size + jnp.sqrt(x * x + 1))
    return jnp.where(negative, -found, found)


def acosh(x: Array, *, largest: float) -> Array:
    """x^2 - 1 near 1 is less than the rounding of x^2; x - 1 is exact. largest: number of the format."""
    roots = (within(jnp.sqrt(part), limit=math.sqrt(largest)) for part in (x - 1, x + 1))
    return jnp.log(x + next(roots) * next(roots))


def atanh(x: Array) -> Array:
    """Two logarithms of exact arguments cost less than one of a quotient, and have its error."""
    return 0.5 * (jnp.log(1 + x) - jnp.log(1 - x))
