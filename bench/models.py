"""Benchmark tasks that are models: prediction with networks A to D of the papers, training steps, a transformer block.

A (SecureML) is `mlp_*`, B (MiniONN) `minionn_*`, C (LeNet) `lenet_*`, D (Chameleon) `chameleon_*`; all give logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.task import Arrays, Workload


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


def chameleon(x: jax.Array, *weights: jax.Array) -> jax.Array:
    """A convolution of 5 channels and stride 2 with ReLU, then two dense layers; logits come out."""
    kernel, bias, w1, b1, w2, b2 = weights
    x = lax.conv_general_dilated(x, kernel, (2, 2), ((2, 2), (2, 2)), dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = jax.nn.relu(x + bias).reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ w1 + b1)
    return x @ w2 + b2


def logistic_regression(x: jax.Array, y: jax.Array) -> jax.Array:
    """Ten steps of gradient descent on batches of 128 rows, from zero; the weights come out."""

    def step(w: jax.Array, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, labels = batch
        miss = jax.nn.sigmoid(rows @ w) - labels
        return w - 0.1 * (rows.T @ miss) / rows.shape[0], None

    starts = [(128 * n) % (x.shape[0] - 128) for n in range(10)]
    batches = jnp.stack([x[s : s + 128] for s in starts]), jnp.stack([y[s : s + 128] for s in starts])
    return lax.scan(step, jnp.zeros(x.shape[1]), batches)[0]


def mlp_step(x: jax.Array, labels: jax.Array, *weights: jax.Array) -> jax.Array:
    """One step of gradient descent on the cross-entropy of the MLP; the new weights come out, flat."""

    def loss(weights: tuple[jax.Array, ...]) -> jax.Array:
        return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(mlp(x, *weights)), axis=1))

    new = [w - 0.1 * g for w, g in zip(weights, jax.grad(loss)(weights), strict=True)]
    return jnp.concatenate([w.ravel() for w in new])


def layer_norm(x: jax.Array, gain: jax.Array, bias: jax.Array) -> jax.Array:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    return centred * lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * gain + bias


def gpt2_block(x: jax.Array, *weights: jax.Array) -> jax.Array:
    """A transformer block of GPT-2 small: causal attention with 12 heads, then a GELU layer four times as wide."""
    g1, b1, wqkv, bqkv, wo, bo, g2, b2, wi, bi, wp, bp = weights
    steps, width = x.shape
    parts = jnp.split(layer_norm(x, g1, b1) @ wqkv + bqkv, 3, axis=-1)
    q, k, v = (part.reshape(steps, HEADS, width // HEADS).transpose(1, 0, 2) for part in parts)
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(width // HEADS)
    scores = jnp.where(jnp.tril(jnp.ones((steps, steps), bool)), scores, -1e4)
    mixed = (jax.nn.softmax(scores, axis=-1) @ v).transpose(1, 0, 2).reshape(steps, width)
    x = x + mixed @ wo + bo
    return x + jax.nn.gelu(layer_norm(x, g2, b2) @ wi + bi) @ wp + bp


HEADS = 12


def _gpt2(steps: int, width: int) -> Workload:
    def draw(rng: np.random.Generator) -> Arrays:
        def dense(rows: int, columns: int) -> list[np.ndarray]:
            return [rng.standard_normal((rows, columns)) * 0.02, rng.standard_normal(columns) * 0.01]

        def norm() -> list[np.ndarray]:
            return [1 + 0.1 * rng.standard_normal(width), 0.1 * rng.standard_normal(width)]

        layers = [*norm(), *dense(width, 3 * width), *dense(width, width)]
        layers += [*norm(), *dense(width, 4 * width), *dense(4 * width, width)]
        return (rng.standard_normal((steps, width)), *layers)

    return Workload(f"gpt2_block_s{steps}", gpt2_block, draw, (steps, width))


def _labelled(rng: np.random.Generator) -> Arrays:
    x = rng.uniform(-1.0, 1.0, (1000, 100))
    return x, (x @ rng.standard_normal(100) > 0).astype(np.float64)


def _mlp_step(batch: int) -> Workload:
    draw = network((batch, 784), (784, 128), (128, 128), (128, 10))

    def with_labels(rng: np.random.Generator) -> Arrays:
        x, *weights = draw(rng)
        return (x, np.eye(10)[rng.integers(0, 10, batch)], *weights)

    size = 784 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    return Workload(f"mlp_step_b{batch}", mlp_step, with_labels, (size,))


def network(pixels: tuple[int, ...], *layers: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Pixels in [0, 1], then a weight scaled by its fan-in (He) and a small bias for each layer."""

    def draw(rng: np.random.Generator) -> Arrays:
        arrays = [rng.uniform(0.0, 1.0, pixels)]
        for shape in layers:
            arrays.append(rng.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[:-1])))
            arrays.append(rng.standard_normal(shape[-1:]) * 0.01)
        return tuple(arrays)

    return draw


def _mlp(batch: int) -> Workload:
    draw = network((batch, 784), (784, 128), (128, 128), (128, 10))
    return Workload(f"mlp_b{batch}", mlp, draw, (batch, 10))


def _lenet(batch: int) -> Workload:
    draw = network((batch, 28, 28, 1), (5, 5, 1, 20), (5, 5, 20, 50), (800, 500), (500, 10))
    return Workload(f"lenet_b{batch}", lenet, draw, (batch, 10))


def _minionn(batch: int) -> Workload:
    draw = network((batch, 28, 28, 1), (5, 5, 1, 16), (5, 5, 16, 16), (256, 100), (100, 10))
    return Workload(f"minionn_b{batch}", lenet, draw, (batch, 10))


def _chameleon(batch: int) -> Workload:
    draw = network((batch, 28, 28, 1), (5, 5, 1, 5), (980, 100), (100, 10))
    return Workload(f"chameleon_b{batch}", chameleon, draw, (batch, 10))


MODELS = (
    _mlp(1),
    _mlp(128),
    _lenet(1),
    _lenet(16),
    _minionn(1),
    _minionn(16),
    _chameleon(1),
    _chameleon(128),
    Workload("logreg_10it", logistic_regression, _labelled, (100,)),
    _mlp_step(128),
    _gpt2(32, 768),
)
