"""Loops are regions: they mean what plain JAX means, run their public part in the clear, and are not unrolled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.ir.program import walk
from tests.frontend.data import B, I, W, X, Y
from tests.frontend.oracle import check


def _meaning(lowered: Any) -> Any:
    """The body of the value-level program."""
    return list(lowered.flow.stages.values())[-1].body


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
    """That the programs hold no sine and no exponential shows that they were computed before values were shared."""
    p = np.arange(4, dtype=np.float32) / 9

    def body(c: Any, q: Any) -> Any:
        return (c[0] * 0.5 + jnp.exp(c[1] * q), c[1] + q), (jnp.sin(q), c[0])

    check(lambda x, p: lax.scan(body, (x[0], jnp.float32(0)), p), X, p, public=["p"])

    def nested(c: Any, q: Any) -> Any:
        return lax.fori_loop(0, 2, lambda k, d: d * 0.5 + jnp.sin(q) * k, c), c * jnp.cos(q)

    check(lambda x, p: lax.scan(nested, x[0], p), X, p, public=["p"])
    for loop in (lambda x, p: lax.scan(body, (x[0], jnp.float32(0)), p), lambda x, p: lax.scan(nested, x[0], p)):
        lowered = jmpc.secure(loop, public=["p"]).lower(X, p)
        assert {"periodic", "power2"}.isdisjoint(op.name for op in walk(_meaning(lowered)))
    check(lambda x, n: x * lax.fori_loop(0, n, lambda k, c: c * 0.5, 1.0), X, 3, public=["n"])


def test_a_counter_stays_public_through_calls_and_inner_loops() -> None:
    def called(c: Any, _: Any) -> Any:
        return jax.jit(lambda k, x: (k + 1, x * 0.5 + x[0] * jnp.sin(k)))(*c), None

    def nested(c: Any, _: Any) -> Any:
        return lax.fori_loop(0, 2, lambda _, d: (d[0] + 1, d[1].at[d[0] % 3].add(jnp.sin(d[0]))), c), None

    check(lambda x: lax.scan(called, (jnp.float32(0), x), None, length=3)[0], X)
    check(lambda x: lax.scan(jax.checkpoint(called), (jnp.float32(0), x), None, length=3)[0], X)
    check(lambda x: lax.scan(nested, (0, x), None, length=3)[0], X)


def test_loops_under_transformations() -> None:
    total = lambda r: lax.scan(lambda c, t: (c * 0.5 + t, c > 0), 0.0, r)  # noqa: E731
    chain = lambda x: lax.scan(lambda c, t: (c * t, c), x[0], x)[0]  # noqa: E731
    check(lambda x: (jax.vmap(total)(x), jax.vmap(total, in_axes=1)(x), lax.map(total, x)), X)
    check(lambda x, y: (jax.jvp(chain, (x,), (y,)), jax.vjp(chain, x)[1](y[0]), jax.linearize(chain, x)[1](y)), X, Y)
    check(lambda x: lax.associative_scan(jnp.multiply, x), X)
    check(lambda x: lax.associative_scan(jnp.maximum, x, axis=1, reverse=True), X)
    layer = jax.checkpoint(lambda c, w: (jax.nn.relu(c @ w), None))
    check(lambda x, w: jax.grad(lambda w: lax.scan(layer, x, jnp.stack([w, w]))[0].sum())(w), X, W)


def test_an_integer_carry_keeps_the_range_of_its_dtype_or_wraps_in_the_ring() -> None:
    def limit(step: Any) -> int:
        loop = jmpc.secure(lambda i: lax.fori_loop(0, 3, lambda k, c: step(c, i), i))
        (op,) = [op for op in walk(loop.lower(I).flow.share.body) if op.name == "loop"]
        return op.output.type.limit

    assert limit(jnp.maximum) == 2**31
    assert limit(lambda c, i: c + i) == 2**63  # the low 32 bits are those of the sum


def test_a_loop_is_one_region_of_any_length() -> None:
    def ops(length: int) -> int:
        loop = jmpc.secure(lambda x: lax.fori_loop(0, length, lambda k, c: jax.nn.relu(c * 0.5), x))
        return len(list(walk(loop.lower(X).flow.share.body)))

    assert ops(3) == ops(300)
