"""Sorting, the largest few, quantiles, running results and places mean what plain JAX means, ties included."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc.frontend.calls import CALLS
from jmpc.frontend.rules import order
from tests.frontend.data import TIES, B, I, X
from tests.frontend.oracle import check, run

SMALL = X * 0.4


def test_sorts() -> None:
    check(lambda x: (jnp.sort(x), jnp.sort(x, axis=0), jnp.sort(x, axis=None)), TIES)
    check(lambda i: (jnp.sort(i, descending=True), jnp.sort(i[0, :1]), jnp.sort(i[:0])), I)
    check(lambda b: (jnp.sort(b), jnp.argsort(b, axis=0)), B)


def test_a_sort_is_stable() -> None:
    check(lambda x: (jnp.argsort(x), jnp.argsort(x, descending=True), jnp.argsort(x, axis=0)), TIES)
    check(lambda x, i: lax.sort((x, i, i), num_keys=1, dimension=0), TIES, I)


def test_several_keys() -> None:
    check(lambda x, b: lax.sort((b, x, x > 0), num_keys=2), TIES, B)
    check(lambda i, x: jnp.lexsort((i, x)), I % 2, TIES)


def test_a_sort_by_public_keys_is_free() -> None:
    keys = np.array([2, 0, 2, 1])
    check(lambda k, x: lax.sort((k, x), num_keys=1)[1], keys, X[0], public=["k"])
    lowered = jmpc.secure(lambda k, x: lax.sort((k, x), num_keys=1)[1], public=["k"]).lower(keys, X[0])
    assert lowered.cost_analysis().rounds == 0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([-(2**31), -3, -1, 0, 1, 3, 2**31 - 1]), min_size=7, max_size=7))
def test_integers_over_their_whole_range(values: list[int]) -> None:
    check(lambda i: (jnp.sort(i), jnp.argsort(i), lax.top_k(i, 1)), np.array(values, np.int32))


def test_whole_range_of_wide_and_unsigned_integers() -> None:
    with jax.enable_x64(True):
        ends = np.array([2**63 - 1, -(2**63), 0, -1, 2**63 - 1])
        check(lambda i: (jnp.sort(i), lax.top_k(i, 3), lax.cummax(i), lax.cummin(i)), ends)
        tops = np.array([0, 2**64 - 1, 2**63, 2**63 - 1], np.uint64)
        check(lambda i: (jnp.sort(i), lax.top_k(i, 2), lax.cummax(i)), tops)


def test_the_largest_few() -> None:
    check(lambda x: (lax.top_k(x, 3), lax.top_k(x[0], 1)), TIES)
    check(lambda x: lax.top_k(x, 2, axis=0), TIES)


def test_quantiles() -> None:
    check(lambda x: (jnp.median(x), jnp.quantile(x, 0.3, axis=0), jnp.percentile(x, jnp.array([10.0, 90.0]))), X)


def test_running_results() -> None:
    check(lambda x: (jnp.cumprod(x, axis=1), lax.cumprod(x, axis=0, reverse=True)), SMALL)
    check(lambda i: (lax.cummax(i, axis=1), lax.cummin(i, axis=0, reverse=True), jnp.cumprod(i, axis=0)), I)
    check(lambda x: lax.cummax(x), np.zeros(0, np.float32))


def test_places_in_a_sorted_array() -> None:
    line = np.sort(TIES.ravel())

    def both(a: Any, q: Any) -> Any:
        return jnp.searchsorted(a, q), jnp.searchsorted(a, q, side="right")

    check(both, line, TIES)
    check(both, line, TIES, public=["a"])
    check(lambda x: jnp.digitize(x, jnp.array([-1.0, 0.0, 1.0])), X)


def test_a_rule_for_a_call_may_decline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the body is walked: a name that JAX gives to something else costs speed, not correctness."""

    def declined(x: Any) -> Any:
        return x + 1

    monkeypatch.setitem(CALLS, "declined", lambda w, eqn, args: None)
    check(lambda x: jax.jit(declined)(x), X)
    monkeypatch.setitem(CALLS, "declined", lambda w, eqn, args: args)
    np.testing.assert_allclose(run(lambda x: jax.jit(declined)(x), X), X, atol=1e-5)


def test_many_queries_are_sorted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST_COMPARED", 10)
    check(lambda a, q: (jnp.searchsorted(a, q), jnp.searchsorted(a, q, side="right")), np.sort(X[0]), TIES)


def test_a_gradient_through_a_sort() -> None:
    check(lambda x: jax.grad(lambda v: (jnp.sort(v)[:2] * jnp.array([2.0, 3.0])).sum())(x), X[0])
