"""Inverse circular functions, as plain JAX with words: one Fourier sum each, on an argument brought near zero.

What goes in: arrays; f, the fraction bits of the number format; error, the budget. What comes out: angles.

Idea: atan x = pi/2 - atan(1/x) beyond 1, atan2 divides the smaller magnitude by the larger, and
asin x = pi/2 - 2 asin(sqrt((1 - x) / 2)) beyond 1/2. Source: Abramowitz and Stegun 4.4; fits, `fit.py`.
Error: 1e-4 absolute; of atan2 where the larger magnitude is in [2^-8, 2^16].
Domain: atan, all numbers; atan2, all but both 0; asin and acos, [-1, 1], outside which they are what they are at the
nearer end.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import LONG_RATIOS, ODD
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import fraction, number, within

QUARTER = math.pi / 2
EDGE = 2.0**-4  # beyond 1: the root of what is below zero is 0
ATAN = Curve(np.arctan, ODD, 1.0, 2e-5, ratios=LONG_RATIOS)
ASIN = Curve(np.arcsin, ODD, 0.5, 2e-5, slack=2.0**-4, ratios=LONG_RATIOS)


def atan(x: Array, *, f: int, error: float) -> Array:
    """Both comparisons run beside the reciprocal."""
    under, over = ATAN.tails(x)
    steep = jnp.logical_xor(under, over)
    near = within(jnp.where(steep, 1 / x, x), limit=ATAN.half + ATAN.slack)
    angle = fraction(ATAN.at(error).sum(near), bits=f)
    turned = QUARTER * number(over) - QUARTER * number(under)
    return within(jnp.where(steep, -angle, angle) + turned, limit=QUARTER + 2.0**-10)


def atan2(y: Array, x: Array, *, f: int, error: float) -> Array:
    """The angle of (x, y), by the ratio of the smaller to the larger; half a turn where x < 0, with the sign of y."""
    steep = jnp.abs(y) > jnp.abs(x)
    ratio = within(jnp.where(steep, x, y) / jnp.where(steep, y, x), limit=ATAN.half + ATAN.slack)
    angle = fraction(ATAN.at(error).sum(ratio), bits=f)
    turned = jnp.where(steep, QUARTER, jnp.where(x < 0, math.pi, 0.0))
    signed = jnp.where(y < 0, -turned, turned)
    return within(jnp.where(steep, -angle, angle) + signed, limit=math.pi + 2.0**-10)


def asin(x: Array, *, f: int, error: float) -> Array:
    """The root of 1 - |x| is taken before the half, as 1 - |x| is exact."""
    negative = x < 0
    size = jnp.where(negative, -x, x)
    near = below(size, threshold=ASIN.half, slack=ASIN.slack)
    rest = within(jnp.where(below(size, threshold=1 + EDGE, slack=EDGE), 1 - size, 0.0), limit=1.0)
    root = jnp.sqrt(rest) * math.sqrt(0.5)
    part = within(jnp.where(near, size, root), limit=0.75)
    angle = fraction(ASIN.at(error).sum(part), bits=f)
    found = jnp.where(near, angle, QUARTER - 2 * angle)
    return within(jnp.where(negative, -found, found), limit=QUARTER + 2.0**-8)


def acos(x: Array, *, f: int, error: float) -> Array:
    return QUARTER - asin(x, f=f, error=error)
