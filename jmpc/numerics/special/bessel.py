"""Modified Bessel functions of the first kind times e^-|x|, of order 0 and 1, as plain JAX with words.

What goes in: an array; f, the fraction bits of the number format; error, the budget. What comes out:
e^-|x| I(x), for every x.

Idea: a Fourier sum of |x| up to 8, where the cusp at 0 is an end, and Hankel's series in 1 / |x| beyond.
Source: Abramowitz and Stegun 9.7.1. Error: 1e-4 absolute; I(x) itself, times e^|x|, is relative 5e-4 up to |x| = 8.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import BOTH, LONG_RATIOS
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import fraction, within

MIDDLE = 4.0
ANGLES = (np.arange(200) + 0.5) * np.pi / 200  # the midpoint rule is exact to float64 for these periodic integrands


def _scaled(order: int) -> Any:
    """e^-x I(x) in float64: the mean of e^(x (cos t - 1)) cos(order t)."""

    def mean(x: np.ndarray) -> np.ndarray:
        powers = np.exp(np.multiply.outer(x + MIDDLE, np.cos(ANGLES) - 1))
        return powers @ np.cos(order * ANGLES) / len(ANGLES)

    return mean


I0E = Curve(_scaled(0), BOTH, MIDDLE, 1e-5, centre=MIDDLE, ratios=LONG_RATIOS)
I1E = Curve(_scaled(1), BOTH, MIDDLE, 1e-5, centre=MIDDLE, ratios=LONG_RATIOS)


def i0e(x: Array, *, f: int, error: float) -> Array:
    return _of_size(jnp.abs(x), I0E.at(error), (1 / 8, 9 / 128, 225 / 3072), f)


def i1e(x: Array, *, f: int, error: float) -> Array:
    negative = x < 0
    found = _of_size(jnp.where(negative, -x, x), I1E.at(error), (-3 / 8, -15 / 128, -315 / 3072), f)
    return jnp.where(negative, -found, found)


def _of_size(size: Array, curve: Curve, series: tuple[float, float, float], f: int) -> Array:
    near = below(size, threshold=curve.centre + curve.half, slack=curve.slack)
    root = within(jnp.where(near, 0.0, lax.rsqrt(size)), limit=0.375)
    inverse = root * root
    one, two, three = series
    far = root * (1 + inverse * (one + inverse * (two + inverse * three))) * (1 / math.sqrt(2 * math.pi))
    return within(jnp.where(near, fraction(curve.sum(size), bits=f), far), limit=1.0 + 2.0**-10)
