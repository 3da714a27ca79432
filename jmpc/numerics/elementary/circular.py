"""Sine, cosine, tangent and sinc: one harmonic, whose period is the function's own.

What goes in: an array. What comes out: the function, for every x. Source: protocols/replicated/periodic.py. Error: 2
units of the number format, and |x| 2^-43 (at k = 64) for the rounding of the period; a tangent has that of a division.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import EVEN, LONG_RATIOS
from jmpc.numerics.language.dealt import series
from jmpc.numerics.language.words import fraction, within

MOST = 1.0 + 2.0**-10


def sin(x: Array) -> Array:
    return within(series(x, period=2 * math.pi, sin=(1.0,)), limit=MOST)


def cos(x: Array) -> Array:
    return within(series(x, period=2 * math.pi, cos=(1.0,)), limit=MOST)


def tan(x: Array, *, f: int) -> Array:
    """Both waves rounded to f bits, as a quotient asks for."""
    return fraction(sin(x), bits=f) / fraction(cos(x), bits=f)


SINC = Curve(np.sinc, EVEN, 0.5, 2e-5, ratios=LONG_RATIOS)


def sinc(x: Array, *, f: int, error: float) -> Array:
    """sin(pi x) / (pi x), near zero as a sum of its own: a quotient of two small numbers has no precision there."""
    under, over = SINC.tails(x)
    away = jnp.logical_xor(under, over)
    angle = within(series(x, period=2.0, sin=(1.0,)), limit=MOST)
    ratio = (fraction(angle, bits=f) * (1 / math.pi)) / jnp.where(away, x, 1.0)
    return within(jnp.where(away, ratio, fraction(SINC.at(error).sum(x), bits=f)), limit=MOST)
