"""Fits of Fourier sums to smooth functions on an interval around zero, least maximum error, in float64.

What goes in: a function of NumPy arrays, whether it is odd or even, the interval, the error wanted. What comes out: a
`Fit` with as few harmonics as do. Only odd harmonics are used (see `protocols/replicated/periodic.py`), so the period
is free: it is searched between two and five times the interval's half.

Source: Lawson's weights (1961) for the least maximum error. The same numbers come out wherever it runs, but for float64
rounding far below what the protocol keeps of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
ODD, EVEN, BOTH = "odd", "even", "both"
POINTS, WEIGHTINGS, MOST_HARMONICS = 400, 20, 24
RATIOS = tuple(2.2 + 0.2 * n for n in range(13))
LONG_RATIOS = tuple(5 + 0.5 * n for n in range(11))  # fewer harmonics for what is no wave, by larger coefficients
LARGEST = 7.9  # of a coefficient, as ops of the Share IR hold it


@dataclass(frozen=True)
class Fit:
    """constant + sum of sin_n sin(2 pi n x / period) + cos_n cos(2 pi n x / period) over odd n. error: the largest on
    the interval."""

    period: float
    constant: float
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    error: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """In float64."""
        waves = enumerate(zip(self.sin, self.cos, strict=True))
        angle = 2 * np.pi * np.asarray(x, np.float64) / self.period
        terms = (a * np.sin((2 * n + 1) * angle) + b * np.cos((2 * n + 1) * angle) for n, (a, b) in waves)
        return sum(terms, np.full(np.shape(x), self.constant))


@lru_cache(maxsize=256)
def fitted(function: Function, parity: str, half: float, error: float, ratios: tuple[float, ...] = RATIOS) -> Fit:
    """The fit of fewest harmonics on [-half, half] whose error is at most `error`, with a period that is one of
    `ratios` times half. Raises ValueError if there is none
    of at most MOST_HARMONICS."""
    x = _points(half, parity)
    y = function(x)
    for count in range(1, MOST_HARMONICS + 1):
        first = min((_solve(x, y, parity, r * half, count, 4) for r in ratios), key=_rank)
        best = _solve(x, y, parity, first.period, count, WEIGHTINGS) if _rank(first) < 2 * error else first
        if _rank(best) <= error:
            return best
    raise ValueError(f"no fit of {MOST_HARMONICS} harmonics is within {error}")


def _rank(fit: Fit) -> float:
    return fit.error if max(map(abs, (*fit.sin, *fit.cos))) < LARGEST else math.inf


def _points(half: float, parity: str) -> np.ndarray:
    """Dense at the ends, as errors are; of an odd or even function, one side."""
    x = half * np.cos(np.pi * np.arange(POINTS) / (POINTS - 1 if parity == BOTH else 2 * POINTS - 2))
    return x


def _basis(x: np.ndarray, parity: str, period: float, count: int) -> np.ndarray:
    angles = np.outer(x, 2 * np.pi / period * np.arange(1, 2 * count, 2))
    sines, cosines, ones = np.sin(angles), np.cos(angles), np.ones((len(x), 1))
    return {ODD: sines, EVEN: np.hstack([ones, cosines]), BOTH: np.hstack([ones, cosines, sines])}[parity]


def _solve(x: np.ndarray, y: np.ndarray, parity: str, period: float, count: int, weightings: int) -> Fit:
    basis, weights, best, least = _basis(x, parity, period, count), np.ones(len(x)), np.zeros(0), np.inf
    for _ in range(weightings):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(basis * root[:, None], y * root, rcond=1e-9)[0]
        errors = np.abs(basis @ found - y)
        largest = float(errors.max())
        if largest < least:
            best, least = found, largest
        weights *= errors / max(largest, 1e-300) + 1e-3
        weights /= weights.max()
    numbers = [float(v) for v in best]
    if parity == ODD:
        return Fit(period, 0.0, tuple(numbers), (0.0,) * count, least)
    cosines, sines = numbers[1 : count + 1], numbers[count + 1 :] or [0.0] * count
    return Fit(period, numbers[0], tuple(sines), tuple(cosines), least)
