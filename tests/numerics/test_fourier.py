"""Fourier transforms on real and imaginary parts, in plain JAX, against NumPy's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jmpc.numerics.arrays import discrete_fourier

RNG = np.random.default_rng(4)


def _near(found: Any, expected: Any, n: int) -> None:
    parts = (expected.real, expected.imag) if isinstance(found, tuple) else (expected,)
    for one, two in zip(found if isinstance(found, tuple) else (found,), parts, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, atol=3e-7 * n + 1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 16, 97])
def test_transforms(n: int) -> None:
    _check(n)


@pytest.mark.parametrize("n", [6, 7, 12, 15])
def test_long_ones_are_split(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discrete_fourier, "LONGEST", 4)
    assert (discrete_fourier._split(n) == 1) == (n == 7)
    _check(n)


def _check(n: int) -> None:
    x, y = (jnp.asarray(RNG.normal(size=(2, n)), jnp.float32) for _ in range(2))
    z, zeros = np.asarray(x) + 1j * np.asarray(y), np.zeros(x.shape, np.float32)
    _near(discrete_fourier.transform(x, y, inverse=False), np.fft.fft(z), n)
    _near(discrete_fourier.transform(x, y, inverse=True), np.fft.ifft(z), n)
    _near(discrete_fourier.transform(x, zeros, inverse=False), np.fft.fft(np.asarray(x)), n)
    _near(discrete_fourier.transform(zeros, y, inverse=True), np.fft.ifft(1j * np.asarray(y)), n)
    half = np.fft.rfft(np.asarray(x))
    _near(discrete_fourier.transform_real(x, n=n), half, n)
    parts = (jnp.asarray(part, jnp.float32) for part in (half.real, half.imag))
    _near(discrete_fourier.inverse_real(*parts, n=n), np.asarray(x), n)
