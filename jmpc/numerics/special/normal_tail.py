"""The logarithm of the normal distribution function, as plain JAX with words.

What goes in: an array; f, the fraction bits of the number format; error, the budget. What comes out: log P(X < x).

Idea: less -x^2 / 2 it is a Fourier sum from -5.3 to 3.9, below that minus the logarithm of -x and a series in 1 / x^2;
above, 0. So nothing takes the logarithm of a number that the format cannot hold. Source: Abramowitz and Stegun 26.2.12.
Domain: every x. Error: 1e-4, and relative 1e-6. Below -2^13 it is -2^25, which the format still holds.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import BOTH, LONG_RATIOS
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import fraction, within

MIDDLE = -0.7
LAST = 2.0**13
ROOT = 0.5 * math.log(2 * math.pi)
_cdf = np.vectorize(NormalDist().cdf, otypes=[float])


def _beside_the_square(x: np.ndarray) -> np.ndarray:
    x = x + MIDDLE
    return np.log(_cdf(x)) + x * x / 2


CURVE = Curve(_beside_the_square, BOTH, 4.6, 6e-5, centre=MIDDLE, ratios=LONG_RATIOS)


def log_ndtr(x: Array, *, f: int, error: float) -> Array:
    curve = CURVE.at(error)
    under, over = curve.tails(x)
    last = below(x, threshold=-LAST, slack=1.0)
    far = jnp.logical_xor(under, last)
    size = within(jnp.where(far, -x, 8.0), limit=LAST)
    inverse = within(1 / size, limit=0.25)
    z = inverse * inverse
    tail = -jnp.log(size) - ROOT - z * (1 - z * (2.5 - z * (37 / 3 - z * (353 / 4))))
    beside = jnp.where(under, tail, fraction(curve.sum(x), bits=f))
    inside = within(jnp.where(jnp.logical_or(over, last), 0.0, x), limit=LAST)
    found = jnp.where(over, 0.0, beside - 0.5 * (inside * inside))
    return jnp.where(last, -(LAST**2) / 2, found)
