"""Comparisons, selection, maxima and logic mean what plain JAX means."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.errors import RangeError
from tests.frontend.data import B, C, I, X, Y
from tests.frontend.oracle import check, run


def test_comparisons() -> None:
    check(lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y, x < 0, x >= 0.25, x > 0), X, Y)
    check(lambda i, j: (i < j, i <= j, i == j, i != j, i > 2, i >= i[0]), I, I[::-1].copy())
    check(lambda b, c: (b == c, b != c, b < c, b <= c, b > c, b >= c), B, C)


def test_maxima() -> None:
    check(lambda x, y: (jnp.maximum(x, y), jnp.minimum(x, y), jnp.maximum(x, 0.5), jnp.minimum(0.0, x)), X, Y)
    check(lambda x: (jax.nn.relu(x), jax.nn.relu6(x), jax.nn.leaky_relu(x), jax.nn.hard_tanh(x)), X)
    check(lambda i, b: (jnp.maximum(i, 2), jnp.minimum(i, i[0]), jnp.maximum(b, True)), I, B)


def test_clamp_abs_sign() -> None:
    check(
        lambda x, y: (jnp.clip(x, -0.5, 0.5), jnp.clip(x, y, y + 1), jnp.clip(x, None, 0.2), lax.clamp(-1.0, x, y)),
        X,
        Y,
    )
    check(lambda x, i: (jnp.abs(x), jnp.sign(x), jnp.sign(x * 0), jnp.clip(i, -3, 3), jnp.abs(i), jnp.sign(i)), X, I)


def test_selection() -> None:
    """By a secret and by a public bit, of two secrets, of one and a constant, of two constants."""
    check(
        lambda x, y, p: (jnp.where(x > y, x, y), jnp.where(p, x, y), jnp.where(p, x, 0), jnp.where(x > 0, 1, 0)),
        X,
        Y,
        C,
        public=["p"],
    )
    check(lambda x, y, p: (jnp.where(x > 0, 1.5, y), jnp.where(p, 0, y), lax.select(p, x, y)), X, Y, C, public=["p"])
    check(lambda b, c, p: (jnp.where(b, c, ~c), jnp.where(p, b, c), jnp.where(b, p, c)), B, C, C, public=["p"])


def test_selection_by_an_integer() -> None:
    check(lambda w, x, y: (lax.select_n(w > 0, x, y), lax.select_n((w > 0).astype(jnp.int32), x, y)), I, X, Y)
    check(lambda w, x, y: lax.select_n(w, x, y, x + y), np.abs(I) % 3, X, Y)
    check(lambda w, x, y: lax.select_n(w, x, y, x + y), np.abs(I) % 3, X, Y, public=["w"])


def test_infinities_and_nan_where_they_are_not_chosen() -> None:
    """Masks of -inf saturate; a NaN that a public bit never chooses does no harm, one that it chooses is refused."""
    check(lambda x, p: jnp.where(p, x, -jnp.inf) > -1, X, C, public=["p"])
    check(lambda x: (jnp.var(x, 0), jnp.where(jnp.array([True, False, True, True]), x, jnp.inf) < 9), X)
    check(lambda x, p: jnp.where(p > 0, x, jnp.log(p)), X, np.float32(1), public=["p"])
    check(lambda x: x + jnp.array([0, -jnp.inf, 0, 1e9]) > 3, X)
    with pytest.raises(RangeError, match="NaN"):
        run(lambda x: x + jnp.array([0, jnp.nan, 0, 0]), X)


def test_logic() -> None:
    check(lambda b, c, p: (b & c, b | c, b ^ c, ~b, b & p, b | p, p ^ b, ~p | b, b & c[0]), B, C, C, public=["p"])
    check(lambda b, c: (jnp.logical_not(b).any(1), jnp.logical_xor(b, c).all(), jnp.logical_or(b, False)), B, C)
    check(lambda i: (i & 3, ~i), I)


def test_tests_that_a_ring_answers_by_itself() -> None:
    check(lambda x: jnp.isnan(x), X)
