"""Integers of every dtype at their edges, against plain JAX: equal, wrap-around and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.config import Config
from tests.frontend.oracle import check, run

SMALL = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
WIDE = ("int64", "uint64")


def edges(dtype: str) -> np.ndarray:
    """The ends of the dtype, and numbers around 0, powers of two."""
    info = np.iinfo(dtype)
    found = [
        info.min,
        info.max,
        info.min + 1,
        info.max - 1,
        0,
        1,
        2,
        3,
        5,
        7,
        1 << (info.bits // 2),
        1 << (info.bits - 2),
    ]
    found += [-1, -2, -3, -7] if info.min < 0 else [1 << (info.bits - 1)]
    return np.array(found, dtype)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(edges(dtype), edges(dtype))
    return x.ravel(), y.ravel()


def _amounts(x: Any) -> Any:
    return jnp.arange(x.size, dtype=x.dtype).reshape(x.shape)


def _running(x: Any, y: Any) -> Any:
    return lax.scan(lambda c, v: (c * 3 + v, c < v), y[0], x), lax.scan(
        lambda c, v: (jnp.maximum(c, v), c < v), y[0], x
    )


GROUPS: dict[str, Callable[[Any, Any], Any]] = {
    "sums and products": lambda x, y: (x + y, x - y, x * y, -x, x**5, jnp.square(x), (x * y).sum(), jnp.cumsum(x * y)),
    "comparisons": lambda x, y: (
        x < y, x >= y, x == y, x * x != y, x + y < x, x + y < 0, jnp.where(x < y, x * y, y) < x,
    ),
    "order": lambda x, y: (
        jnp.maximum(x, y), jnp.minimum(x + 1, y), jnp.clip(x * y, 3, 9), (x * y).max(), (x * y).min(),
        jnp.argmax(x * y), jnp.argmin(x), jnp.maximum(x, 0),
    ),
    "signs": lambda x, y: (jnp.abs(x), jnp.abs(x) < y, jnp.sign(x * y)),
    "logic": lambda x, y: (x & y, x | (x * y), x ^ y, ~x, ((x ^ y) & (x | 3)) + 1),
    "masks": lambda x, y: ((x * y) & 7, (x * y) & ~x.dtype.type(7), x | 0, x & 0, x ^ ~x.dtype.type(0)),
    "counts": lambda x, y: (lax.population_count(x * y), lax.clz(x)),
    "shifts by constants": lambda x, y: (
        x << 3, (x * y) << (8 * x.dtype.itemsize - 1), x << 77, lax.shift_left(x, _amounts(x)),
        *(f(x * y, x.dtype.type(n)) for f in (lax.shift_right_arithmetic, lax.shift_right_logical)
          for n in (0, 3, 8 * x.dtype.itemsize - 1, 100)),
        lax.shift_right_logical(x, _amounts(x)),
    ),
    "shifts by secrets": lambda x, y: (
        lax.shift_left(x, y), lax.shift_right_arithmetic(x, y), lax.shift_right_logical(x, y),
    ),
    "casts": lambda x, y: (
        (x * y).astype(bool), (x * y).astype(jnp.int8), (x + y).astype(jnp.uint16),
        (x * y).astype(jnp.int32).astype(jnp.int8) + 1, (x.astype(jnp.int8) * 2).astype(jnp.int32),
    ),
    "loops": _running,
}  # fmt: skip


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("group", GROUPS)
def test_integers_up_to_32_bits(group: str, dtype: str) -> None:
    check(GROUPS[group], *pairs(dtype))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("group", GROUPS)
def test_integers_of_64_bits(group: str, dtype: str) -> None:
    """`check` compares as float64: here the differences are taken among integers."""
    with jax.enable_x64(True):
        x, y = pairs(dtype)
        found, expected = run(GROUPS[group], x, y), jax.jit(GROUPS[group])(x, y)
        for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_integers_become_real_numbers_after_they_wrap() -> None:
    x = np.array([100, -128, 127, 3], np.int8)
    check(lambda i: ((i * 2).astype(jnp.float32) * 0.5, (i + i) / 2, (i * 3).astype(jnp.uint8) + 0.5), x)


def test_a_sum_that_is_not_looked_at_costs_nothing() -> None:
    """The receiver takes the low bits: no op but local ones."""
    import jmpc

    lowered = jmpc.secure(lambda i, j: (i + j) * 3 - j).lower(*pairs("int32"))
    assert lowered.cost().rounds == 0


def test_a_ring_of_32_bits_wraps_its_own_integers() -> None:
    import jmpc

    x, y = pairs("int32")
    config = jmpc.Config(k=32, f=8)
    check(lambda i, j: (i * j, i < j, i + j < i, jnp.maximum(i, j), i & j), x, y, config=config)


@pytest.mark.parametrize("dtype", WIDE)
def test_integers_wider_than_the_ring_are_those_of_the_ring(dtype: str) -> None:
    """In a ring of 32 bits, integers of 64 bits are assumed to be below 2^30 in magnitude."""
    sign = -1 if dtype == "int64" else 1
    x = np.array([0, 1, 5, 2**30 - 1, sign * (2**30 - 5), sign * 7, 77], dtype)
    by, y = np.array([0, 1, 3, 31, 32, 63, 64], dtype), np.array([3, 2, 7, 5, 1, 9, 2**29], dtype)
    ring = Config(k=32, f=8)

    def shifts(x: Any, by: Any) -> Any:
        constants = [lax.shift_right_arithmetic(x, x.dtype.type(n)) for n in (0, 1, 30, 31, 32, 63, 64)]
        high = [lax.shift_right_logical(x, x.dtype.type(n)) for n in (35, 40, 63, 64)]
        return (
            lax.shift_right_arithmetic(x, by),
            *constants,
            *high,
            lax.shift_right_logical(jnp.abs(x), by),
            (x & 7) << 4,
        )

    def bits(x: Any, y: Any) -> Any:
        return lax.population_count(x), lax.clz(x), x & 3, x | 5, x ^ 7, x & y, (x & 7) << (y & 15)

    def arithmetic(x: Any, y: Any) -> Any:
        return (
            x // y,
            x % y,
            lax.rem(x, y),
            x // 3,
            x % 5,
            x // 2**40,
            x < y,
            jnp.sort(x),
            jnp.sign(x),
            lax.div(x, y - y),
        )

    with jax.enable_x64(True):
        check(shifts, x, by, config=ring)
        check(bits, x, y, config=ring)
        check(arithmetic, x, y, config=ring)
