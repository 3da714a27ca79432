"""The inverse of the error function, as plain JAX with words.

What goes in: numbers in (-1, 1); f, the fraction bits of the number format; error, the budget. What comes out:
erfinv x.

Idea: as a function of v = -log(1 - |x|), in which its growth at 1 is that of a root, it is one Fourier sum, and
1 - |x| is exact. Source: the change of variable is Giles', GPU Computing Gems 2 (2010); fits, `fit.py`.
Domain: |x| <= 1 - 2^-17. Error: 1e-4 absolute; beyond the domain, wrong and bounded.
"""

from __future__ import annotations

from statistics import NormalDist

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.numerics.elementary.activations import Curve
from jmpc.numerics.fits.least_maximum import BOTH, LONG_RATIOS
from jmpc.numerics.language.words import fraction, within

MIDDLE = 6.25
LIMIT = 3.25
_normal = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def _of_log(v: np.ndarray) -> np.ndarray:
    return -_normal(np.exp(-(v + MIDDLE)) / 2) / np.sqrt(2)


ERF_INV = Curve(_of_log, BOTH, MIDDLE, 2e-5, slack=2.0**-4, centre=MIDDLE, ratios=LONG_RATIOS)


def erf_inv(x: Array, *, f: int, error: float) -> Array:
    negative = x < 0
    log = jnp.log(1 - jnp.where(negative, -x, x))
    found = within(fraction(ERF_INV.at(error).sum(-log), bits=f), limit=LIMIT)
    return jnp.where(negative, -found, found)
