"""Inverse functions, powers and gamma functions in floating point: their stated errors over their stated domains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special

from jmpc.config import ERROR
from jmpc.numerics.elementary import circular, hypotenuse, inverse_circular, inverse_hyperbolic, power
from jmpc.numerics.elementary import exponential as e
from jmpc.numerics.elementary.normalise import Form
from jmpc.numerics.special import bessel, erf_inverse, gamma, normal_tail

Function = Callable[..., Any]
UNIT = 2.0**-18
FORM = Form(18, 44, 18, 64, 52, False)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def sweep(low: float, high: float) -> np.ndarray:
    """Even and, from the nearer end to zero, even in the logarithm."""
    even = np.linspace(low, high, 3001)
    fine = np.geomspace(UNIT, high, 1001)
    x = np.concatenate([even, fine, -fine, 1 - fine, fine - 1, 1 + fine])
    return x[(x >= low) & (x <= high)]


CASES: dict[str, tuple[Function, Function, float, float, float]] = {
    "atan": (partial(inverse_circular.atan, f=18, error=ERROR), np.arctan, -(2.0**26), 2.0**26, 5e-5),
    "asin": (partial(inverse_circular.asin, f=18, error=ERROR), np.arcsin, -1, 1, 5e-5),
    "acos": (partial(inverse_circular.acos, f=18, error=ERROR), np.arccos, -1, 1, 5e-5),
    "asinh": (inverse_hyperbolic.asinh, np.arcsinh, -(2.0**26), 2.0**26, 1e-7),
    "acosh": (partial(inverse_hyperbolic.acosh, largest=2.0**25), np.arccosh, 1, 2.0**26, 1e-9),
    "atanh": (inverse_hyperbolic.atanh, np.arctanh, 2.0**-17 - 1, 1 - 2.0**-17, 1e-9),
    "erf_inv": (partial(erf_inverse.erf_inv, f=18, error=ERROR), special.erfinv, 2.0**-17 - 1, 1 - 2.0**-17, 3e-5),
    "tan": (partial(circular.tan, f=18), np.tan, -1.4, 1.4, 1e-9),
    "sinc": (partial(circular.sinc, f=18, error=ERROR), np.sinc, -256, 256, 3e-5),
    "lgamma": (partial(gamma.lgamma, f=18, error=ERROR), special.gammaln, 2.0**-10, 2.0**16, 8e-5),
    "digamma": (partial(gamma.digamma, f=18, error=ERROR), special.digamma, 2.0**-8, 2.0**16, 8e-5),
    "log_ndtr": (partial(normal_tail.log_ndtr, f=18, error=ERROR), special.log_ndtr, -8000, 2.0**26, 8e-5),
    "squareplus": (hypotenuse.squareplus, jax.nn.squareplus, -(2.0**26), 2.0**26, 6e-4),
    "i0e": (partial(bessel.i0e, f=18, error=ERROR), special.i0e, -1000, 1000, 2e-5),
    "i1e": (partial(bessel.i1e, f=18, error=ERROR), special.i1e, -1000, 1000, 2e-5),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_function_has_its_stated_error(name: str) -> None:
    function, true, low, high, allowed = CASES[name]
    x = sweep(low, high)
    want = np.asarray(true(x))
    assert (np.abs(np.asarray(function(jnp.asarray(x))) - want) <= allowed * np.maximum(1, np.abs(want))).all()


@pytest.mark.parametrize("angle", np.linspace(-math.pi, math.pi, 41).tolist())
def test_the_angle_of_a_point_is_in_its_quadrant(angle: float) -> None:
    radius = np.geomspace(2.0**-8, 2.0**16, 41)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    np.testing.assert_allclose(inverse_circular.atan2(y, x, f=18, error=ERROR), np.arctan2(y, x), atol=3e-5)


def test_a_power_has_its_stated_error() -> None:
    x, y = (v.ravel() for v in np.meshgrid(np.geomspace(2.0**-10, 2.0**10, 201), np.linspace(-2, 2, 41)))
    found = np.asarray(power.power(x, y, form=FORM, window=e.window(64, 18), f=18))
    error = np.abs(found - x**y)
    assert (error <= (6 * np.abs(y) + 16) * 2.0**-20 * x**y + UNIT).all()


SIGNED = replace(FORM, symmetric=True)


def test_a_power_of_a_negative_number_has_the_sign_of_a_whole_exponent() -> None:
    x, y = np.meshgrid(-np.geomspace(2.0**-4, 2.0**4, 41), [-3.0, -2, -1, 0, 1, 2, 3, 4])
    for found in (
        power.power(x, y, form=SIGNED, window=e.window(64, 18), f=18),
        power.whole_power(x, y.astype(int), form=SIGNED, window=e.window(64, 18), f=18),
    ):
        error = np.abs(np.asarray(found) - x**y)
        assert (error <= (6 * np.abs(y) + 16) * 2.0**-20 * np.abs(x**y) + UNIT).all()


def test_a_power_outside_its_domain() -> None:
    """Of a negative number that to no whole exponent, 0; of zero 0, 1 and the largest."""
    window = e.window(64, 18)
    x, y = np.array([-1.0, -(2.0**20), -0.5]), np.array([1.5, -2.5, 0.25])
    np.testing.assert_array_equal(power.power(x, y, form=SIGNED, window=window, f=18), 0)
    zero, y = np.zeros(6), np.array([0.0, 2.0**-9, 1.0, 20.0, -1.0, -30.0])
    true = [1, 0, 0, 0, 2.0**21, 2.0**21]
    np.testing.assert_allclose(power.power(zero, y, form=SIGNED, window=window, f=18), true, rtol=1e-3, atol=UNIT)
    whole = np.array([0, 1, 2, 20, -1, -30])
    np.testing.assert_allclose(power.whole_power(zero, whole, form=SIGNED, window=window, f=18), true, rtol=1e-3)
