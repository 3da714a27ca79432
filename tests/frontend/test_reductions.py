"""Reductions over one axis, several and all, windows and running sums mean what plain JAX means."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jmpc.errors import UnsupportedError
from tests.frontend.data import IMAGE, RNG, TIES, B, I, X
from tests.frontend.oracle import check, run

WINDOW = ((1, 2, 2, 1), (1, 1, 1, 1))


def test_maxima_and_sums() -> None:
    check(lambda x: (x.max(), x.max(0), x.min(1), x.max((0, 1)), x.min((1, 0)), x.max(1, keepdims=True), x.max(())), X)
    check(lambda x: (x.sum(), x.sum((0, 1)), x.mean(1), jnp.ptp(x, 1), jnp.linalg.norm(x, 1)), X)
    check(lambda i: (i.max(), i.min(0), i.sum(0), i.any(), i.all(1)), I)
    check(lambda b: (jnp.any(b, 0), jnp.all(b), jnp.max(b, 1), jnp.min(b), b.sum(1), jnp.count_nonzero(b)), B)


def test_the_first_of_equals_wins() -> None:
    check(lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 1), jnp.argmax(x, 0), jnp.argmax(x), jnp.argmin(x)), TIES)
    check(lambda x: (lax.argmax(x, 2, jnp.int32), lax.argmin(x, 0, jnp.uint8)), RNG.integers(0, 2, (3, 4, 5)) * 1.0)
    check(lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 1)), RNG.integers(0, 9, (2, 41)).astype(np.float32))
    check(lambda x, b, i: (jnp.argmax(x[:, :1], 1), jnp.argmax(b, 1), jnp.argmax(i, 1)), TIES, B, I)


def test_running_sums() -> None:
    check(lambda x: (x.cumsum(0), lax.cumsum(x, 1, reverse=True), jnp.cumsum(x)), X)
    check(lambda b, i: (b.cumsum(1), i.cumsum(0)), B, I)


def test_pools_of_flax() -> None:
    two = (2, 2)
    check(lambda x: (nn.avg_pool(x, two, two), nn.max_pool(x, two, two), nnx.max_pool(x, two, (1, 1))), IMAGE)
    check(lambda x: nn.avg_pool(x, two, two, count_include_pad=False), IMAGE)
    check(lambda x: (nn.max_pool(x, (3, 3), two, "SAME"), nn.avg_pool(x, (3, 3), (1, 1), "SAME")), IMAGE[:1, :, :, :1])
    check(lambda x: nnx.min_pool(x, two, two), IMAGE)


def test_windows_of_lax() -> None:
    pads = ((0, 0), (1, 1), (0, 1), (0, 0))
    check(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, *WINDOW, pads), IMAGE)
    check(lambda x: lax.reduce_window(x, 0.0, lax.add, *WINDOW, "SAME", (1, 2, 1, 1), (1, 1, 2, 1)), IMAGE)
    check(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, *WINDOW, "VALID", window_dilation=(1, 2, 2, 1)), IMAGE)
    check(lambda i: lax.reduce_window(i, -(2**31), lax.max, (2, 2), (1, 1), "SAME"), I)


def test_windows_without_a_secure_form() -> None:
    with pytest.raises(UnsupportedError, match="dilated base"):
        run(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, *WINDOW, "SAME", base_dilation=(1, 2, 1, 1)), IMAGE)


@pytest.mark.parametrize("between", [0, 300])
def test_a_variance_is_centred_however_far_its_two_means_stand_apart(between: int) -> None:
    x = (500 + RNG.normal(size=20)).astype(np.float32)

    def variance(x: jnp.ndarray) -> tuple[jnp.ndarray, jnp.ndarray]:
        squares, other = jnp.mean(x * x), x[0]
        for _ in range(between):
            other = other + x[1] * 0.0 + 0.001
        return squares - jnp.mean(x) ** 2, other

    found = run(variance, x)[0]
    np.testing.assert_allclose(found, x.astype(np.float64).var(), rtol=1e-3)
