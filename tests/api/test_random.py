"""jmpc.random inside secure functions, and jax.random with public keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError, UnsupportedError
from jmpc.testing.executors import executor

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code


def _draws(x: Any) -> Any:
    def step(carry: Any, _: None) -> Any:
        u = jmpc.random.uniform()
        return carry + u, u

    total, rows = jax.lax.scan(step, 0.0, None, length=3)
    word, small = jmpc.random.bits((40,)), jmpc.random.bits((40,), np.int8)
    return total, rows, word, jmpc.random.uniform((40,), x, 3 * x), jmpc.random.bernoulli(x, (64,)), small, small < 0


def test_draws_are_fresh_for_each_call_line_and_iteration() -> None:
    secured = jmpc.secure(_draws)
    total, rows, word, spread, odds, small, below = secured(np.float32(0.5))
    np.testing.assert_allclose(total, rows.sum(), atol=1e-4)
    assert len(set(np.asarray(rows).tolist())) == 3
    assert ((rows >= 0) & (rows < 1)).all()
    assert ((spread > 0.499) & (spread < 1.501)).all()
    assert len(set(np.asarray(word).tolist())) > 35
    assert word.dtype == np.uint32
    assert 0 < odds.sum() < 64
    np.testing.assert_array_equal(below, small < 0)
    with jmpc.local():
        first, second = (np.asarray(secured(np.float32(0.5))[2]) for _ in range(2))
    assert (first != second).any()


def test_distributions_run() -> None:
    def all_of() -> Any:
        r = jmpc.random
        return r.normal((8,)), r.binomial(5, 0.25, (8,)), r.discrete_gaussian(0.5, (8,)), r.bernoulli(0.25, (8,))

    normal, binomial, gaussian, odds = jmpc.secure(all_of)()
    assert (np.abs(normal) < 16.2).all()
    assert len(set(np.asarray(normal).tolist())) > 4
    assert ((binomial >= 0) & (binomial <= 5)).all()
    assert (np.abs(gaussian) < 6).all()
    assert odds.dtype == bool
    assert (normal.dtype, binomial.dtype, gaussian.dtype) == (np.float32, np.int32, np.int32)


def test_a_draw_has_no_gradient() -> None:
    slope = jmpc.secure(jax.grad(lambda v: (v * jmpc.random.uniform((3, 2))).sum()))(np.zeros((3, 2), np.float32))
    assert ((slope >= 0) & (slope < 1)).all()


def test_further_distributions_run() -> None:
    r = jmpc.random

    def all_of(logits: Any) -> Any:
        return r.exponential((8,)), r.laplace((8,)), r.gumbel((8,)), r.categorical(logits, shape=(8,)), r.permutation(8)

    exponential, laplace, gumbel, category, order = jmpc.secure(all_of)(np.array([0, -30, 0.5], np.float32))
    assert ((exponential >= 0) & (exponential < 32)).all()
    assert (np.abs(laplace) < 32).all()
    assert ((gumbel > -3.5) & (gumbel < 23)).all()
    assert set(np.asarray(category).tolist()) <= {0, 2}
    assert sorted(np.asarray(order).tolist()) == list(range(8))
    assert {exponential.dtype, laplace.dtype, gumbel.dtype} == {np.dtype(np.float32)}
    assert {category.dtype, order.dtype} == {np.dtype(np.int32)}


@pytest.mark.parametrize("options", [{}, {"axis": 0}, {"shape": (5, 4, 2)}, {"axis": -2, "shape": (4, 3)}])
def test_categories_have_the_shape_that_jax_gives_them(options: dict[str, Any]) -> None:
    x = np.zeros((2, 3), np.float32)
    with executor("simulated", 0):
        found = np.asarray(jmpc.secure(lambda x: jmpc.random.categorical(x, **options))(x))
    assert found.shape == jax.random.categorical(jax.random.key(0), x, **options).shape
    assert ((found >= 0) & (found < x.shape[options.get("axis", -1)])).all()


def test_outside_a_secure_function_they_raise() -> None:
    r = jmpc.random
    for call in (r.bits, r.uniform, r.normal, r.laplace, lambda: r.permutation(3), jax.jit(lambda: r.bits())):
        with pytest.raises(ArgumentError, match="in a secure function alone"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: jmpc.random.bits((3,), np.float32),
        lambda: jmpc.random.bernoulli(1.5),
        lambda: jmpc.random.binomial(0, 0.5),
        lambda: jmpc.random.discrete_gaussian(0.0),
        lambda: jmpc.random.uniform((-1,)),
        lambda: jmpc.random.categorical(jnp.zeros(3, int)),
        lambda: jmpc.random.categorical(jnp.zeros(3), axis=1),
        lambda: jmpc.random.categorical(jnp.zeros((2, 3)), shape=(3,)),
        lambda: jmpc.random.permutation(jnp.zeros(3), axis=1),
        lambda: jmpc.random.permutation((jnp.zeros(3), jnp.zeros(2))),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Any) -> None:
    with pytest.raises(ArgumentError, match=r"jmpc\.random\."):
        call()


def _with_key(key: Any, x: Any) -> Any:
    a, b = jax.random.split(key)
    made = jax.random.key(7)

    def step(k: Any, row: Any) -> Any:
        k, sub = jax.random.split(k)
        return k, row * jax.random.normal(sub, row.shape)

    return (
        x + jax.random.uniform(a, x.shape),
        jax.random.permutation(b, 5),
        jnp.where(jax.random.bernoulli(jax.random.fold_in(made, 3), 0.5, x.shape), x, 0),
        jax.lax.scan(step, b, x)[1],
    )


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_public_key_draws_in_the_clear(make: Any) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = jmpc.secure(_with_key, public=["key"])(make(3), x)
    for one, two in zip(found, jax.jit(_with_key)(make(3), x), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_secret_key_is_refused_with_the_remedies(make: Any) -> None:
    with pytest.raises(UnsupportedError, match=r"jmpc\.random") as error:
        jmpc.secure(lambda key: jax.random.uniform(key, (2,)))(make(3))
    assert "public=" in str(error.value)
