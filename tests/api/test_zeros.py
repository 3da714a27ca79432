"""A product that is exactly zero is zero to everything that reads it, whatever the masks: not negative to one reader
and zero to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.testing.executors import SIMULATED, executor

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

ZEROS, ONES = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
READERS: dict[str, Callable[..., Any]] = {
    "order": lambda z: (z >= 0, z < 0, z > 0, z <= 0, z == 0, z != 0),
    "sign": jnp.sign,
    "heaviside": lambda z: jnp.heaviside(z, 0.5),
    "choice": lambda z: jnp.where(z >= 0, 1.0, -1.0),
    "branch": lambda z: jax.lax.cond(z.ravel()[0] >= 0, lambda: 1, lambda: 0),
    "abs": lambda z: jnp.abs(z),
    "floor": lambda z: (jnp.floor(z), jnp.ceil(z), jnp.round(z), jnp.trunc(z)),
    "largest": lambda z: (jnp.maximum(z, 0), z.max(), jnp.argmax(z, -1), jnp.clip(z, 0, 1)),
    "cast": lambda z: (z.astype(bool), z.astype(jnp.int32)),
    "sort": lambda z: jnp.argsort(z, -1),
}
MAKERS: dict[str, Callable[..., Any]] = {
    "product": lambda x, y: x * y,
    "by a constant": lambda x, y: x * 0.1,
    "matrix": lambda x, y: x @ y.T,
    "mean": lambda x, y: x[:, :3].mean(0, keepdims=True),
    "declared": lambda x, y: jmpc.bounded(x * y, 2.0),
    "sum of products": lambda x, y: x * y + x * 0.3 - (x * y) * 0.7,
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_an_exact_zero(maker: str, reader: str) -> None:
    def function(x: Any, y: Any) -> Any:
        return READERS[reader](MAKERS[maker](x, y))

    with executor(SIMULATED):
        found = jmpc.secure(function)(ZEROS, ONES)
    jax.tree.map(np.testing.assert_array_equal, found, function(ZEROS, ONES))


def test_gradients_and_optimizers_start_from_zero() -> None:
    slope = jmpc.secure(jax.grad(lambda w, x: jnp.abs(x * w).sum()))(ZEROS, ONES)
    np.testing.assert_array_equal(slope, 1)  # as JAX has it at 0
    lion = optax.lion(1e-3)
    found = jmpc.secure(lambda p, g: lion.update(g, lion.init(p), p)[0])(ZEROS, ZEROS)
    np.testing.assert_array_equal(found, 0)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([0.0, 2.0**-18, -(2.0**-18), 0.25, -3.0]), min_size=6, max_size=6))
def test_all_readers_agree_on_one_value(drawn: list[float]) -> None:
    """Also where rounding decides: whatever the product is taken for, it is one number to all."""
    x = np.array(drawn, np.float32)
    value, below, none, sign, kept = jmpc.secure(
        lambda x: (x * 0.3, x * 0.3 < 0, x * 0.3 == 0, jnp.sign(x * 0.3), jnp.maximum(x * 0.3, 0))
    )(x)
    np.testing.assert_array_equal(below, np.asarray(value) < 0)
    np.testing.assert_array_equal(none, np.asarray(value) == 0)
    np.testing.assert_array_equal(sign, np.sign(value))
    np.testing.assert_array_equal(kept, np.maximum(value, 0))
