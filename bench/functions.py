"""Benchmark tasks that are one operation: products, comparisons, order, real functions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.task import Arrays, Workload, largest_shortfall, normal


def matmul(x: jax.Array, y: jax.Array) -> jax.Array:
    return x @ y


def multiply(x: jax.Array, y: jax.Array) -> jax.Array:
    return x * y


def relu(x: jax.Array) -> jax.Array:
    return jax.nn.relu(x)


def row_max(x: jax.Array) -> jax.Array:
    return jnp.max(x, axis=1)


def row_argmax(x: jax.Array) -> jax.Array:
    return jnp.argmax(x, axis=1)


def pick(table: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of a secret table by secret numbers, which arrive as reals."""
    return table[index.astype(jnp.int32)]


def uniform(low: float, high: float, *shape: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: (rng.uniform(low, high, shape),)


def _matmul(n: int) -> Workload:
    return Workload(f"matmul_{n}", matmul, normal((n, n), (n, n)), (n, n))


def _elementwise(name: str, function: Callable[[jax.Array], jax.Array], low: float, high: float) -> Workload:
    """A real function of 100,000 numbers."""
    return Workload(f"{name}_100k", function, uniform(low, high, 100_000), (100_000,))


def _softmax(rows: int, columns: int) -> Workload:
    def draw(rng: np.random.Generator) -> Arrays:
        return (3 * rng.standard_normal((rows, columns)),)

    return Workload(f"softmax_{rows}x{columns}", jax.nn.softmax, draw, (rows, columns))


def _table(rng: np.random.Generator) -> Arrays:
    return rng.standard_normal(1000), rng.integers(0, 1000, 100).astype(np.float64)


FUNCTIONS = (
    _matmul(256),
    _matmul(512),
    _matmul(1024),
    Workload("mul_1m", multiply, normal((1_000_000,), (1_000_000,)), (1_000_000,)),
    Workload("relu_100k", relu, normal((100_000,)), (100_000,)),
    Workload("relu_1m", relu, normal((1_000_000,)), (1_000_000,)),
    Workload("max_1000x100", row_max, normal((1000, 100)), (1000,)),
    Workload("argmax_1000x100", row_argmax, normal((1000, 100)), (1000,), largest_shortfall),
    Workload("sort_10k", jnp.sort, normal((10_000,)), (10_000,)),
    Workload("pick_100_of_1000", pick, _table, (100,)),
    _elementwise("exp", jnp.exp, -5, 5),
    Workload("exp_accurate_100k", jnp.exp, uniform(-5, 5, 100_000), (100_000,), accurate_rival=True),
    _elementwise("sigmoid", jax.nn.sigmoid, -8, 8),
    _elementwise("tanh", jnp.tanh, -5, 5),
    _elementwise("gelu", jax.nn.gelu, -5, 5),
    _elementwise("reciprocal", lambda x: 1.0 / x, 0.1, 100),
    _elementwise("sqrt", jnp.sqrt, 0.01, 100),
    _elementwise("rsqrt", lax.rsqrt, 0.01, 100),
    _elementwise("log", jnp.log, 0.01, 100),
    _softmax(1000, 10),
    _softmax(128, 1000),
)
