"""NaN as a case of a choice: what JAX's own functions hold for what is outside their domain, and what users write."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.errors import RangeError, RangeWarning
from jmpc.testing.executors import executor

Function = Callable[..., Any]
X = np.array([-2, -1.25, -0.5, 0, 0.25, 1, 1.5, 3], np.float32)


def secure(function: Function, *arrays: np.ndarray, **options: Any) -> list[np.ndarray]:
    with executor("simulated", 0):
        return [
            np.asarray(leaf) for leaf in jax.tree.leaves(jmpc.secure(lambda *xs: function(*xs), **options)(*arrays))
        ]


def close(function: Function, *arrays: np.ndarray, **options: Any) -> None:
    """As JAX has it, with 0 for NaN; and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RangeWarning)
        found = secure(function, *arrays, **options)
    wanted = jax.tree.leaves(function(*map(jnp.asarray, arrays)))
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, np.nan_to_num(np.asarray(two), posinf=np.nan), atol=2e-3)


REDUCTIONS = (jnp.var, jnp.std, jnp.mean, jnp.nanmean, jnp.nanvar)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.booleans(), min_size=8, max_size=8), st.sampled_from(REDUCTIONS), st.integers(0, 1))
def test_statistics_of_what_a_secret_mask_selects(mask: list[bool], function: Function, ddof: int) -> None:
    options = {"ddof": ddof} if function in (jnp.var, jnp.std, jnp.nanvar) else {}
    close(lambda x, m: function(x, where=m, **options), X, np.array(mask))


@pytest.mark.parametrize("function", [jnp.var, jnp.std, jnp.median, jnp.nanmedian], ids=lambda f: f.__name__)
def test_statistics_of_all_or_of_a_public_mask(function: Function) -> None:
    close(function, X)
    if "median" not in function.__name__:
        close(lambda x, m: function(x, where=m), X, X > -1)
        close(lambda x: function(x, where=jnp.arange(8) % 3 > 0), X)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 2.0]), min_size=8, max_size=8))
def test_logsumexp_with_factors_of_any_sign(factors: list[float]) -> None:
    b = np.array(factors, np.float32)
    total = float((b * np.exp(X)).sum())
    if abs(total) < 0.1:
        b[-1] += 2
    close(lambda x, b: jax.scipy.special.logsumexp(x, b=b, return_sign=True), X, b)
    close(lambda x, b: jax.scipy.special.logsumexp(x, b=b), X, b)


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (jax.scipy.special.gammasgn, np.array([-2.5, -1.5, -1, 0.5, 3], np.float32)),
        (jax.scipy.special.spence, np.array([0.5, 1, 2.5], np.float32)),
        (jax.scipy.stats.uniform.ppf, np.array([-0.5, 0.25, 1, 1.5], np.float32)),
        (lambda q: jax.scipy.stats.expon.ppf(q), np.array([-0.5, 0.25, 0.75], np.float32)),
        (lambda x: jax.scipy.stats.sem(x), X),
    ],
    ids=["gammasgn", "spence", "uniform.ppf", "expon.ppf", "sem"],
)
def test_functions_that_hold_a_nan_for_what_is_outside_their_domain(function: Function, x: np.ndarray) -> None:
    close(function, x)


# --- a NaN that the user writes

CHOICES: dict[str, Function] = {
    "where": lambda x: jnp.where(x > 0, x, jnp.nan),
    "the other way": lambda x: jnp.where(x > 0, jnp.nan, x),
    "an array": lambda x: jnp.where(x > 0, x, jnp.array([1, np.nan] * 4)),
    "moved": lambda x: jnp.where(x > 0, x, jnp.broadcast_to(jnp.full((1, 1), jnp.nan), (1, 8))[0][::-1]),
    "select": lambda x: jax.lax.select(x > 0, x, jnp.full_like(x, jnp.nan)),
    "select_n": lambda x: jax.lax.select_n((x > 0).astype(int) + (x > 1), x, x + 1, jnp.full_like(x, jnp.nan)),
    "jnp.select": lambda x: jnp.select([x > 1, x > 0], [x, 2 * x], jnp.nan),
    "piecewise": lambda x: jnp.piecewise(x, [x > 0], [lambda v: v, jnp.nan]),
    "cond": lambda x: jax.lax.cond(x[0] > 0, lambda: x, lambda: jnp.full_like(x, jnp.nan)),
    "vmap": lambda x: jax.vmap(lambda v: jnp.where(v > 0, v, jnp.nan))(x),
    "jit": lambda x: jax.jit(lambda v: jnp.where(v > 0, v, jnp.nan))(x),
    "scan": lambda x: jax.lax.scan(lambda c, v: (c, jnp.where(v > 0, v, jnp.nan)), 0.0, x)[1],
    "beside JAX's own": lambda x: jnp.where(x > 0, x, jnp.nan) + 0 * jnp.std(x, where=x > 0),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_nan_that_a_user_chooses_is_0_and_said(name: str) -> None:
    function = CHOICES[name]
    with pytest.warns(RangeWarning, match="NaN is a case of a secret choice") as caught:
        (found,) = secure(function, X)
    (one,) = [w for w in caught if issubclass(w.category, RangeWarning)]
    assert one.filename == __file__
    np.testing.assert_allclose(found, np.nan_to_num(np.asarray(function(jnp.asarray(X)))), atol=1e-4)


ELSEWHERE: dict[str, Function] = {
    "multiplied": lambda x: x * jnp.nan,
    "added": lambda x: x + jnp.nan,
    "an array added": lambda x: x + jnp.array([1, np.nan] * 4),
    "compared": lambda x: x < jnp.array([1, np.nan] * 4),
    "a larger one used": lambda x: 2 + x * jnp.maximum(jnp.nan, x),
    "chosen in public": lambda x: x + jnp.where(jnp.arange(8) > 3, x, jnp.nan),
    "of a dot": lambda x: x @ jnp.array([1, np.nan] * 4),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_nan_elsewhere_is_refused_with_its_line(name: str) -> None:
    with pytest.raises(RangeError, match="NaN") as caught:
        jmpc.secure(lambda x: ELSEWHERE[name](x)).lower(X)
    assert __file__ in caught.value.where


@pytest.mark.parametrize("function", [jnp.maximum, jnp.minimum])
def test_a_larger_or_smaller_one_of_nan_is_nan_on_either_side(function: Function) -> None:
    assert all(np.isnan(found).all() for found in secure(lambda x: (function(x, jnp.nan), function(jnp.nan, x)), X))
