"""Exponentials, waves, steps and ramps through the protocols, over their whole domains, one array of points each."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.scipy import special

import jmpc
from jmpc.ir.program import walk
from jmpc.testing.executors import executor

Function = Callable[..., Any]
ERF = np.vectorize(math.erf, otypes=[float])
UNIT = 2.0**-18
ENDS = [0.0, UNIT, -UNIT, 2.0**26 - 4, 4 - 2.0**26, 1e4, -1e4]


def points(low: float, high: float, count: int, ends: list[float] = ENDS) -> np.ndarray:
    x = np.concatenate([np.linspace(low, high, count), np.geomspace(1, 6e7, 97), -np.geomspace(1, 6e7, 97), ends])
    return (np.rint(x / UNIT) * UNIT).astype(np.float32)


def secure(function: Function, *arrays: np.ndarray, **config: Any) -> np.ndarray:
    with executor("simulated", 0):
        return np.asarray(jmpc.secure(lambda *xs: function(*xs), config=jmpc.Config(**config))(*arrays), np.float64)


def logistic(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


SMOOTH: dict[str, tuple[Function, Function, float]] = {
    "sigmoid": (jax.nn.sigmoid, logistic, 1e-4),
    "tanh": (jnp.tanh, np.tanh, 1e-4),
    "erf": (special.erf, ERF, 1e-4),
    "erfc": (special.erfc, lambda x: 1 - ERF(x), 1e-4),
    "gelu": (jax.nn.gelu, gelu_tanh, 3e-4),
    "exact gelu": (partial(jax.nn.gelu, approximate=False), lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2, 3e-4),
    "silu": (jax.nn.silu, lambda x: x * logistic(x), 3e-4),
    "softplus": (jax.nn.softplus, lambda x: np.logaddexp(x, 0), 3e-4),
    "log_sigmoid": (jax.nn.log_sigmoid, lambda x: -np.logaddexp(-x, 0), 3e-4),
    "mish": (jax.nn.mish, lambda x: x * np.tanh(np.logaddexp(x, 0)), 3e-4),
    "sin": (jnp.sin, np.sin, 2e-5),
    "cos": (jnp.cos, np.cos, 2e-5),
}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_a_smooth_function_has_its_stated_error_on_every_number(name: str) -> None:
    function, true, allowed = SMOOTH[name]
    x = points(-14, 14, 4001)
    assert np.abs(secure(function, x) - true(x.astype(np.float64))).max() <= allowed


def near(found: np.ndarray, exact: np.ndarray) -> None:
    """Relative 1e-4 or absolute 2^-16, whichever is larger."""
    assert (np.abs(found - exact) <= np.maximum(1e-4 * np.abs(exact), 2.0**-16)).all()


def test_an_exponential_has_its_stated_error() -> None:
    x = np.concatenate([points(-20, 9, 4001, [])[:4001], np.array([-6e7, -1e4, -25, -24, -20, 14.5], np.float32)])
    near(secure(jnp.exp, x), np.exp(x.astype(np.float64)))
    x = x[np.abs(x) <= 9]
    for function, true in ((jnp.expm1, np.expm1), (jnp.exp2, np.exp2), (jnp.sinh, np.sinh), (jnp.cosh, np.cosh)):
        near(secure(function, x), true(x.astype(np.float64)))


def test_an_exponential_saturates_at_its_cap() -> None:
    found = secure(jnp.exp, np.array([14.6, 15, 20, 1e3, 6e7], np.float32))
    assert (found == found[0]).all()
    np.testing.assert_allclose(found[0], 2.0**21, rtol=1e-3)


@pytest.mark.parametrize("mask", [-1e4, -1e9, float(np.finfo(np.float32).min), -np.inf])
@pytest.mark.parametrize("chosen", [True, False])
def test_an_attention_mask_gives_zero(mask: float, chosen: bool) -> None:
    keep = np.array([True, False, True, False])

    def masked(x: Any) -> Any:
        return jnp.exp(jnp.where(keep, x, mask) if chosen else x + jnp.where(keep, 0.0, mask))

    x = np.array([1.0, -100.0, -2.0, 500.0], np.float32)
    near(secure(masked, x), np.where(keep, np.exp(x.astype(np.float64)), 0))


def test_a_masked_difference_of_the_largest_gives_zero() -> None:
    def weights(x: Any) -> Any:
        x = x + jnp.where(np.array([True, False, True]), 0.0, -jnp.inf)
        return jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))

    x = np.array([[1000.0, -1000.0, 999.0], [-1000.0, 1000.0, -1000.0]], np.float32)
    near(secure(weights, x), np.array([[1, 0, math.exp(-1)], [1, 0, 1]]))


def ops(function: Function, *arrays: np.ndarray) -> list[str]:
    lowered = jmpc.secure(function).lower(*arrays)
    return [op.name for op in walk(lowered.flow.share.body)]


X = np.zeros((4, 8), np.float32)


def test_a_declared_bound_saves_the_comparisons() -> None:
    assert ops(lambda x: jnp.exp(x), X).count("msb") == 2
    assert ops(lambda x: jnp.exp(jmpc.bounded(x, 9.0)), X).count("msb") == 0
    assert ops(lambda x: jnp.tanh(jmpc.bounded(x, 5.0)), X).count("inject") == 0
    assert ops(lambda x: jax.nn.gelu(jmpc.bounded(x, 3.5)), X).count("msb") == 0


def test_what_is_below_the_largest_needs_no_cap() -> None:
    softer = ops(lambda x: jnp.exp(x - jnp.max(x, -1, keepdims=True)), X)
    plain = ops(lambda x: jnp.exp(x - jnp.max(x)), X)
    other = ops(lambda x, y: jnp.exp(x - jnp.max(y, -1, keepdims=True)), X, X)
    assert other.count("msb") - softer.count("msb") == 1
    assert plain.count("power2_sum3") == softer.count("power2_sum3") == 1


def test_a_truncation_before_a_smooth_function_is_not_waited_for() -> None:
    lowered = jmpc.secure(lambda x, w: jnp.tanh(jmpc.bounded(x @ w, 5.0))).lower(X, X.T)
    assert lowered.cost().rounds <= 3


IDIOMS = {
    "gelu": (lambda x: jax.nn.gelu(x), 5),
    "exact gelu": (lambda x: jax.nn.gelu(x, approximate=False), 5),
    "silu": (lambda x: jax.nn.silu(x), 10),
    "swish by hand": (lambda x: jax.nn.sigmoid(x) * x, 10),
    "softplus": (lambda x: jax.nn.softplus(x), 6),
    "mish": (lambda x: jax.nn.mish(x), 10),
}


@pytest.mark.parametrize("name", sorted(IDIOMS))
def test_an_activation_of_jax_is_one_sum(name: str) -> None:
    function, harmonics = IDIOMS[name]
    for wrapped in (function, jax.jit(function), jax.vmap(function)):
        lowered = jmpc.secure(wrapped).lower(X)
        sums = [op for op in walk(lowered.flow.share.body) if op.name == "periodic_sum3"]
        assert [len(op.attrs["sin"]) for op in sums] == [harmonics]


def test_a_function_that_only_looks_alike_is_taken_as_it_is() -> None:
    def gelu(x: Any) -> Any:
        return x * (0.5 * (1.0 + jnp.tanh(0.8 * (x + 0.05 * x**3))))

    def both(x: Any) -> tuple[Any, Any]:
        weight = jax.nn.sigmoid(x)
        return weight, x * weight

    x = np.linspace(-3, 3, 101, dtype=np.float32)
    near_gelu = secure(gelu, x) - x * (0.5 * (1 + np.tanh(0.8 * (x + 0.05 * x**3))))
    assert np.abs(near_gelu).max() < 3e-4
    with executor("simulated", 0):
        weight, product = jmpc.secure(both)(x)
    assert np.abs(weight - logistic(x)).max() < 1e-4
    assert np.abs(product - x * logistic(x)).max() < 4e-4


def test_a_sum_of_exponentials_in_logarithms() -> None:
    x, y = (a.ravel() for a in np.meshgrid(points(-9, 9, 41), points(-9, 9, 41)))
    assert np.abs(secure(jnp.logaddexp, x / 2, y / 2) - np.logaddexp(x / 2.0, y / 2.0)).max() < 3e-4


def test_gradients_follow() -> None:
    x = np.linspace(-4, 4, 101, dtype=np.float32)
    for function in (jnp.tanh, jax.nn.sigmoid, jnp.exp, jnp.sin, jax.nn.silu):
        slope = jax.vmap(jax.grad(function))
        assert np.abs(secure(slope, x) - np.asarray(slope(x), np.float64)).max() < 6e-4


def test_a_ring_of_32_bits_gives_what_it_can() -> None:
    x = np.linspace(-16, 4, 2001, dtype=np.float32)
    found = secure(jnp.exp, x, k=32, f=10)
    assert (np.abs(found - np.exp(x)) < 2e-3 * np.exp(x) + 4 * 2.0**-10).all()
    y = np.linspace(-500, 500, 2001, dtype=np.float32)
    for function, true in ((jnp.tanh, np.tanh), (jax.nn.sigmoid, logistic), (jnp.sin, np.sin)):
        assert np.abs(secure(function, y, k=32, f=10) - true(y)).max() < 6 * 2.0**-10


SECURED = {name: jmpc.secure(partial(lambda f, x: f(x), function)) for name, (function, _, _) in SMOOTH.items()}
FEW = ["cos", "erfc", "gelu", "softplus"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(4 - 2.0**26, 2.0**26 - 4, width=32), min_size=8, max_size=8), st.sampled_from(FEW))
def test_any_number_may_come(values: list[float], name: str) -> None:
    _, true, allowed = SMOOTH[name]
    x = (np.rint(np.array(values) / UNIT) * UNIT).astype(np.float32)
    with executor("simulated", 0):
        found = np.asarray(SECURED[name](x), np.float64)
    assert np.abs(found - true(x.astype(np.float64))).max() <= allowed
