"""Integer powers of two: error against float64, and bits that never change."""

from __future__ import annotations

import hashlib

import jax
import numpy as np
import pytest

from jmpc import _jax
from jmpc.ring import powers

RNG = np.random.default_rng(4)
EXPONENTS = np.concatenate(
    [np.array([0, 1, (1 << 40) - 1, 1 << 39], np.uint64), RNG.integers(0, 1 << 40, 20_000, np.uint64)]
)


def power(bits: int) -> np.ndarray:
    with _jax.x64():
        return np.asarray(powers.of_fraction(jax.numpy.asarray(EXPONENTS), bits))


@pytest.mark.parametrize("bits", [12, 31, 40])
def test_the_error_is_as_stated(bits: int) -> None:
    t = np.ldexp((EXPONENTS % np.uint64(1 << bits)).astype(np.float64), -bits)
    found = np.ldexp(power(bits).astype(np.float64), -powers.FRACTION)
    assert np.abs(found / 2**t - 1).max() < 1.1e-7 + 2.0**-28


def test_a_shift_rounds_to_the_nearest() -> None:
    x = power(40)
    for by in (-80, -32, -31, -30, -17, -1, 0, 5, 31):
        with _jax.x64():
            found = np.asarray(powers.shifted(jax.numpy.asarray(x), jax.numpy.full(x.shape, by, np.int64)))
        exact = np.ldexp(x.astype(np.float64), by)
        assert np.abs(found.astype(np.float64) - exact).max() <= 0.5


def test_the_bits_are_those_of_every_platform() -> None:
    made = power(40)[:64].astype("<u8").tobytes()
    assert hashlib.sha256(made).hexdigest()[:16] == "04b52c4a050514ab"
