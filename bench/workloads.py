"""The tasks that both sides run: a plain JAX function and a maker of its inputs, each written once.

In: a name and a seed. Out: a function of float32 arrays, all of them secret, and the arrays. The same code serves
jmpc, the rival and the plaintext reference. This file measures nothing, and imports neither jmpc nor the rival.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Arrays = tuple[np.ndarray, ...]


def largest_difference(args: Sequence[np.ndarray], exact: np.ndarray, got: np.ndarray) -> float:
    """Largest absolute difference between the exact result and the one computed."""
    return float(np.max(np.abs(np.asarray(got, np.float64) - exact)))


def largest_shortfall(args: Sequence[np.ndarray], exact: np.ndarray, got: np.ndarray) -> float:
    """How far the picked elements fall short of their row's maximum: the index itself says nothing at near ties."""
    rows = np.asarray(args[0], np.float64)
    picked = np.asarray(got).astype(np.int64)
    if picked.min() < 0 or picked.max() >= rows.shape[1]:
        return math.inf
    return float(np.max(rows.max(axis=1) - np.take_along_axis(rows, picked[:, None], axis=1)[:, 0]))


@dataclass(frozen=True)
class Workload:
    """One task: what to compute, on what, and how to judge the result."""

    name: str
    function: Callable[..., jax.Array]
    draw: Callable[[np.random.Generator], Arrays]
    output_shape: tuple[int, ...]
    error: Callable[[Sequence[np.ndarray], np.ndarray, np.ndarray], float] = largest_difference

    def inputs(self, seed: int) -> Arrays:
        """The secret arguments, float32, the same for the same seed."""
        return tuple(array.astype(np.float32) for array in self.draw(np.random.default_rng(seed)))


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


def mlp(x: jax.Array, *weights: jax.Array) -> jax.Array:
    """Dense layers with ReLU between them; logits come out."""
    w1, b1, w2, b2, w3, b3 = weights
    x = jax.nn.relu(x @ w1 + b1)
    x = jax.nn.relu(x @ w2 + b2)
    return x @ w3 + b3


def convolve(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """A convolution without padding, channels last."""
    y = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + bias


def pool(x: jax.Array) -> jax.Array:
    """The maximum of each 2 x 2 window."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def lenet(x: jax.Array, *weights: jax.Array) -> jax.Array:
    """Two convolutions with ReLU and pooling, then two dense layers; logits come out."""
    k1, c1, k2, c2, w1, b1, w2, b2 = weights
    x = pool(jax.nn.relu(convolve(x, k1, c1)))
    x = pool(jax.nn.relu(convolve(x, k2, c2)))
    x = jax.nn.relu(x.reshape(x.shape[0], -1) @ w1 + b1)
    return x @ w2 + b2


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Standard normal arrays of these shapes."""
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def network(pixels: tuple[int, ...], *layers: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Pixels in [0, 1], then a weight scaled by its fan-in (He) and a small bias for each layer."""

    def draw(rng: np.random.Generator) -> Arrays:
        arrays = [rng.uniform(0.0, 1.0, pixels)]
        for shape in layers:
            arrays.append(rng.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[:-1])))
            arrays.append(rng.standard_normal(shape[-1:]) * 0.01)
        return tuple(arrays)

    return draw


def _matmul(n: int) -> Workload:
    return Workload(f"matmul_{n}", matmul, normal((n, n), (n, n)), (n, n))


def _mlp(batch: int) -> Workload:
    draw = network((batch, 784), (784, 128), (128, 128), (128, 10))
    return Workload(f"mlp_b{batch}", mlp, draw, (batch, 10))


def _lenet(batch: int) -> Workload:
    draw = network((batch, 28, 28, 1), (5, 5, 1, 20), (5, 5, 20, 50), (800, 500), (500, 10))
    return Workload(f"lenet_b{batch}", lenet, draw, (batch, 10))


_ALL = (
    _matmul(256),
    _matmul(512),
    _matmul(1024),
    Workload("mul_1m", multiply, normal((1_000_000,), (1_000_000,)), (1_000_000,)),
    Workload("relu_100k", relu, normal((100_000,)), (100_000,)),
    Workload("relu_1m", relu, normal((1_000_000,)), (1_000_000,)),
    Workload("max_1000x100", row_max, normal((1000, 100)), (1000,)),
    Workload("argmax_1000x100", row_argmax, normal((1000, 100)), (1000,), largest_shortfall),
    _mlp(1),
    _mlp(128),
    _lenet(1),
    _lenet(16),
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _ALL}
