"""The logarithm of the gamma function, and its derivative, as plain JAX with words.

What goes in: positive numbers; f, the fraction bits of the number format; error, the budget. What comes out:
lgamma x or digamma x.

Idea: up to 4 a Fourier sum for x + 1, which has no pole nearby, and one step back, -log x or -1/x; beyond that
Stirling's series, which needs that logarithm or reciprocal anyway. Source: Abramowitz and Stegun 6.1.41, 6.3.18.
Domain: lgamma, [2^-10, 2^16]; digamma, [2^-8, 2^16]. Error: 1e-4, and relative 1e-4.
Outside: of zero and below, what they are near the smallest number of the format, where the pole at 0 is all.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import BOTH, LONG_RATIOS
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import fraction, within

MIDDLE = 2.0
_lgamma = np.vectorize(math.lgamma, otypes=[float])


def _digamma(x: np.ndarray) -> np.ndarray:
    """In float64: 16 steps up, then three terms of the series."""
    top = x + 16.0
    tail = np.log(top) - 0.5 / top - 1 / (12 * top**2) + 1 / (120 * top**4)
    return tail - np.sum([1 / (x + n) for n in range(16)], axis=0)


LGAMMA = Curve(lambda x: _lgamma(x + MIDDLE + 1), BOTH, MIDDLE, 2e-5, slack=0.25, centre=MIDDLE, ratios=LONG_RATIOS)
DIGAMMA = Curve(lambda x: _digamma(x + MIDDLE + 1), BOTH, MIDDLE, 2e-5, slack=0.25, centre=MIDDLE, ratios=LONG_RATIOS)


def lgamma(x: Array, *, f: int, error: float) -> Array:
    log = jnp.log(x)
    far = (x + 0.5) * log - x + (0.5 * math.log(2 * math.pi) + (1 / 12) / x)
    return _joined(x, LGAMMA.at(error), far, f) - log


def digamma(x: Array, *, f: int, error: float) -> Array:
    inverse = jnp.where(_at_pole(x, f), 2.0**f, 1 / x)
    near = _near(x, DIGAMMA)
    small = within(jnp.where(near, 0.0, inverse), limit=1.0)
    far = jnp.log(x) + small * (0.5 - (1 / 12) * small)
    return _joined(x, DIGAMMA.at(error), far, f) - inverse


def _joined(x: Array, curve: Curve, far: Array, f: int) -> Array:
    start = float(curve.shape(np.array([-curve.centre]))[0])
    close = jnp.where(_at_pole(x, f), start, fraction(curve.sum(x), bits=f))
    return jnp.where(_near(x, curve), close, far)


def _near(x: Array, curve: Curve) -> Array:
    return below(x, threshold=curve.centre + curve.half, slack=curve.slack)


def _at_pole(x: Array, f: int) -> Array:
    return below(x, threshold=2.0**-f, slack=2.0**-f)
