"""Functions of a normalised argument in floating point: their stated errors, over the format and at its edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from jmpc.numerics.elementary import logarithm, reciprocal, root
from jmpc.numerics.elementary.normalise import Form, normal
from jmpc.numerics.fits import binade

UNIT = 2.0**-18
BOTH, POSITIVE = (Form(18, 44, 18, 64, 52, symmetric) for symmetric in (True, False))
Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def sweep(low: float, high: float) -> np.ndarray:
    """Dense between the powers of two, at them, and beside them."""
    powers = 2.0 ** np.arange(np.ceil(np.log2(low)), np.log2(high) + 1)
    x = np.concatenate([np.geomspace(low, high, 3001), powers, powers - UNIT, powers + UNIT])
    x = np.round(x / UNIT) * UNIT
    return x[(x >= low) & (x <= high)]


FITS = {
    "RECIPROCAL": (lambda u: 1 / u, True),
    "SQRT": (np.sqrt, True),
    "RSQRT": (lambda u: u**-0.5, True),
    "CBRT": (np.cbrt, True),
    "LOG": (np.log, False),
    "LOG2": (np.log2, False),
}


@pytest.mark.parametrize(("name", "harmonics"), [(n, len(f.sin)) for n in FITS for f in getattr(binade, n).fits])
def test_a_fit_has_its_stated_error(name: str, harmonics: int) -> None:
    fit: binade.Fit = next(f for f in getattr(binade, name).fits if len(f.sin) == harmonics)
    function, relative = FITS[name]
    x = np.linspace(1, 2, 20001)
    angles = 2 * np.pi * np.outer(x, 2 * np.arange(len(fit.sin)) + 1) / fit.period
    error = np.abs(np.sin(angles) @ fit.sin + np.cos(angles) @ fit.cos - function(x))
    most = (error / np.abs(function(x)) if relative else error).max()
    assert 0.5 * fit.error < most <= fit.error
    assert sum(map(abs, (*fit.sin, *fit.cos))) < 4


@pytest.mark.parametrize("form", [BOTH, POSITIVE])
def test_the_argument_is_normalised_exactly(form: Form) -> None:
    x = sweep(UNIT, 2.0**25.9)
    x = np.concatenate([x, -x]) if form.symmetric else x
    n = normal(x, form)
    assert ((n.u >= n.unit) & (n.u <= 2 * n.unit)).all()
    np.testing.assert_array_equal(n.u / n.s * 2.0 ** (n.top - 18) / n.unit, x)


ERRORS: dict[str, tuple[Function, Function, Form]] = {
    "reciprocal": (reciprocal.reciprocal, lambda x: 1 / x, BOTH),
    "sqrt": (root.sqrt, np.sqrt, POSITIVE),
    "rsqrt": (root.rsqrt, lambda x: x**-0.5, POSITIVE),
    "cbrt": (root.cbrt, np.cbrt, BOTH),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_function_has_its_stated_relative_error(name: str) -> None:
    found, true, form = ERRORS[name]
    x = sweep(2.0**-10, 2.0**25)
    x = np.concatenate([x, -x]) if form.symmetric else x
    y = np.asarray(found(x, form=form))
    assert (np.abs(y - true(x)) <= 2e-5 * np.abs(true(x)) + UNIT).all()


@pytest.mark.parametrize(("found", "true"), [(logarithm.log, np.log), (logarithm.log2, np.log2)])
def test_a_logarithm_has_its_stated_error(found: Function, true: Function) -> None:
    x = sweep(UNIT, 2.0**25.9)
    assert np.abs(np.asarray(found(x, form=POSITIVE)) - true(x)).max() < 1e-5


def test_a_quotient_has_its_stated_error() -> None:
    rng = np.random.default_rng(1)
    x, y = (np.round(2.0 ** rng.uniform(-10, top, 5000) / UNIT) * UNIT for top in (25, 16))
    x, y = x * rng.choice([-1, 1], 5000), np.maximum(y, 2.0**-8) * rng.choice([-1, 1], 5000)
    y = np.where(np.abs(x / y) < 2.0**25, y, x)
    found = np.asarray(reciprocal.quotient(x, y, form=BOTH, numerator=44))
    assert (np.abs(found - x / y) <= 2e-5 * np.abs(x / y) + 2.0**-16).all()


def test_outside_the_domain_a_function_saturates_as_stated() -> None:
    zero, below = np.zeros(1), np.array([-1.0, -UNIT, -(2.0**20)])
    np.testing.assert_allclose(reciprocal.reciprocal(zero, form=BOTH), 2.0**19, rtol=2e-5)
    np.testing.assert_allclose(reciprocal.quotient(np.ones(1), zero, form=BOTH, numerator=44), 2.0**11, rtol=2e-5)
    np.testing.assert_array_equal(reciprocal.reciprocal(np.array([2.0**25]), form=BOTH), 0)
    for x in (zero, below):
        np.testing.assert_array_equal(root.sqrt(x, form=POSITIVE), 0)
        np.testing.assert_allclose(root.rsqrt(x, form=POSITIVE), 2.0**9.5, rtol=2e-5)
        np.testing.assert_allclose(logarithm.log(x, form=POSITIVE), np.log(UNIT), atol=1e-5)
    np.testing.assert_array_equal(root.cbrt(zero, form=BOTH), 0)
