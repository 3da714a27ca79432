"""Derivatives of real functions of secrets, both ways, against those of float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import special

import jmpc
from jmpc.testing.executors import executor

Array = np.ndarray
UNIT = 2.0**-18
MOST = 1e-3  # relative to max(1, |derivative|)


class Case(NamedTuple):
    function: Callable[..., Any]
    args: Sequence[Array]


def even(low: float, high: float) -> Array:
    return np.linspace(low, high, 101)


def scales(low: float, high: float) -> Array:
    return np.geomspace(low, high, 81)


def weighted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Times public weights, as the rows of a softmax add up to one whatever its argument is."""

    def run(x: Any) -> Any:
        return function(x) * jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)

    return run


MIDDLE, POSITIVE, INSIDE = even(-4, 4), scales(0.1, 16), even(-0.9, 0.9)
BOTH = np.concatenate([scales(0.25, 16), -scales(0.25, 16)])
POWERS = [v.ravel() for v in np.meshgrid(scales(0.25, 4)[::5], even(-1.5, 1.5)[::10])]
ROWS = 2 * np.random.default_rng(0).normal(size=(6, 8))
CASES = {
    "exp": Case(jnp.exp, [MIDDLE]),
    "exp2": Case(jnp.exp2, [MIDDLE]),
    "expm1": Case(jnp.expm1, [MIDDLE]),
    "log": Case(jnp.log, [POSITIVE]),
    "log2": Case(jnp.log2, [POSITIVE]),
    "log1p": Case(jnp.log1p, [even(-0.8, 8)]),
    "reciprocal": Case(jnp.reciprocal, [BOTH]),
    "divide": Case(jnp.divide, [even(-4, 4)[: len(BOTH[::2])], BOTH[::2]]),
    "sqrt": Case(jnp.sqrt, [POSITIVE]),
    "rsqrt": Case(lax.rsqrt, [POSITIVE]),
    "cbrt": Case(jnp.cbrt, [BOTH]),
    "pow": Case(lax.pow, POWERS),
    "sigmoid": Case(jax.nn.sigmoid, [MIDDLE]),
    "tanh": Case(jnp.tanh, [MIDDLE]),
    "erf": Case(special.erf, [MIDDLE]),
    "erfc": Case(special.erfc, [MIDDLE]),
    "gelu": Case(jax.nn.gelu, [MIDDLE]),
    "exact gelu": Case(partial(jax.nn.gelu, approximate=False), [MIDDLE]),
    "silu": Case(jax.nn.silu, [MIDDLE]),
    "softplus": Case(jax.nn.softplus, [MIDDLE]),
    "mish": Case(jax.nn.mish, [MIDDLE]),
    "elu": Case(jax.nn.elu, [MIDDLE]),
    "log_sigmoid": Case(jax.nn.log_sigmoid, [MIDDLE]),
    "logaddexp": Case(jnp.logaddexp, [MIDDLE, MIDDLE[::-1]]),
    "softmax": Case(weighted(jax.nn.softmax), [ROWS]),
    "log_softmax": Case(weighted(jax.nn.log_softmax), [ROWS]),
    "logsumexp": Case(partial(special.logsumexp, axis=-1), [ROWS]),
    "standardize": Case(weighted(jax.nn.standardize), [ROWS]),
    "sin": Case(jnp.sin, [MIDDLE]),
    "cos": Case(jnp.cos, [MIDDLE]),
    "tan": Case(jnp.tan, [even(-1.2, 1.2)]),
    "sinh": Case(jnp.sinh, [MIDDLE]),
    "cosh": Case(jnp.cosh, [MIDDLE]),
    "atan": Case(jnp.arctan, [MIDDLE]),
    "atan2": Case(jnp.arctan2, [even(-4, 4)[: len(BOTH[::2])], BOTH[::2]]),
    "asin": Case(jnp.arcsin, [INSIDE]),
    "acos": Case(jnp.arccos, [INSIDE]),
    "asinh": Case(jnp.arcsinh, [MIDDLE]),
    "acosh": Case(jnp.arccosh, [even(1.2, 8)]),
    "atanh": Case(jnp.arctanh, [INSIDE]),
    "lgamma": Case(special.gammaln, [scales(0.5, 16)]),
    "hypot": Case(jnp.hypot, [even(-4, 4)[: len(BOTH[::2])], BOTH[::2]]),
}


def gradients(function: Callable[..., Any], *xs: Any) -> Any:
    return jax.grad(lambda *ys: jnp.sum(function(*ys)), argnums=tuple(range(len(xs))))(*xs)


def tangents(function: Callable[..., Any], *xs: Any) -> Any:
    return jax.jvp(function, xs, tuple(jnp.full_like(x, 1 + n / 2) for n, x in enumerate(xs)))[1]


def error(derivative: Callable[..., Any], case: Case, how: str) -> float:
    held = [np.rint(np.asarray(a) / UNIT) * UNIT for a in case.args]
    with executor(how, 0):
        secure = jmpc.secure(lambda *xs: derivative(case.function, *xs))
        found = jax.tree.leaves(secure(*[a.astype(np.float32) for a in held]))
    with jax.enable_x64(True):
        true = [np.asarray(t) for t in jax.tree.leaves(derivative(case.function, *map(jnp.asarray, held)))]
    pairs = zip(found, true, strict=True)
    return max(float((np.abs(np.asarray(g, np.float64) - t) / np.maximum(1, np.abs(t))).max()) for g, t in pairs)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_gradient_is_that_of_float64(name: str) -> None:
    assert error(gradients, CASES[name], "meaning") <= MOST


@pytest.mark.parametrize("name", ["exp", "log", "divide", "rsqrt", "pow", "tanh", "gelu", "softmax", "tan", "atanh"])
def test_a_tangent_is_that_of_float64(name: str) -> None:
    assert error(tangents, CASES[name], "meaning") <= MOST


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "log", "divide", "softmax"])
def test_three_parties_compute_it_too(name: str) -> None:
    assert error(gradients, CASES[name], "simulated") <= MOST


def test_a_product_of_reciprocals_is_no_matter_of_their_bounds() -> None:
    """That of a reciprocal is for the smallest divisor: its square would not fit the ring."""
    x = np.linspace(1, 4, 11, dtype=np.float32)
    with executor("meaning", 0):
        found = jmpc.secure(lambda x: (1 / x) * (1 / (x + 1)) * (2 / (x + 2)))(x)
    np.testing.assert_allclose(found, 2 / (x * (x + 1) * (x + 2)), atol=1e-4)
