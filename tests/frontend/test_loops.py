"""Loops are regions: they mean what plain JAX means, run their public part in the clear, and are not unrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.ir.program import walk
from tests.frontend.data import B, I, W, X, Y
from tests.frontend.oracle import check, run


def test_scans() -> None:
    check(lambda x, w: lax.scan(lambda c, t: (jax.nn.relu(c @ w) + t, c.sum()), x, jnp.arange(5.0)), X, W)
    check(lambda x: lax.scan(lambda c, t: (c * 0.5 + t, c + t), x[0], x, reverse=True), X)
    check(lambda x, y: lax.scan(lambda c, t: (c + t[0] * t[1], {"a": t[0] > t[1], "b": c}), jnp.zeros(4), (x, y)), X, Y)
    check(lambda x: lax.scan(lambda c, _: (c * 0.5, None), x, None, length=3), X)
    check(lambda x: (lax.scan(lambda c, t: (c, t * t), None, x), lax.map(lambda r: jnp.max(r) * r, x)), X)


@pytest.mark.parametrize("length", [0, 1])
def test_short_scans(length: int) -> None:
    check(lambda x: lax.scan(lambda c, t: (c + t, (c * t, c > t)), x[0], x[:length]), X)


def test_fori_loops() -> None:
    check(lambda x: lax.fori_loop(0, 4, lambda k, c: c * 0.5 + k * x[k % 3], x[0]), X)
    check(lambda x: lax.fori_loop(0, 3, lambda k, c: c.at[k].set(x[k] * 2), jnp.zeros((3, 4))), X)
    check(lambda i: lax.fori_loop(0, 3, lambda k, c: c + i * k, i), I)
    check(lambda x, b: lax.fori_loop(0, 3, lambda k, c: c ^ (x > k), b), X, B)


def test_loops_in_loops() -> None:
    def rows(x: Any, w: Any) -> Any:
        inner = lambda k: lambda c, t: (jax.nn.relu(c @ w) + t * k, c.sum())  # noqa: E731
        return lax.fori_loop(0, 2, lambda k, c: lax.scan(inner(k), c, jnp.arange(3.0))[0], x)

    check(rows, X, W)


def test_public_work_of_a_body() -> None:
    """Sines and logarithms have no secure form: that these work shows that they ran in the clear."""
    p = np.arange(4, dtype=np.float32) / 9

    def body(c: Any, q: Any) -> Any:
        return (c[0] * 0.5 + jnp.exp(c[1] * q), c[1] + q), (jnp.sin(q), c[0])

    check(lambda x, p: lax.scan(body, (x[0], jnp.float32(0)), p), X, p, public=["p"])

    def nested(c: Any, q: Any) -> Any:
        return lax.fori_loop(0, 2, lambda k, d: d * 0.5 + jnp.sin(q) * k, c), c * jnp.cos(q)

    check(lambda x, p: lax.scan(nested, x[0], p), X, p, public=["p"])
    check(lambda x, n: x * lax.fori_loop(0, n, lambda k, c: c * 0.5, 1.0), X, 3, public=["n"])


def test_a_branch_that_the_compiler_knows() -> None:
    check(lambda x: lax.cond(True, lambda x: x * 2, lambda x: x + 1, x), X)
    check(lambda x, p: x * lax.cond(p > 0, jnp.sin, jnp.cos, p), X, np.float32(1), public=["p"])


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda x: lax.cond(x[0, 0] > 0, lambda x: x * 2, lambda x: x + 1, x), "jnp.where"),
        (lambda x: lax.while_loop(lambda c: c.sum() > 0.1, lambda c: c * 0.5, x), "static trip count"),
    ],
)
def test_control_by_a_secret(function: Callable[..., Any], hint: str) -> None:
    with pytest.raises(UnsupportedError, match=hint):
        run(function, X)


def test_a_loop_is_one_region_of_any_length() -> None:
    def ops(length: int) -> int:
        loop = jmpc.secure(lambda x: lax.fori_loop(0, length, lambda k, c: jax.nn.relu(c * 0.5), x))
        return len(list(walk(loop.lower(X).flow.share.body)))

    assert ops(3) == ops(300)
