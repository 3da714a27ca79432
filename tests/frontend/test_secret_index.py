"""Indexing by secret numbers means what plain JAX means, and compares an index only where it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.ir.program import walk
from tests.frontend.data import B, I, X
from tests.frontend.oracle import check, run

LINE = np.linspace(-4, 4, 9, dtype=np.float32)
ROWS = np.array([2, 0, 1], np.int32)
ANY = np.array([0, 8, -9, -1, 4], np.int32)
OUTSIDE = np.array([0, 9, 100, -10, -2_000_000_000, 5], np.int32)
TWICE = np.array([1, 1, 3, -8, 3], np.int32)
NEW = np.array([9.0, -7.0, 0.5, 3.0, -2.0], np.float32)
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def ops_of(function: Callable[..., Any], *args: Any, **options: Any) -> Counter[str]:
    """How often each op is in the optimised program."""
    lowered = jmpc.secure(function, **options).lower(*args)
    return Counter(op.name for op in walk(list(lowered.flow.stages.values())[-1].body))


def test_gathers() -> None:
    check(lambda x, i: (x[i], jnp.take(x, i), x[i[0]], x[i.reshape(5, 1)]), LINE, ANY)
    check(lambda x, i: (x[i], x[:, i], jnp.take_along_axis(x, i[:, None], 1)), X, ROWS)
    check(lambda x, i, j: (x[i, j], x[jnp.arange(3), i], x[i, 1]), X, ROWS, ROWS[::-1].copy())
    check(lambda t, i: (t[i], jax.vmap(lambda a, k: a[k])(t, i)), CUBE, np.array([[1, 0, 1], [0, 1, 0]], np.int32))


def test_gathers_of_integers_and_bools() -> None:
    check(lambda x, i: x[i], I.ravel()[:9], ANY)
    check(lambda x, i: x[i], B.ravel()[:9], ANY)


def test_a_public_table() -> None:
    check(lambda i: jnp.asarray(CUBE)[i], np.array([1, 0], np.int32))
    check(lambda t, i: t[i], CUBE, np.array([1, 0], np.int32), public=["t"])


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-11, 11), min_size=4, max_size=4))
def test_an_index_out_of_bounds(values: list[int]) -> None:
    index = np.array(values, np.int32)
    check(lambda x, i: (jnp.take(x, i, mode="clip"), jnp.take(x, i, fill_value=1.5)), LINE, index)
    check(lambda x, i: (x.at[i].get(mode="clip"), x.at[i].set(2.0), lax.dynamic_slice(x, i[:1], (4,))), LINE, index)


def test_what_fills() -> None:
    check(lambda x, i: jnp.take(x, i), I.ravel()[:9], OUTSIDE)
    check(lambda x, i: jnp.take(x, i), B.ravel()[:9], OUTSIDE)
    check(lambda x, i: jnp.take(x, i, axis=1, fill_value=-2.0), X, OUTSIDE)
    found = run(lambda x, i: jnp.take(x, i), LINE, OUTSIDE)
    np.testing.assert_allclose(found, [-4, 0, 0, 0, 0, 1], atol=1e-5)  # JAX has NaN there


def test_slices() -> None:
    check(lambda x, s: (lax.dynamic_slice(x, (s,), (4,)), lax.dynamic_slice(x, (s - 9,), (4,))), LINE, np.int32(7))
    check(lambda x, s: (lax.dynamic_slice(x, (s, s), (2, 3)), lax.dynamic_slice(x, (1, s), (2, 3))), X, np.int32(1))
    check(lambda b, s: lax.dynamic_slice(b, (s, 0), (1, 4)), B, np.int32(1))
    check(lambda x, y, s: lax.dynamic_update_slice(x, y, (s,)), LINE, NEW, np.int32(3))
    check(lambda x, y, s: lax.dynamic_update_slice(x, y, (1, s)), X, X[:2, :3] * 2, np.int32(9))
    check(lambda x, s: lax.dynamic_update_slice(x, x[:2, :2], (s, s)), X, np.int32(1))
    check(lambda b, s: lax.dynamic_update_slice(b, ~b[:2], (s, 0)), B, np.int32(1))


def test_scatters() -> None:
    check(lambda x, i, y: (x.at[i].set(y), x.at[i].add(y)), LINE, ANY, NEW)
    check(lambda x, i: (x.at[i].set(x[:2] * 3), x.at[:, i].set(x[:, 2:]), x.at[:, i].add(1.0)), X, ROWS[:2])
    check(lambda x, i: (x.at[jnp.arange(3), i].set(7.0), x.at[i, i[::-1]].add(7.0)), X, ROWS)
    check(lambda b, i: (b.at[i].set(True), b.at[i, 0].set(False)), B, ROWS[:2])
    check(lambda t, i: jax.vmap(lambda a, k: a.at[k].set(0.0))(t, i), CUBE, np.array([1, 0], np.int32))


def test_updates_of_one_place() -> None:
    """The last one stays, and sums and products take all."""
    check(lambda x, i, y: (x.at[i].set(y), x.at[i].add(y), x.at[i].multiply(y)), LINE, TWICE, NEW)
    check(lambda x, i, y: (x.at[i].max(y), x.at[i].min(y)), LINE, TWICE, NEW)
    check(lambda x, i: (x.at[i].max(x[:5] * 2), x.at[i].min(-x[:5])), I.ravel()[:9], TWICE)
    check(lambda x, i: jax.ops.segment_sum(x, i, num_segments=4), LINE, np.arange(9, dtype=np.int32) % 4)


def test_updates_by_public_indices_of_every_kind() -> None:
    check(lambda x: (x.at[np.array([1, 1, 3])].max(2.0), x.at[np.array([0, 7, 30])].multiply(2.0, mode="drop")), LINE)


def test_what_is_built_on_it() -> None:
    check(lambda i: jnp.unique(i % 3, size=4, fill_value=7), I.ravel()[:6])
    check(lambda b: jnp.nonzero(b, size=3), B[0])
    check(lambda x, i: jnp.take(x, i, mode="wrap"), LINE, OUTSIDE)


def test_one_hot() -> None:
    check(lambda i: (jax.nn.one_hot(i, 5), jax.nn.one_hot(i, 5, axis=0)), OUTSIDE)
    check(lambda i: jax.nn.one_hot(i, 200, dtype=np.int32), np.array([1, 7, 255], np.uint8))
    check(lambda i: jax.nn.one_hot(i, 9), np.arange(9, dtype=np.uint8))


def test_a_promised_index_is_not_compared() -> None:
    """x[i] may count from the end: a longer one-hot vector says so without a comparison."""
    found = ops_of(lambda x, i: x[i], LINE, ANY)
    assert found["one_hot"] == 1
    assert not {"is_negative", "select_or_zero", "wrap", "is_zero"} & set(found)


def test_an_index_that_cannot_be_outside_is_not_compared() -> None:
    found = ops_of(lambda x: x[jnp.arange(3), jnp.argmax(x, axis=1)], X)
    assert found["one_hot"] == 1
    assert not {"is_negative", "is_zero"} & set(found)
    found = ops_of(lambda i: jax.nn.one_hot(i, 200), np.zeros(4, np.uint8))
    assert found["one_hot"] == 1
    assert not {"is_negative", "is_zero"} & set(found)
    found = ops_of(lambda x, i: jnp.take(x, jmpc.bounded(i, 8.0), fill_value=0.0), LINE, ANY)
    assert found["one_hot"] == 1
    assert not {"is_negative", "is_zero"} & set(found)


def test_a_public_part_of_an_index_is_free() -> None:
    """Only the labels are picked obliviously: one product, over the classes."""
    found = ops_of(lambda x, i: x[jnp.arange(3), i], X, ROWS)
    assert (found["one_hot"], found["dot"], found["gather"]) == (1, 1, 1)


def test_a_long_table_is_picked_from_by_digits() -> None:
    """Two short one-hot vectors, one round more; from both ends, from a table of rows, and with what fills."""
    table, index = np.linspace(-9, 9, 300, dtype=np.float32), np.arange(-300, 300, 7, dtype=np.int32)
    assert ops_of(lambda x, i: x[i], table, index)["hot_digits"] == 1
    check(lambda x, i: (x[i], jnp.take(x, i * 5, mode="clip")), table, index)
    check(lambda x, i: jnp.take(x, i * 5, fill_value=0.0), table, index)
    check(lambda x, i: (x[i], x[i, 1]), np.stack([table, -table], 1), index)
    check(lambda x, i: jax.vmap(lambda row, k: row[k])(x, i), np.stack([table, -table]), index[:4].reshape(2, 2))


def test_rounds_and_bytes_are_in_the_report() -> None:
    table, index = np.zeros(1000, np.float32), np.zeros(100, np.int32)
    cost = jmpc.secure(lambda x, i: x[i]).lower(table, index).cost_analysis()
    assert (cost.rounds, max(cost.bytes_sent)) == (3, 128_800)
    assert "deal_hot_digits" in str(cost)


def test_a_window_over_part_of_an_axis_is_refused() -> None:
    dims = lax.ScatterDimensionNumbers((0, 1), (), (0,))
    with pytest.raises(UnsupportedError, match="window"):
        run(lambda x, i: lax.scatter(x, i, jnp.ones((1, 2)), dims), X, np.array([1], np.int32))
