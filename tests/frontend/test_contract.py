"""Operations on values at the edges of the number format's contract, |x| < 2^26: what is chosen, compared or ordered
are products just inside it, so that whatever the compiler makes on the way must hold twice that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.testing.executors import SIMULATED, executor

EDGE = float(2**26 - 4)
RNG = np.random.default_rng(11)
# Factors whose products are at an edge, in the middle, tiny, or exactly zero.
FACTORS = np.array(
    [(8191.5, 8192), (-8191.5, 8192), (6000, 10_000), (-6000, 10_000), (EDGE, 1), (-EDGE, 1), (3, 0.25), (0, EDGE)]
    + [(2.0**-9, 2.0**-9), (-(2.0**-9), 2.0**-9), (1, 0), (1000, 31.25)],
    np.float32,
)
ROWS, WIDTH = 96, 6
Function = Callable[..., Any]


def drawn() -> list[np.ndarray]:
    """a, b, d, e: factors of two arrays of products; some pairs are equal."""
    picks = RNG.integers(0, len(FACTORS), (2, ROWS, WIDTH))
    picks[1, ::7] = picks[0, ::7]
    return [FACTORS[picks[n], side] for n in (0, 1) for side in (0, 1)]


FACTORED = drawn()
BIT = RNG.integers(0, 2, (ROWS, WIDTH)).astype(np.float32)
ONE = np.float32(1)
INDEX = RNG.integers(-WIDTH, WIDTH, (ROWS,)).astype(np.int32)

# Each takes two products p, q, a float 0 or 1 for each element, one such number, and an index into the last axis.
OPERATIONS: dict[str, Function] = {
    "where": lambda p, q, bit, one, at: jnp.where(bit > 0, p, q),
    "where, of one number": lambda p, q, bit, one, at: jnp.where(one > 0, p, q),
    "where with a constant": lambda p, q, bit, one, at: (
        jnp.where(bit > 0, p, -1e9) > -1e7,
        jnp.where(bit > 0, 3.0, q),
    ),
    "select_n": lambda p, q, bit, one, at: lax.select_n(bit.astype(jnp.int32), p, q),
    "select_n of three": lambda p, q, bit, one, at: lax.select_n((bit + (q > 0)).astype(jnp.int32), p, q, -p),
    "cond": lambda p, q, bit, one, at: lax.cond(one > 0, lambda: p, lambda: q),
    "switch": lambda p, q, bit, one, at: lax.switch(one.astype(jnp.int32), [lambda: p, lambda: q, lambda: -q]),
    "order": lambda p, q, bit, one, at: (p < q, p <= q, p > q, p >= q, p == q, p != q),
    "order with a number": lambda p, q, bit, one, at: (p < EDGE, p > -EDGE, p >= 6e7, q == 0, q < -6e7),
    "maximum": lambda p, q, bit, one, at: (jnp.maximum(p, q), jnp.minimum(p, q), jnp.maximum(p, -6e7)),
    "clip": lambda p, q, bit, one, at: (jnp.clip(p, -6e7, 6e7), jnp.clip(p, jnp.minimum(q, 0), jnp.maximum(q, 0))),
    "abs and sign": lambda p, q, bit, one, at: (jnp.abs(p), jnp.sign(p), jnp.abs(p - 0.25) >= 0),
    "relu": lambda p, q, bit, one, at: (jax.nn.relu(p), jax.nn.leaky_relu(q, 0.25), jax.nn.relu6(p)),
    "largest": lambda p, q, bit, one, at: (p.max(-1), p.min(-1), jnp.argmax(p, -1) * 0, jnp.max(q)),
    "windows": lambda p, q, bit, one, at: lax.reduce_window(p, -jnp.inf, lax.max, (1, 2), (1, 1), "SAME"),
    "running": lambda p, q, bit, one, at: (lax.cummax(p, 1), lax.cummin(p, 1)),
    "sort": lambda p, q, bit, one, at: (jnp.sort(p, -1), jnp.sort(p, -1)[:, ::-1], lax.top_k(q, 3)[0]),
    "median": lambda p, q, bit, one, at: jnp.median(p[:, :5], -1),
    "index": lambda p, q, bit, one, at: jnp.take_along_axis(p, at[:, None], 1),
    "index with fill": lambda p, q, bit, one, at: jnp.take(p, jnp.array([0, 9]), 1, mode="fill", fill_value=-6e7),
    "set": lambda p, q, bit, one, at: jax.vmap(lambda row, i, v: row.at[i].set(v))(p, at, q[:, 0]),
    "larger of": lambda p, q, bit, one, at: jax.vmap(lambda row, i, v: row.at[i].max(v))(p, at, q[:, 0]),
    "logaddexp": lambda p, q, bit, one, at: jnp.logaddexp(p, q),
    "softmax": lambda p, q, bit, one, at: jax.nn.softmax(p, -1),
    "masked softmax": lambda p, q, bit, one, at: jax.nn.softmax(jnp.where(bit > 0, p, -1e9).at[:, 0].set(p[:, 0]), -1),
    "logsumexp": lambda p, q, bit, one, at: jax.nn.logsumexp(p, -1),
    "rounding": lambda p, q, bit, one, at: (jnp.floor(p), jnp.ceil(p), jnp.round(p), jnp.trunc(q)),
    "cast": lambda p, q, bit, one, at: (p.astype(jnp.int32), p.astype(bool)),
    "smooth": lambda p, q, bit, one, at: (jax.nn.sigmoid(p), jnp.tanh(p), jax.nn.softplus(p), jax.nn.gelu(p)),
    "roots": lambda p, q, bit, one, at: jnp.sqrt(jnp.abs(p)),
    "sum and difference": lambda p, q, bit, one, at: (0.5 * p + 0.5 * q, 0.5 * p - 0.5 * q),
    "moved": lambda p, q, bit, one, at: (jnp.concatenate([p, q]), jnp.roll(p, 1, 1), -p, jnp.pad(p, 1)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_up_to_the_contract(name: str) -> None:
    operation = OPERATIONS[name]

    def function(a: Any, b: Any, d: Any, e: Any, bit: Any, one: Any, at: Any) -> Any:
        return operation(a * b, d * e, bit, one, at)

    args = (*FACTORED, BIT, ONE, INDEX)
    with executor(SIMULATED):
        found = jmpc.secure(function)(*args)
    with jax.enable_x64(True):
        wide = [np.asarray(a, np.float64) if a.dtype == np.float32 else a for a in args]
        expected = function(*(jnp.asarray(a) for a in wide))
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
        np.testing.assert_allclose(one, two, rtol=3e-5 if name == "roots" else 2.0**-22, atol=4e-4, err_msg=name)
