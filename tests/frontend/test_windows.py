"""Windows and reductions by any operator: derivatives of max-pools, products, operators of the user."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.errors import UnsupportedError
from jmpc.numerics.arrays.windows import Window, patches, put_back, window_max_gradient, window_max_tangent
from tests.frontend.data import IMAGE, TIES, B, I, X
from tests.frontend.oracle import check, run

WEIGHTS = jnp.arange(12.0).reshape(3, 4)


def _windows(x: Any, start: float, operator: Any) -> Any:
    return (lax.reduce_window(x, start, operator, (1, 3), (1, 1), "SAME") * WEIGHTS).sum()


@pytest.mark.parametrize("overlap", [2, 3])
def test_gradients_of_pools(overlap: int) -> None:
    pool = lambda x: nn.max_pool(x, (overlap, overlap), (2, 2), "SAME")  # noqa: E731
    check(lambda x: jax.grad(lambda x: (pool(x) ** 2).sum())(x), IMAGE)
    check(lambda x: jax.jvp(pool, (x,), (x * 2,)), IMAGE)


def test_the_first_of_equal_elements_takes_the_gradient() -> None:
    check(lambda x: jax.grad(lambda x: _windows(x, -jnp.inf, lax.max))(x), TIES)
    check(lambda x: jax.grad(lambda x: _windows(x, jnp.inf, lax.min))(x), TIES)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("shape", "strides"), [((2, 2), (1, 1)), ((3, 1), (1, 2)), ((1, 2), (2, 3))])
def test_derivatives_in_plain_jax(shape: tuple[int, int], strides: tuple[int, int], padding: str) -> None:
    """Gradients also of equal elements; in a tangent JAX itself takes one or the other of them."""
    rng = np.random.default_rng(0)
    ties, moved = (rng.integers(-2, 3, (4, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32))
    window = Window(shape, strides, tuple(lax.padtype_to_pads((4, 5), shape, strides, padding)), (1, 1))
    pool = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, shape, strides, padding)  # noqa: E731
    tangent = jax.jvp(pool, (moved,), (ties,))[1]
    np.testing.assert_allclose(window_max_tangent(ties, moved, window=window), tangent, atol=1e-6)
    value, back = jax.vjp(pool, ties)
    source = rng.normal(size=value.shape).astype(np.float32)
    np.testing.assert_allclose(window_max_gradient(source, ties, window=window), back(source)[0], atol=1e-6)


def test_putting_back_is_the_transpose_of_taking() -> None:
    window = Window((2, 2), (1, 2), ((1, 0), (0, 2)), (2, 1))
    take = lambda x: patches(x, window, jnp.float32(0))  # noqa: E731
    parts = np.random.default_rng(0).normal(size=take(X).shape).astype(np.float32)
    np.testing.assert_allclose(put_back(parts, window, X.shape), jax.linear_transpose(take, X)(parts)[0], atol=1e-6)


def test_products_and_parities() -> None:
    check(lambda x: (x.prod(), x.prod(axis=1), x.prod(axis=(0, 1), keepdims=True), x[:, :0].prod(axis=1)), X)
    check(lambda x: jax.grad(lambda x: x[0].prod())(x), X)
    check(lambda b: lax.reduce(b, False, lax.bitwise_xor, (0,)), B)
    check(lambda i: i.prod(axis=0), I)


def test_operators_of_the_user() -> None:
    def larger(a: Any, b: Any) -> Any:
        first = a[0] >= b[0]
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    both = lambda a, b: a * b + a + b  # noqa: E731
    check(
        lambda x: (
            lax.reduce(x, 0.0, both, (0,)),
            lax.reduce(x, 0.0, both, (1, 0)),
            lax.reduce(x[:0], 0.5, both, (0,)),
        ),
        X,
    )
    check(lambda x, i: lax.reduce((x, i), (-1e4, 0), larger, (1,)), X, I)
    check(lambda x: lax.reduce_window(x, 0.0, both, (2, 2), (1, 2), "SAME"), X)
    check(lambda x: lax.reduce_window(x, 0.0, lax.max, (2, 2), (1, 2), "SAME"), X)


def test_a_dilated_base_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="dilated base"):
        run(lambda x: lax.reduce_window(x, 0.0, lambda a, b: a * b, (2, 2), (1, 1), "VALID", (2, 2)), X)
