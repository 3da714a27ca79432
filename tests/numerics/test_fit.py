"""Fits of Fourier sums: error, parity, refusal."""

from __future__ import annotations

import numpy as np
import pytest

from jmpc.numerics.fits.least_maximum import BOTH, EVEN, ODD, fitted


def smooth(x: np.ndarray) -> np.ndarray:
    return np.exp(-((x - 0.5) ** 2)) + x / 8


@pytest.mark.parametrize(
    ("function", "parity", "half"), [(np.tanh, ODD, 4.0), (np.cosh, EVEN, 2.0), (smooth, BOTH, 3.0)]
)
def test_a_fit_has_its_error_between_its_points_too(function: np.ufunc, parity: str, half: float) -> None:
    made = fitted(function, parity, half, 1e-4)
    x = np.linspace(-half, half, 20_001)
    error = np.abs(made(x) - function(x)).max()
    assert 0 < error <= 1.02 * made.error <= 1.02e-4


def test_a_smaller_error_takes_more_harmonics() -> None:
    counts = [len(fitted(np.tanh, ODD, 4.0, error).sin) for error in (1e-2, 1e-3, 1e-4)]
    assert counts == sorted(set(counts))


def test_an_odd_fit_is_odd_and_an_even_one_even() -> None:
    x = np.linspace(0, 5, 100)
    odd, even = fitted(np.tanh, ODD, 4.0, 1e-3), fitted(np.cosh, EVEN, 2.0, 1e-3)
    np.testing.assert_allclose(odd(-x), -odd(x), atol=1e-12)
    np.testing.assert_allclose(even(-x), even(x), atol=1e-12)


def test_what_no_fit_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="no fit"):
        fitted(np.sign, ODD, 4.0, 1e-6)
