"""Operations through the protocols of three parties in this process, many in one program. The front end's own tests
go through each operation in breadth; these show that what they lower to runs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from tests.frontend.data import TIES, B, C, I, W, X, Y
from tests.frontend.oracle import assert_same

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code


def _linear(x: Any, y: Any, p: Any) -> Any:
    joined = jnp.concatenate([x, p])
    return (
        x * y + p,
        x @ y.T,
        x @ p.T,
        lax.pad(joined, 0.5, ((1, -1, 1), (0, 0, 0))),
        x[jnp.array([2, 0])],
        x.at[1].set(0.5),
    )


def _compare(x: Any, y: Any, i: Any) -> Any:
    return x < y, x == y, jnp.where(x > y, x, y), jnp.abs(x), i * i > 20


def _reduce(t: Any, x: Any) -> Any:
    return t.max(1), jnp.argmax(t, 1), x.sum((0, 1)), x.cumsum(1)


def _logic(b: Any, c: Any, p: Any) -> Any:
    return b & c, b ^ p, ~b, jnp.where(b, c, p), b.any(1), b.sum(0)


def _loops(x: Any, w: Any) -> Any:
    def body(c: Any, t: Any) -> Any:
        return jax.nn.relu(c @ w) + t[0], (c > 0, c[0].sum())

    inner = lax.scan(body, x, jnp.arange(4.0).reshape(2, 2), reverse=True)
    return inner, lax.fori_loop(0, 2, lambda k, c: c + k * (c > 1), x), lax.scan(body, x, jnp.zeros((0, 2)))


def _edges(a: Any, z: Any) -> Any:
    return a * a, a > 0, z * 2, z.sum(), z > 0, jnp.concatenate([z, jnp.ones((1, 3))])


def _window(x: Any, k: Any) -> Any:
    h = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return lax.reduce_window(jax.nn.relu(h), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _order(x: Any, i: Any, b: Any) -> Any:
    return lax.sort((b, i, x), num_keys=2), lax.top_k(x, 2), jnp.argsort(jnp.tile(b, (1, 40)))


def _index(x: Any, i: Any, b: Any) -> Any:
    return x[i, 1], b[i[0]], jnp.take(x, i[1] * 9, axis=0, fill_value=1.0), x.at[i[0], 2].add(1.0)


IMAGE, KERNEL = np.arange(32.0, dtype=np.float32).reshape(1, 4, 4, 2) / 16 - 1, W.reshape(2, 2, 2, 2)
EMPTY = np.zeros((0, 3), np.float32)
PROGRAMS = [
    (_linear, (X, Y, Y), ("p",)),
    (_compare, (X, Y, I), ()),
    (_reduce, (TIES, X), ()),
    (_logic, (B, C, C), ("p",)),
    (_loops, (X, W), ()),
    (_order, (TIES, I, B), ()),
    (_index, (X, I % 3, B), ()),
    (_edges, (np.float32(-0.75), EMPTY), ()),
    (_window, (IMAGE, KERNEL), ()),
]


@pytest.mark.parametrize(("function", "args", "public"), PROGRAMS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_program(function: Any, args: Any, public: Any) -> None:
    assert_same(jmpc.secure(function, public=public)(*args), jax.jit(function)(*args))
