"""Derivatives of variances: two large terms, of which the difference counts, with a small factor that few bits hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frontend.oracle import run

SHAPE = (6, 8)
UNIT = 2.0**-18
WEIGHTS = np.random.default_rng(1).normal(size=SHAPE)
KEPT = {"axis": -1, "keepdims": True}


def _moments(x: Any, square: Any = jnp.square, root: Any = jax.lax.rsqrt) -> Any:
    mean = x.mean(**KEPT)
    return (x - mean) * root(square(x).mean(**KEPT) - square(mean) + 1e-5)


def _deviations(x: Any, root: Any = jax.lax.rsqrt) -> Any:
    return (x - x.mean(**KEPT)) * root(x.var(**KEPT) + 1e-5)


def _linen(x: Any) -> Any:
    made = {"scale": jnp.linspace(0.5, 2, x.shape[-1]), "bias": jnp.ones(x.shape[-1])}
    return nn.LayerNorm().apply({"params": made}, x)


def _by_power(x: Any) -> Any:
    return x**-0.5


NORMALISED: dict[str, Callable[[Any], Any]] = {
    "standardize": partial(jax.nn.standardize, axis=-1),
    "standardize, columns": lambda x: jax.nn.standardize(x.T, axis=0).T,
    "standardize, groups": lambda x: jax.nn.standardize(x.reshape(len(x), 2, -1), axis=-1).reshape(x.shape),
    "moments": _moments,
    "moments, products": partial(_moments, square=lambda x: x * x),
    "moments, powers": partial(_moments, square=lambda x: x**2),
    "moments, quotient": partial(_moments, root=lambda x: 1 / jnp.sqrt(x)),
    "moments, power": partial(_moments, root=_by_power),
    "moments, in batches": jax.vmap(lambda x: _moments(x[None])[0]),
    "moments, computed again": jax.checkpoint(_moments),
    "moments of a multiple": lambda x: _moments(x * 0.5 + 1),
    "moments, beside": lambda x: _moments(x) + x * 0.001 - (3 - x) * 0.002,
    "linen": _linen,
    "deviations": _deviations,
    "deviations, power": partial(_deviations, root=_by_power),
}


def slope(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return jax.grad(lambda x: (function(x) * WEIGHTS).sum())


def errors(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """The largest error of each row, beside 0.0005 of the largest derivative there."""
    with jax.enable_x64(True):
        right = np.asarray(slope(function)(jnp.asarray(x, np.float64)))
    found = np.asarray(run(slope(function), x), np.float64)
    return (np.abs(found - right) - 5e-4 * np.abs(right).max(-1, keepdims=True)).max(-1)


@pytest.mark.parametrize("name", NORMALISED)
def test_gradients_of_normalised_rows(name: str) -> None:
    """Of all sizes, with and without a mean, and where one number stands alone."""
    x = np.random.default_rng(0).normal(size=SHAPE) * np.array([1.0, 30, 30, 1000, 1000, 5000])[:, None]
    x += np.array([0.0, 0, 100, 0, 3000, 1e4])[:, None]
    x[1, 2], x[3, 4] = 300, 1e4
    assert (errors(NORMALISED[name], x.astype(np.float32)) <= 16 * UNIT).all()


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(sorted(NORMALISED)),
    log=st.lists(st.floats(0, 12), min_size=SHAPE[0], max_size=SHAPE[0]),
    mean=st.floats(-3, 3),
    seed=st.integers(0, 999),
)
def test_gradients_of_any_normalised_rows(name: str, log: list[float], mean: float, seed: int) -> None:
    x = (np.random.default_rng(seed).normal(size=SHAPE) + mean) * 2.0 ** np.array(log)[:, None]
    assert (errors(NORMALISED[name], x.astype(np.float32)) <= 16 * UNIT).all()


def test_what_only_looks_like_the_derivative_of_a_variance_is_left() -> None:
    """A part of a mean that is another one, or of which not all is taken away."""

    def other(x: Any, y: Any, part: float) -> Any:
        inverse = jax.lax.rsqrt(jnp.square(x).mean(**KEPT) - jnp.square(x.mean(**KEPT)) + 1e-5)
        return inverse * x - inverse * y.mean(**KEPT) * part

    x = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32) + 5
    cases = (lambda x: other(x, x, 1.0), lambda x: other(x, x, 0.9), lambda x: other(x, x[::-1], 1.0))
    for case in (*cases, lambda x: other(x, x * 2, 0.5), lambda x: other(x[:, :6], x[:, 2:], 1.0)):
        np.testing.assert_allclose(run(case, x), case(x), atol=1e-3)
