"""jmpc.random inside secure functions, and jax.random with public keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError, UnsupportedError


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
    again = secured(np.float32(0.5))
    assert (np.asarray(again[2]) != np.asarray(word)).any()


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


def test_one_draw_serves_a_batch_and_has_no_gradient() -> None:
    def noisy(x: Any) -> Any:
        return jax.vmap(lambda row: row + jmpc.random.uniform((2,)))(x) - x, jax.grad(
            lambda v: (v * jmpc.random.uniform((3, 2))).sum()
        )(x)

    added, slope = jmpc.secure(noisy)(np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(added[0], added[1])
    assert ((slope >= 0) & (slope < 1)).all()


def test_outside_a_secure_function_they_raise() -> None:
    for call in (jmpc.random.bits, jmpc.random.uniform, jmpc.random.normal, jax.jit(lambda: jmpc.random.bits())):
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
