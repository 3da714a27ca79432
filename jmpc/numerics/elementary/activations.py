"""Functions that run from one constant to another, or from zero to x: sigmoid, tanh, erf; gelu, silu, softplus, mish.

What goes in: an array. What comes out: a Fourier sum between two thresholds, and beyond them what the function tends
to. Both comparisons run beside the sum.

Source: least-maximum fits, `fit.py`; protocols/replicated/periodic.py. Error: `STEP` or `RAMP`, scaled by the error
budget, of the fit between the thresholds and of what stands beyond them, and rounding (2 units of the number format).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from jmpc._types import Array
from jmpc.config import ERROR
from jmpc.numerics.fits.error_budget import allowed
from jmpc.numerics.fits.least_maximum import BOTH, EVEN, ODD, RATIOS, Fit, fitted
from jmpc.numerics.language.dealt import below, series
from jmpc.numerics.language.words import fraction, number, point, within

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """shape: the function less its straight part, on floats, of the distance from `centre`.  centre, half: the interval
    [centre - half, centre + half] outside which the function is what it tends to, within `error`.  slack: of the
    comparisons at its ends.  ratios: of a fit's period to the interval's half."""

    shape: Function
    parity: str
    half: float
    error: float
    slack: float = 0.25
    centre: float = 0.0
    ratios: tuple[float, ...] = RATIOS

    def at(self, budget: float) -> Curve:
        """For another error budget than the default, for which `error` is stated."""
        return replace(self, error=allowed(self.error, budget))

    @property
    def fit(self) -> Fit:
        return fitted(self.shape, self.parity, self.half + self.slack, self.error, self.ratios)

    def sum(self, x: Array) -> Array:
        """The Fourier sum, with fraction bits to spare."""
        made = self.fit
        shifted = x - self.centre if self.centre else x
        total = series(shifted, period=made.period, sin=made.sin, cos=made.cos)
        return total + made.constant if made.constant else total

    def tails(self, x: Array) -> tuple[Array, Array]:
        """(below the interval, above it)."""
        low, high = self.centre - self.half - self.slack, self.centre + self.half
        under = below(x, threshold=low, slack=self.slack)
        return under, jnp.logical_not(below(x, threshold=high, slack=self.slack))


@dataclass(frozen=True)
class Smooth:
    """shape: a function less its straight part.  tends: what it tends to, far on either side.  error: of both, at the
    default error budget. The interval between them follows from the error."""

    shape: Function
    parity: str
    tends: Function
    error: float

    def at(self, budget: float) -> Curve:
        return _between(self, budget)


@lru_cache(maxsize=256)
def _between(smooth: Smooth, budget: float) -> Curve:
    error = allowed(smooth.error, budget)
    low, high = (_reach(smooth, side, error) for side in (-1, 1))
    centre = (high - low) / 2
    shape: Function = (lambda x: smooth.shape(x + centre)) if centre else smooth.shape
    return Curve(shape, smooth.parity, (high + low) / 2, error, centre=centre)


def _reach(smooth: Smooth, side: int, error: float) -> float:
    """The least distance from 0, in steps of 1 / FINE, beyond which the function is what it tends to."""
    far = side * np.arange(FARTHEST * FINE, 0, -1) / FINE
    off = np.abs(smooth.shape(far) - smooth.tends(far)) > error
    return float(FARTHEST * FINE - np.argmax(off) + 1) / FINE


FINE, FARTHEST = 10, 32
_erf = np.vectorize(math.erf, otypes=[float])


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) / 2


def _mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.log1p(np.exp(x))) - x / 2


def _size(x: np.ndarray) -> np.ndarray:
    return np.abs(x) / 2


STEP, RAMP = 8e-5, 2e-4
SIGMOID = Smooth(lambda x: np.tanh(x / 2) / 2, ODD, lambda x: np.sign(x) / 2, STEP)
TANH = Smooth(np.tanh, ODD, np.sign, STEP)
ERF = Smooth(_erf, ODD, np.sign, STEP)
ERFC = Smooth(lambda x: -_erf(x), ODD, lambda x: -np.sign(x), STEP)
GELU = Smooth(lambda x: x * _erf(x / math.sqrt(2)) / 2, EVEN, _size, RAMP)
GELU_TANH = Smooth(_gelu_tanh, EVEN, _size, RAMP)
SILU = Smooth(lambda x: x * np.tanh(x / 2) / 2, EVEN, _size, RAMP)
SOFTPLUS = Smooth(lambda x: np.log(2 * np.cosh(x / 2)), EVEN, _size, RAMP)
MISH = Smooth(_mish, BOTH, _size, RAMP)


def step(x: Array, *, curve: Curve, f: int, low: float, high: float) -> Array:
    """(low + high) / 2 + the curve, from `low` to `high`. Domain: every x."""
    total, middle = curve.sum(x), (low + high) / 2
    near = fraction(total + middle if middle else total, bits=f)
    under, over = curve.tails(x)
    out = jnp.where(jnp.logical_xor(under, over), 0.0, near) + high * number(over)
    out = out + low * number(under) if low else out
    return within(out, limit=max(abs(low), abs(high)) + 2.0**-10)


def ramp(x: Array, *, curve: Curve, f: int) -> Array:
    """x / 2 + the curve, from 0 to x. Domain: every x. The half of x is rounded with the sum."""
    near = within(x, limit=abs(curve.centre) + curve.half + curve.slack)
    middle = fraction(curve.sum(x) + point(near, bits=1), bits=f)
    under, over = curve.tails(x)
    return jnp.where(jnp.logical_xor(under, over), 0.0, middle) + jnp.where(over, x, 0.0)


@lru_cache(maxsize=32)
def harmonics(budget: float = ERROR) -> dict[str, int]:
    """How many harmonics each curve takes, for cost tables."""
    smooth = {"sigmoid": SIGMOID, "tanh": TANH, "erf": ERF, "gelu": GELU, "gelu_tanh": GELU_TANH}
    smooth |= {"silu": SILU, "softplus": SOFTPLUS, "mish": MISH}
    return {name: len(s.at(budget).fit.sin) for name, s in smooth.items()}
