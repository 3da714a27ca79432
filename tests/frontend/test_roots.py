"""Roots of sums of squares, and quotients by them, over all sizes that the number format has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmpc
from jmpc.errors import BoundError
from jmpc.testing.executors import SIMULATED, executor
from tests.frontend.oracle import check, run, values_keep_the_contract


def _cosine(x: Any, y: Any) -> Any:
    return (x * y).sum(-1) / (jnp.linalg.norm(x, axis=-1) * jnp.linalg.norm(y, axis=-1))


SIZES = [1.37 * 2.0**e for e in (-13, -10, -5, -1, 2, 6, 9, 14, 19, 24)]
SUM = {"axis": -1, "keepdims": True}
OVER_ALL_SIZES: dict[str, Callable[[Any], Any]] = {
    "norm": lambda x: jnp.linalg.norm(x, axis=-1),
    "root of a sum": lambda x: jnp.sqrt((x**2).sum(-1)),
    "root of an inner product": lambda x: jnp.sqrt(jax.vmap(jnp.dot)(x, x)),
    "std": lambda x: jnp.std(x, -1),
    "normalize": lambda x: x / jnp.linalg.norm(x, **SUM),
    "normalize, held": lambda x: x / jnp.maximum(jnp.linalg.norm(x, **SUM), 1e-12),
    "normalize, beside": lambda x: x / (jnp.linalg.norm(x, **SUM) + 1e-8),
    "normalize by rsqrt": lambda x: x * jax.lax.rsqrt(jnp.sum(x * x, **SUM)),
    "normalize by a power": lambda x: x * jnp.sum(x * x, **SUM) ** -0.5,
    "cosine": lambda x: _cosine(x, jnp.roll(x, 1, -1)),
    "cosine of optax": lambda x: optax.losses.cosine_similarity(x, jnp.roll(x, 1, -1), epsilon=1e-8),
}
# With a number beside the square that is seen next to those of small vectors.
FROM_A_SIZE_ON: dict[str, Callable[[Any], Any]] = {
    "layer norm, with a mean": lambda x: (x - x.mean(**SUM)) / jnp.sqrt(x.var(**SUM) + 1e-5),
    "standardize, with a mean": lambda x: jax.nn.standardize(x, axis=-1, epsilon=1e-5),
    "rms": lambda x: x * jax.lax.rsqrt(jnp.mean(x * x, **SUM) + 1e-6),
}


def vectors(n: int, each: bool) -> np.ndarray:
    """One of each size, on the grid of the format; `each`: of that size in every number."""
    base = np.random.default_rng(n).normal(size=(len(SIZES), n))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    x = base * np.array(SIZES)[:, None] * (np.sqrt(n) if each else 1)
    return np.clip(np.round(x * 2**18) / 2**18, -(2**26) + 8, 2**26 - 8).astype(np.float32)


def relative(found: Any, right: Any) -> np.ndarray:
    """By vector, to the largest of its numbers."""
    found, right = (np.asarray(a, np.float64).reshape(len(SIZES), -1) for a in (found, right))
    return np.abs(found - right).max(1) / np.abs(right).max(1)


def double(function: Callable[..., Any], x: np.ndarray) -> Any:
    with jax.enable_x64(True):
        return function(jnp.asarray(x, np.float64))


@pytest.mark.parametrize("name", [*OVER_ALL_SIZES, *FROM_A_SIZE_ON])
@pytest.mark.parametrize("n", [2, 17, 2000])
def test_relative_errors_over_all_sizes(name: str, n: int) -> None:
    function = {**OVER_ALL_SIZES, **FROM_A_SIZE_ON}[name]
    x = vectors(n, each=name in FROM_A_SIZE_ON or name == "std")
    if name.startswith("cosine") and n == 2:
        x[:, 1] = x[:, 0]  # or the numerator is small by chance
    with executor(SIMULATED):
        found = jmpc.secure(function)(x)
    right, few = np.asarray(double(function, x)), np.full(len(SIZES), 1e-3)
    few[-1] = 2e-3  # at the end of the format
    error = relative(found, right) * (np.minimum(1, 4 * np.abs(right)) if name.startswith("cosine") else 1)
    if n == 2000 and "norm" in name[1:]:
        few[:2] = 4e-3  # numbers of a long vector of a small norm are a few units of the format
    if "mean" in name:
        few[:2], few[2:] = 2e-2, 2e-3  # as a mean is rounded to a unit
    assert (error < few).all(), error


@pytest.mark.parametrize("size", [1.0, 512.0, 3e5])
@pytest.mark.parametrize("count", [3, 8192])
def test_the_root_of_a_mean_of_squares_of_a_mean(size: float, count: int) -> None:
    """A mean is a wide sum times a number that is rounded: by that alone it may be a hair beyond the format, and so
    much more once it is multiplied."""
    x = np.array([[1.25, -2.5, 0], [0, 0, 0]], np.float32)

    def function(x: Any) -> Any:
        part = x.mean(1) * size
        twice = jnp.tile(part, count) * jnp.tile(part, count)  # computed twice, it is not one value
        whole = jnp.tile(part, count)
        return jnp.sqrt(twice.mean()), jnp.sqrt((whole * whole).mean()), jnp.linalg.norm(part)

    with values_keep_the_contract():
        found = run(function, x)
    np.testing.assert_allclose(found, double(function, x), rtol=2e-3)


def test_a_root_of_squares_of_numbers_beyond_the_format_is_refused() -> None:
    """What is known of them leaves their squares too few bits: it is said, and not computed with what is left."""

    def function(x: Any) -> Any:
        return jnp.linalg.norm(jnp.tile(jmpc.bounded(x, 2.0**22) * 2.0**12, 4096))

    with pytest.raises(BoundError, match=r"the root of a sum of 8192 squares of .* 2\^34 would be imprecise"):
        jmpc.secure(function).lower(np.array([3.0, 4.0], np.float32))
    x = np.array([3.0, 4.0], np.float32)
    few = run(lambda x: jnp.linalg.norm(jmpc.bounded(x, 2.0**22) * 2.0**5), x)  # where they are few, bits enough
    np.testing.assert_allclose(few, 160, rtol=1e-3)


def test_roots_of_what_only_looks_like_squares() -> None:
    """A product of two different numbers, a sum that is no sum of squares, a negative factor."""
    x = np.array([0.5, 2.0, 9.0, 1000.0], np.float32)
    y = np.array([2.0, 0.5, 4.0, 1000.0], np.float32)
    cases: list[Callable[[Any, Any], Any]] = [
        lambda x, y: jnp.sqrt(x * y),
        lambda x, y: jnp.sqrt(x * x + y),
        lambda x, y: jnp.sqrt(jnp.abs(y * y - x * x)),
        lambda x, y: jnp.sqrt(-2 * x * x + 3 * x * x),
        lambda x, y: jnp.sqrt(jnp.maximum(x * x, y)),
        lambda x, y: jnp.sqrt(x * x + 0.5 * y * y),
        lambda x, y: jnp.sqrt((x * x) * 0.25 + 1),
        lambda x, y: jnp.sqrt((x * x)[::-1].cumsum()),
        lambda x, y: x / jnp.sqrt(y * y),
        lambda x, y: x / (jnp.sqrt(y * y) + 3),
        lambda x, y: x / (2 * jnp.sqrt(x * x)),
        lambda x, y: (x + y) / jnp.sqrt(x * x + y * y),
    ]
    for function in cases:
        right = double(lambda v, function=function: function(v[0], v[1]), np.stack([x, y]))
        np.testing.assert_allclose(run(function, x, y), right, rtol=1e-3)


def test_what_a_root_was_taken_of_is_no_root() -> None:
    def function(x: Any) -> Any:
        total = (x * x).sum()
        return jnp.sqrt(total), 1 / total, x / total, jax.lax.rsqrt(total) / total

    x = np.array([3.0, 4.0], np.float32)
    for found, right in zip(run(function, x), function(x), strict=True):
        np.testing.assert_allclose(found, right, atol=1e-4)


GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "quotient": lambda x: (x[::-1] / x).sum(),
    "norm": lambda x: jnp.linalg.norm(x),
    "norms, weighted": lambda x: (jnp.linalg.norm(jnp.stack([x, x + x[0]]), axis=-1) * jnp.array([3.0, 0.1])).sum(),
    "hypot": lambda x: jnp.hypot(x[0], x[1]),
    "std": lambda x: jnp.std(x),
    "normalize": lambda x: ((x / jnp.linalg.norm(x)) * jnp.array([1.0, 3.0, -1.0])).sum(),
    "rms": lambda x: (x * jax.lax.rsqrt(jnp.mean(x * x) + 1e-6) * jnp.array([1.0, 3.0, -1.0])).sum(),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("size", [0.5, 4.0, 30.0, 1000.0, 3e4])
def test_gradients_have_the_error_of_a_few_units(name: str, size: float) -> None:
    """However large what they divide by; of sizes up to 1 they are larger than that, and so is their error."""
    x = np.array([1.0, 2.0, -1.5], np.float32) * np.float32(size)
    slope = jax.grad(GRADIENTS[name])
    found, right = np.asarray(run(slope, x), np.float64), np.asarray(double(slope, x))
    assert (np.abs(found - right) <= 16 * 2.0**-18 + 1e-3 * np.abs(right).max()).all(), (found, right)


@pytest.mark.parametrize("size", [1.0, 0.1, 0.001])
def test_what_may_be_far_from_the_mean_is_not_taken_for_a_deviation(size: float) -> None:
    """How large a quotient can be is known of a number over its own root, and of a deviation from the mean, alone."""
    x = (np.array([1.0, -1.0, 0.5, -0.5]) * size).astype(np.float32)
    others: list[Callable[[Any], Any]] = [
        lambda x: (x - 5) / jnp.std(x),
        lambda x: (x - x[0] * 3) / jnp.std(x),
        lambda x: (x - 2 * x.mean() - 3) / jnp.std(x),
        lambda x: (x - jax.nn.relu(x.mean()) - 1) / jnp.std(x),
        lambda x: (x - 5) / jnp.sqrt(jnp.mean(x * x)),
        lambda x: (x - 5) * jax.lax.rsqrt(jnp.mean(jnp.square(x - x.mean()))),
        lambda x: (x + 7) / jnp.linalg.norm(x),
    ]
    for function in others:
        np.testing.assert_allclose(run(function, x), double(function, x), rtol=2e-3)


def test_two_draws_are_two() -> None:
    """Alike as they are made."""

    def function(x: Any) -> Any:
        one, two = jmpc.random.uniform((3,)) + x, jmpc.random.uniform((3,)) * 2.0**-9 + x
        return (one / jnp.linalg.norm(two) * 1.0, one, two)

    with executor(SIMULATED):
        found, one, two = (np.asarray(v, np.float64) for v in jmpc.secure(function)(np.zeros(3, np.float32)))
    np.testing.assert_allclose(found, one / np.linalg.norm(two), rtol=2e-2)


def test_a_zero_vector_stays_finite() -> None:
    zero = np.zeros((2, 3), np.float32)
    for name in ("norm", "normalize, held", "normalize, beside", "std"):
        np.testing.assert_array_equal(run(OVER_ALL_SIZES[name], zero), 0)
    for function in FROM_A_SIZE_ON.values():
        np.testing.assert_allclose(run(function, zero), 0, atol=1e-5)


V, A = np.array([0.3, 0.4], np.float32), np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
NATURAL: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "root squared": (lambda x: jnp.sqrt(x) ** 2, (V,)),
    "norm squared": (lambda x: jnp.linalg.norm(x) ** 2, (V,)),
    "its gradient": (jax.grad(lambda x: jnp.linalg.norm(x) ** 2), (V,)),
    "norm times norm": (lambda x, y: jnp.linalg.norm(x) * jnp.linalg.norm(y), (V, V)),
    "root times root": (lambda x: jnp.sqrt(x) * jnp.sqrt(x + 1), (V,)),
    "lstsq": (lambda a, b: jnp.linalg.lstsq(a, b)[0], (A, A[:, 0])),
    "polyfit": (lambda x, y: jnp.polyfit(x, y, 2), (np.linspace(0.1, 2, 12, dtype=np.float32), A[:, 1])),
    "square of a quotient": (lambda x, y: (x / y) ** 2, (V, V + 1)),
    "square of an inverse": (lambda x: (1 / x) ** 2, (V,)),
    "exponential squared": (lambda x: jnp.exp(x) ** 2, (V,)),
}


@pytest.mark.parametrize("name", NATURAL)
def test_products_of_results_that_can_be_large(name: str) -> None:
    function, args = NATURAL[name]
    np.testing.assert_allclose(run(function, *args), function(*map(jnp.asarray, args)), atol=5e-3, rtol=5e-3)


OF_ALL_VALUES: dict[str, Callable[[Any], Any]] = {
    "arcsinh": jnp.arcsinh,
    "hypot": lambda x: jnp.hypot(x, x),
    "var": jnp.var,
    "std": jnp.std,
    "root": lambda x: jnp.sqrt(jnp.abs(x)),
    "tanh": jnp.tanh,
    "arctan": jnp.arctan,
    "normalize": lambda x: x / jnp.linalg.norm(x),
}


@pytest.mark.parametrize("name", OF_ALL_VALUES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_functions_of_all_values_take_every_dtype(name: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.linspace(info.min // 2 + 1, info.max // 2, 7).astype(dtype)
    if name == "var" and info.max > 2**14:
        x = x // 16  # or the result is beyond the format
    found = np.asarray(run(OF_ALL_VALUES[name], x), np.float64)
    right = np.asarray(OF_ALL_VALUES[name](x.astype(np.float32)), np.float64)
    np.testing.assert_allclose(found, right, rtol=2e-3, atol=2e-3)


WITH_BOUNDS: dict[str, Callable[[Any], Any]] = {
    "layer norm": lambda x: (x - x.mean(**SUM)) / jnp.sqrt(x.var(**SUM) + 1e-5),
    "of moments": lambda x: (x - x.mean(**SUM)) * jax.lax.rsqrt((x * x).mean(**SUM) - x.mean(**SUM) ** 2 + 1e-5),
    "norm": lambda x: jnp.linalg.norm(x, axis=-1),
    "std": lambda x: jnp.std(x, -1),
    "sum of squares": lambda x: jnp.sqrt(x * x + x[0] * x[0] + 3),
    "running": lambda x: jnp.sqrt(jnp.cumsum(x * x, -1)),
}


@pytest.mark.parametrize("name", WITH_BOUNDS)
@pytest.mark.parametrize("limit", [100.0, 1e3, 1e4, 1e6, 6e7])
def test_a_declared_bound_refuses_nothing_that_is_right_without(name: str, limit: float) -> None:
    x = np.clip(np.random.default_rng(0).normal(size=(4, 16)) * 100, -limit, limit).astype(np.float32)
    found = np.asarray(run(lambda x: WITH_BOUNDS[name](jmpc.bounded(x, limit)), x), np.float64)
    right = np.asarray(double(WITH_BOUNDS[name], x))
    assert np.abs(found - right).max() <= 1e-3 * np.abs(right).max()


@pytest.mark.filterwarnings("ignore::jmpc.errors.RangeWarning")
@pytest.mark.parametrize("divisor", [0.02, 0.5, 1.0, 1.5, 7.0, 1000.0, 6e4])
def test_a_moving_average_is_divided_by_any_secret(divisor: float) -> None:
    """A bias correction is at most one, and its quotient keeps more bits; another divisor need not be."""
    average, square = np.array([1e-3, 2.0, 500.0], np.float32), np.array([0.03, 1.0, 20.0], np.float32)

    def function(v: Any, g: Any, by: Any) -> Any:
        return jnp.sqrt((0.99 * v + 0.01 * g * g) / by)

    found = run(function, average, square, np.float32(divisor))
    np.testing.assert_allclose(found, function(average, square, divisor), rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize(("k", "f"), [(64, 7), (64, 8), (64, 9), (64, 10), (64, 11), (64, 13), (32, 7), (32, 9)])
def test_roots_of_formats_with_few_fraction_bits(k: int, f: int) -> None:
    """Where a sum of squares may be so large that a root of it, or one over it, is beyond what its tables hold."""
    x = np.array([0, 0.25, -2, 3, 7.25, -0.5, 7, 3], np.float32)
    functions = [
        jnp.std,
        jnp.linalg.norm,
        jax.nn.standardize,
        lambda x: x / jnp.linalg.norm(x),
        lambda x: x * jax.lax.rsqrt(jnp.mean(x * x) + 2.0**-f),
        lambda x: x @ x[::-1] / (jnp.linalg.norm(x) * jnp.linalg.norm(x[::-1])),
    ]
    for function in functions:
        check(function, x, config=jmpc.Config(k=k, f=f), tolerance=2.0 ** (3.5 - f))


@pytest.mark.parametrize("function", [jnp.sqrt, jnp.linalg.norm, jnp.log, lambda x: 1 / x, jnp.cbrt, jnp.std])
def test_too_few_fraction_bits_for_roots_are_refused(function: Any) -> None:
    with pytest.raises(jmpc.errors.ConfigError, match="f=6 is too few fraction bits") as caught:
        run(function, np.ones(3, np.float32), config=jmpc.Config(f=6))
    assert caught.value.where == "Config.f"
    assert "f=7" in caught.value.todo[0]
    run(function, np.ones(3, np.float32), config=jmpc.Config(f=7))
