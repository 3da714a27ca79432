"""Powers by what is known of base and exponent, sums of quotients with large numbers, and sinc near zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.testing.paths import executor

Function = Callable[..., Any]
BASES = np.round(np.geomspace(2.0**-4, 16, 23) * 2.0**18).astype(np.float32) * np.float32(2.0**-18)
EXPONENTS = np.linspace(-2, 2, 33).astype(np.float32)


def secure(function: Function, *arrays: np.ndarray) -> np.ndarray:
    with executor("simulated", 0):
        return np.asarray(jmpc.secure(lambda *xs: function(*xs))(*arrays), np.float64)


def true(function: Function, *arrays: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(function(*(np.asarray(a, np.float64) for a in arrays)))


POWERS: dict[str, tuple[Function, np.ndarray]] = {
    "a root": (lambda x: x**0.5, BASES),
    "the inverse of a root": (lambda x: x**-0.5, BASES),
    "a root and products": (lambda x: x**2.5, BASES),
    "an inverse of them": (lambda x: x**-1.5, BASES),
    "a fraction": (lambda x: x**1.7, BASES),
    "exponents": (lambda x: x ** np.linspace(-1.3, 1.4, 23).astype(np.float32), BASES),
    "a base": (lambda y: 3.0**y, EXPONENTS),
    "a base below one": (lambda y: 0.25**y, EXPONENTS),
    "the base one": (lambda y: 1.0**y, EXPONENTS),
    "bases": (lambda y: np.linspace(0.5, 3, 33).astype(np.float32) ** y, EXPONENTS),
}


@pytest.mark.parametrize("name", sorted(POWERS))
def test_a_power_with_a_public_part(name: str) -> None:
    function, x = POWERS[name]
    np.testing.assert_allclose(secure(function, x), true(function, x), rtol=2e-4, atol=2.0**-16)


def test_a_power_of_zero_is_zero() -> None:
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(secure(lambda x: x**0.5 + x**1.7, x), 0)


def test_a_real_power_of_an_integer_is_refused() -> None:
    with pytest.raises(UnsupportedError):
        jmpc.secure(lambda x, y: lax.pow(x, y)).lower(BASES, BASES.astype(np.int32))


def test_a_quotient_is_added_to_the_largest_numbers() -> None:
    x = np.array([-5e7, -3e7, 2, 2e7, 5e7], np.float32)
    np.testing.assert_allclose(secure(lambda x: x + 1 / x, x), x + 1 / x, rtol=1e-6, atol=1e-5)


def test_sinc_is_precise_near_zero() -> None:
    x = np.array([0, *2.0 ** np.arange(-18.0, 3.0)], np.float32)
    np.testing.assert_allclose(secure(jnp.sinc, x), np.sinc(x), atol=5e-5)
