"""Indexing by public numbers means what plain JAX means. By secret ones: `test_secret_index.py`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.errors import UnsupportedError
from tests.frontend.data import B, I, X
from tests.frontend.oracle import check, run

ROWS = np.array([0, 2, 1])


def test_dynamic_slices() -> None:
    check(
        lambda x, k: (lax.dynamic_slice(x, (k, 0), (2, 2)), x[k], lax.dynamic_slice(x, (k + 7, -k), (2, 2))),
        X,
        1,
        public=["k"],
    )
    check(
        lambda x, k: (lax.dynamic_update_slice(x, jnp.ones((1, 2)), (k, k)), x),
        X,
        1,
        public=["k"],
    )
    check(lambda x, k: lax.dynamic_update_slice(jnp.zeros((4, 4)), x, (k, 0)), X, 1, public=["k"])


def test_gathers() -> None:
    check(lambda x, k: (x[k], x[:, k], x[k, k], jnp.take_along_axis(x, k[:, None], axis=1)), X, ROWS, public=["k"])
    check(lambda x: (x[jnp.array([0, 2, 0])], x[np.array([[1], [2]]), np.array([0, 3])]), X)
    check(lambda x, k: jax.vmap(lambda r, j: r[j])(x, k), X, ROWS, public=["k"])


def test_an_index_out_of_bounds() -> None:
    check(
        lambda x, k: (jnp.take(x, k + 2, axis=1, mode="clip"), jnp.take(x, k + 9, axis=1, mode="wrap")),
        X,
        ROWS,
        public=["k"],
    )
    check(lambda x, k: jnp.take(x, k, axis=0, mode="fill", fill_value=1.5), X, ROWS + 1, public=["k"])
    check(lambda x: jnp.take(x, np.array([0, 7]), axis=0, mode="fill", fill_value=-2.0), X)
    check(
        lambda i, b: (jnp.take(i, np.array([0, 7]), axis=0, fill_value=3), jnp.take(b, np.array([0, 7]), axis=0)), I, B
    )
    with pytest.raises(UnsupportedError, match="out of bounds"):
        run(lambda x: jnp.take(x, np.array([0, 7]), axis=0), X)


def test_scatters() -> None:
    check(lambda x: (x.at[1].set(0.0), x.at[:, 2].set(x[:, 0]), x.at[0, 1].set(5.0), x.at[7].set(1.0, mode="drop")), X)
    check(lambda x, k: (x.at[k].set(0.5), x.at[k].add(x[0]), x.at[k, 0].add(1.0)), X, ROWS, public=["k"])
    check(lambda x: x.at[jnp.array([0, 0, 2])].add(x), X)
    check(lambda i, b: (i.at[1].set(3), i.at[1].add(3), b.at[0].set(True)), I, B)
