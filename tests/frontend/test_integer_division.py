"""Integer division, remainders, gcd and lcm against plain JAX: exact, by public and by secret divisors, x / 0 too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.numerics.elementary.integer_steps import gcd, long_division
from tests.frontend.oracle import run
from tests.frontend.test_integers import edges, pairs


def agree(function: Callable[..., Any], *args: Any, **options: Any) -> None:
    with jax.enable_x64(args[0].dtype.itemsize == 8):
        found, expected = run(function, *args, **options), jax.jit(function)(*args)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def _by_constants(x: Any) -> Any:
    ends = np.iinfo(x.dtype)
    numbers = [np.array(n).astype(x.dtype) for n in (0, 1, 2, 3, 7, 64, 100, -1, -3, ends.max, ends.min)]
    return [(lax.div(x, d), lax.rem(x, d)) for d in numbers], x // numbers[4], x % numbers[8]


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64", "uint64"])
def test_by_constants(dtype: str) -> None:
    agree(_by_constants, edges(dtype))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "int64"])
def test_by_public_arrays(dtype: str) -> None:
    x, y = pairs(dtype)
    agree(lambda x, y: (lax.div(x, y), lax.rem(x, y), x // y), x, y, public=["y"])
    agree(lambda x: (lax.div(x, jmpc.public(y)), lax.rem(x, jmpc.public(y))), x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_by_secrets(dtype: str) -> None:
    agree(lambda x, y: (lax.div(x, y), lax.rem(x, y)), *pairs(dtype))


def test_as_numpy_divides() -> None:
    agree(lambda x, y: (x // y, x % y, jnp.divmod(x * y, y)), *pairs("int8"))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_whole_width_by_constants(dtype: str) -> None:
    agree(lambda x: (lax.div(x, x.dtype.type(7)), lax.rem(x, np.array(-3).astype(x.dtype))), edges(dtype))


def test_one_division_serves_quotient_and_remainder() -> None:
    x, y = pairs("int8")
    both = jmpc.secure(lambda x, y: (lax.div(x, y), lax.rem(x, y))).lower(x, y).cost()
    one = jmpc.secure(lambda x, y: lax.div(x, y)).lower(x, y).cost()
    assert both.rounds <= one.rounds + 2


@pytest.mark.parametrize("dtype", ["int8", "uint16"])
def test_gcd_and_lcm(dtype: str) -> None:
    """Without the least number: plain JAX does not end on it."""
    x, y = pairs(dtype)
    usual = (x > np.iinfo(dtype).min) & (y > np.iinfo(dtype).min)
    agree(lambda x, y: (jnp.gcd(x, y), jnp.lcm(x, y), jnp.gcd(x[0], y)), x[usual], y[usual])


def test_a_function_of_that_name_is_walked() -> None:
    @jax.jit
    def gcd(x: Any, y: Any) -> Any:
        return x + y

    agree(gcd, *pairs("int8"))


def test_the_steps_are_right_in_plain_jax() -> None:
    a, b = (v.ravel().astype(np.int32) for v in np.meshgrid(np.arange(64), np.arange(64)))
    np.testing.assert_array_equal(gcd(6)(jnp.asarray(a), jnp.asarray(b)), np.gcd(a, b))
    bits = (a >> np.arange(6)[:, None]) & 1 == 1
    found, rest = long_division(64.0)(jnp.asarray(bits), jnp.asarray(b))
    total = (np.asarray(found) << np.arange(6)[:, None]).sum(0)
    some = b > 0
    np.testing.assert_array_equal(total[some], a[some] // b[some])
    np.testing.assert_array_equal(rest[some], a[some] % b[some])
    assert (total[~some] == 63).all()
