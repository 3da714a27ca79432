"""Powers by what is known of base and exponent, sums of quotients with large numbers, and sinc near zero."""

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
from jmpc.testing.executors import executor

Function = Callable[..., Any]
BASES = np.round(np.geomspace(2.0**-4, 16, 23) * 2.0**18).astype(np.float32) * np.float32(2.0**-18)
EXPONENTS = np.linspace(-2, 2, 33).astype(np.float32)


def secure(function: Function, *arrays: np.ndarray) -> np.ndarray:
    with executor("simulated", 0):
        return np.asarray(jmpc.secure(lambda *xs: function(*xs))(*arrays), np.float64)


def true(function: Function, *arrays: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(function(*(np.asarray(a, np.float64) for a in arrays)))


POWERS: dict[str, tuple[Function, np.ndarray]] = {
    "a root": (lambda x: x**0.5, BASES),
    "the inverse of a root": (lambda x: x**-0.5, BASES),
    "a root and products": (lambda x: x**2.5, BASES),
    "an inverse of them": (lambda x: x**-1.5, BASES),
    "a fraction": (lambda x: x**1.7, BASES),
    "exponents": (lambda x: x ** np.linspace(-1.3, 1.4, 23).astype(np.float32), BASES),
    "a base": (lambda y: 3.0**y, EXPONENTS),
    "a base below one": (lambda y: 0.25**y, EXPONENTS),
    "the base one": (lambda y: 1.0**y, EXPONENTS),
    "bases": (lambda y: np.linspace(0.5, 3, 33).astype(np.float32) ** y, EXPONENTS),
}


@pytest.mark.parametrize("name", sorted(POWERS))
def test_a_power_with_a_public_part(name: str) -> None:
    function, x = POWERS[name]
    np.testing.assert_allclose(secure(function, x), true(function, x), rtol=2e-4, atol=2.0**-16)


def test_a_power_of_zero_is_zero() -> None:
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(secure(lambda x: x**0.5 + x**1.7, x), 0)


# --- whole exponents, which may be negative, of bases of any sign

SIGNED = np.array([-2, 3, -0.5, 1.5, -1, 1, 0.25, -3], np.float32)
WHOLE = np.array([2, 2, 3, -3, 5, 7, -2, 1], np.int32)


def close(found: np.ndarray, wanted: Any, exponents: Any = WHOLE) -> None:
    wanted = np.asarray(wanted, np.float64)
    bound = (6 * np.abs(exponents) + 16) * 2.0**-20 * np.abs(wanted) + 2.0**-17
    assert (np.abs(found - wanted) <= bound).all(), (found, wanted)


def between(function: Function, *arrays: np.ndarray, **options: Any) -> np.ndarray:
    with executor("simulated", 0):
        return np.asarray(jmpc.secure(lambda x, y: function(x, y), **options)(*arrays), np.float64)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("public", [(), ("x",), ("y",)])
def test_whole_exponents(dtype: Any, public: Any) -> None:
    close(between(lax.pow, SIGNED, WHOLE.astype(dtype), public=public), SIGNED.astype(float) ** WHOLE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_unsigned_exponents(dtype: Any) -> None:
    close(between(lax.pow, SIGNED, np.abs(WHOLE).astype(dtype)), SIGNED.astype(float) ** np.abs(WHOLE))


def test_exponents_that_are_constants() -> None:
    for y in (WHOLE, WHOLE.astype(np.float32)):
        close(secure(lambda x, y=y: lax.pow(x, jnp.asarray(y)), SIGNED), SIGNED.astype(float) ** WHOLE)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_small_exponents_that_are_constants_are_products(dtype: Any) -> None:
    x, y = np.meshgrid(np.array([-4, -1.5, -1, 0, 0.5, 3], np.float32), np.arange(9))
    with executor("simulated", 0):
        compiled = jmpc.secure(lambda x: lax.pow(x, jnp.asarray(y.astype(dtype))))
        found = np.asarray(compiled(x), np.float64)
        assert compiled.lower(x).cost().rounds < jmpc.secure(lax.pow).lower(x, x).cost().rounds / 2
    np.testing.assert_allclose(found, x.astype(float) ** y, rtol=2.0**-16, atol=2.0**-14)


def test_a_small_power_squares_nothing_that_it_does_not_need() -> None:
    x = np.array([4e6, 6, 3], np.float32)
    found = secure(lambda x: lax.pow(x, jnp.array([1, 8, 0])), x)
    np.testing.assert_allclose(found, [4e6, 6**8, 1], rtol=1e-5)
    jmpc.secure(lambda x: lax.pow(x, jnp.array([1, 8, 0])), config=jmpc.Config(check=True))(x)


def test_polynomials_through_points_of_any_sign() -> None:
    x = np.array([-3, -1.5, -0.5, 0, 0.25, 1, 2.5], np.float32)
    for function in (lambda x: jnp.vander(x, 6), lambda x: jnp.vander(x, 4, increasing=True)):
        np.testing.assert_allclose(secure(function, x), true(function, x), atol=2.0**-12, rtol=2.0**-16)
    y = (2 * x**2 - x + 0.5).astype(np.float32)
    np.testing.assert_allclose(between(lambda x, y: jnp.polyfit(x, y, 2), x, y), [2, -1, 0.5], atol=1e-3)


def test_an_exponent_that_left_its_dtype_counts_as_it_wraps() -> None:
    y = np.array([100, 127], np.int8)
    close(secure(lambda x, y: lax.pow(x, y + y), np.array([1.125, 2], np.float32), y), [1.125**-56, 2**-2.0], 56)


def test_a_real_exponent_of_a_negative_base() -> None:
    """0 where JAX has NaN."""
    x, y = -np.arange(1, 7, dtype=np.float32), np.array([0.5, 2, 2.25, 3, -1, 0], np.float32)
    close(secure(lax.pow, x, y), [0, 4, 0, -64, -0.2, 1], y)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("public", [(), ("x",)])
def test_powers_of_zero(dtype: Any, public: Any) -> None:
    found = between(lax.pow, np.zeros(5, np.float32), np.array([0, 1, 5, -1, -9], dtype), public=public)
    np.testing.assert_allclose(found, [1, 0, 0, 2.0**21, 2.0**21], rtol=1e-3)


BASES_OF: dict[str, tuple[Any, Any]] = {
    "one number": (0.9, np.arange(-9, 30)),
    "a negative number": (-1.5, np.arange(-9, 30)),
    "minus one": (-1.0, np.arange(-9, 30)),
    "ten": (10.0, np.arange(-5, 7)),
    "several": (np.array([0.9, -0.5, 2, -1, 1, 3, 0.001], np.float32), np.array([7, 3, 11, 4, 9, -5, 1])),
}


@pytest.mark.parametrize("name", sorted(BASES_OF))
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_public_bases(name: str, dtype: Any) -> None:
    base, y = BASES_OF[name]
    close(
        secure(lambda y: lax.pow(jnp.broadcast_to(jnp.float32(base), y.shape), y), y.astype(dtype)),
        base ** y.astype(float),
        y,
    )


COUNTS = np.array([1, 2, 3, 7, 10, 31, 100, 316, 1000, 3162, 10**4, 10**5, 10**6])


@pytest.mark.parametrize(("base", "signed", "unsigned"), [(0.9, 6e-5, 4e-6), (0.99, 5e-4, 4e-5), (0.999, 4e-3, 4e-4)])
def test_what_a_power_lacks_to_one(base: float, signed: float, unsigned: float) -> None:
    """The bias corrections of Adam, relative. Of a count that may be negative the power may be large, so that no more
    fraction bits than those of the format are left: three roundings, each of a unit of it at most."""
    right = 1 - np.float64(np.float32(base)) ** COUNTS
    for dtype, allowed in ((np.int32, signed), (np.uint32, unsigned)):
        found = secure(lambda t: 1 - base**t, COUNTS.astype(dtype))
        np.testing.assert_allclose(found, right, rtol=allowed)
        np.testing.assert_allclose(found, right, rtol=0, atol=3 * 2.0**-18)


def test_a_declared_count_is_precise() -> None:
    found = secure(lambda t: 1 - 0.999 ** jnp.maximum(t, 0), COUNTS.astype(np.int32))
    np.testing.assert_allclose(found, 1 - np.float64(np.float32(0.999)) ** COUNTS, rtol=4e-4)


def test_large_exponents_vanish_or_saturate() -> None:
    y = np.array([2**31 - 1, -(2**31), 2**30, 0], np.int32)
    np.testing.assert_allclose(secure(lambda y: 0.9**y, y), [0, 2.0**21, 0, 1], rtol=1e-3)
    np.testing.assert_allclose(secure(lambda y: 3.0**y, y), [2.0**21, 0, 2.0**21, 1], rtol=1e-3)
    x = np.full(4, 1.5, np.float32)
    np.testing.assert_allclose(secure(lax.pow, x, y), [2.0**21, 0, 2.0**21, 1], rtol=1e-3)
    with jax.enable_x64(True):
        wide = np.array([2**62, -(2**62), 20, 0], np.int64)
        found = between(lambda x, y: x + 0.9**y, np.zeros(4), wide)
    np.testing.assert_allclose(found, [0, 2.0**21, 0.9**20, 1], rtol=1e-3, atol=2.0**-17)


def test_a_base_that_only_the_call_knows_asks_for_a_bound_of_a_wide_exponent() -> None:
    with jax.enable_x64(True):
        x, y = np.full(3, 0.999), np.array([3, 1000, 7])
        with pytest.raises(UnsupportedError, match=r"declare it with jmpc\.bounded"):
            jmpc.secure(lax.pow, public="x").lower(x, y)
        found = between(lambda x, y: lax.pow(x, jmpc.bounded(y, 2**20)), x, y, public=("x",))
        np.testing.assert_allclose(found, x**y, atol=1e-5)


def test_a_ring_of_32_bits() -> None:
    ring = jmpc.Config(k=32, f=8)
    x, y = np.array([1.5, -2, 0.5, 3, 0], np.float32), np.array([3, 3, 2, -1, 2], np.int32)
    for exponent in (y, y.astype(np.float32)):
        np.testing.assert_allclose(
            between(lax.pow, x, exponent, config=ring), x ** y.astype(float), atol=0.03, rtol=0.01
        )
    counts = np.array([1, 5, 20, 100, 2**31 - 1], np.int32)
    np.testing.assert_allclose(
        between(lambda x, y: x + 0.9**y, np.zeros(5, np.float32), counts, config=ring),
        0.9 ** counts.astype(float),
        atol=0.01,
    )


def test_integers_to_the_power_of_integers() -> None:
    x, y = np.array([2, -3, 5, 0, 0, -1], np.int32), np.array([10, 3, 2, 0, 3, 7], np.int32)
    np.testing.assert_array_equal(between(jnp.power, x, y), x**y)


def test_an_infinite_exponent_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no finite number"):
        jmpc.secure(lambda x: x**jnp.inf).lower(SIGNED)


def test_gradients_of_powers() -> None:
    y = np.abs(WHOLE)
    slope = between(lambda x, y: jax.vmap(jax.grad(lax.pow))(x, y), SIGNED, y)
    close(slope, y * SIGNED.astype(float) ** (y - 1), 8)


def test_a_quotient_is_added_to_the_largest_numbers() -> None:
    x = np.array([-5e7, -3e7, 2, 2e7, 5e7], np.float32)
    np.testing.assert_allclose(secure(lambda x: x + 1 / x, x), x + 1 / x, rtol=1e-6, atol=1e-5)


def test_sinc_is_precise_near_zero() -> None:
    x = np.array([0, *2.0 ** np.arange(-18.0, 3.0)], np.float32)
    np.testing.assert_allclose(secure(jnp.sinc, x), np.sinc(x), atol=5e-5)
