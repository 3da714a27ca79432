"""What JAX's transformations make of a function has a secure form where the function has; so have Flax and optax."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

import jmpc
from tests.frontend.data import IMAGE, RNG, W, X, Y
from tests.frontend.oracle import check

KERNEL = RNG.normal(size=(3, 3, 3, 2)).astype(np.float32)


def _conv(x: Any, k: Any) -> Any:
    return lax.conv_general_dilated(x, k, (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_gradients() -> None:
    check(lambda w, x: jax.value_and_grad(lambda w: ((jax.nn.relu(x @ w) - 1) ** 2).mean())(w), W, X)
    check(lambda w, x: jax.grad(lambda w: jnp.maximum(0.0, 1 - x @ w).sum())(w), W, X)
    check(lambda x: jax.grad(lambda x: (jnp.clip(x, -0.5, 0.5) ** 2 + jnp.abs(x)).sum())(x), X)
    check(
        lambda x: jax.grad(lambda x: (x[1:] * x[:-1]).sum() + x[0, 0] ** 2 + (x[jnp.array([0, 2, 0])] ** 2).sum())(x), X
    )


def test_gradients_of_layers() -> None:
    check(lambda x, k: jax.grad(lambda k: (_conv(x, k) ** 2).sum())(k), IMAGE, KERNEL, tolerance=1e-3)
    check(lambda x, k: jax.grad(lambda x: (_conv(x, k) ** 2).sum())(x), IMAGE, KERNEL, tolerance=1e-3)
    check(lambda x: jax.grad(lambda x: (nn.avg_pool(x, (2, 2), (2, 2)) ** 2).sum())(x), IMAGE)
    check(
        lambda x, w: jax.grad(
            lambda w: lax.scan(lambda c, t: (jax.nn.relu(c @ w) + t, 0.0), x, jnp.arange(3.0))[0].sum()
        )(w),
        X,
        W,
    )


def test_forward_derivatives() -> None:
    check(lambda x, y: jax.jvp(lambda x: jax.nn.relu(x) * x, (x,), (y,)), X, Y)
    check(lambda x: (jax.hessian(lambda x: (x**3).sum())(x[0]), jax.jacfwd(lambda x: x * x[0])(x[0])), X)


def test_vmap() -> None:
    check(lambda x, w: (jax.vmap(lambda r: r @ w)(x), jax.vmap(lambda r: jnp.max(r) * r, in_axes=1)(x)), X, W)
    check(lambda x: jax.vmap(jax.grad(lambda r: (r**2).sum()))(x), X)
    check(lambda x: jax.vmap(lambda r: lax.fori_loop(0, 2, lambda k, c: c * r, r))(x), X)


def test_nested_jaxprs() -> None:
    twice = jax.jit(lambda q: q * 2)
    check(lambda x: jax.jit(lambda z: twice(z) + twice(z + 1))(x), X)
    check(lambda w, x: jax.grad(lambda w: jax.checkpoint(lambda w: jax.nn.relu(x @ w).sum())(w))(w), W, X)

    @jax.custom_jvp
    def forward(x: Any) -> Any:
        return x * 2

    forward.defjvp(lambda p, t: (forward(p[0]), t[0] * 3))

    @jax.custom_vjp
    def backward(x: Any) -> Any:
        return x * 2

    backward.defvjp(lambda x: (backward(x), x), lambda r, g: (g * r,))
    check(lambda x: (forward(x), backward(x), jax.grad(lambda x: forward(x).sum() + backward(x).sum())(x)), X)


def test_bounded_under_transformations() -> None:
    check(lambda x: (jmpc.bounded(x, 8.0) * x, jax.grad(lambda x: (jmpc.bounded(x, 8.0) ** 2).sum())(x)), X)
    check(lambda x: (jax.vmap(lambda r: jmpc.bounded(r, 8.0) + 1)(x), jax.jit(lambda x: jmpc.bounded(x, 9.0))(x)), X)
    check(lambda x: lax.scan(lambda c, t: (jmpc.bounded(c + t, 20.0), None), x[0], x), X)


def test_modules() -> None:
    model = nnx.Sequential(nnx.Linear(4, 5, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(5, 2, rngs=nnx.Rngs(1)))
    check(lambda m, x: m(x), model, X)
    dense = nn.Dense(3)
    check(lambda p, x: dense.apply(p, x), dense.init(jax.random.key(0), X), X)


def test_a_module_with_random_keys_in_its_state() -> None:
    class Net(nnx.Module):
        def __init__(self) -> None:
            self.linear, self.drop = nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1))

        def __call__(self, x: Any) -> Any:
            return self.drop(self.linear(x), deterministic=True)

    check(lambda m, x: m(x), Net(), X)


def test_a_training_step_of_optax() -> None:
    optimiser, start = optax.sgd(0.1, momentum=0.9), {"w": W}

    def step(w: Any, state: Any, x: Any) -> Any:
        gradient = jax.grad(lambda w: ((x @ w["w"]) ** 2).mean())(w)
        updates, state = optimiser.update(gradient, state, w)
        return optax.apply_updates(w, updates), state

    check(step, start, optimiser.init(start), X)
