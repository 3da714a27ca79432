"""Functions that JAX writes in the bits of floats: signs, mantissas and exponents, powers of two, neighbours."""

from __future__ import annotations

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
from jmpc.testing.executors import executor

Function = Callable[..., Any]
UNIT = 2.0**-18
RINGS = {32: jmpc.Config(k=32, f=10), 64: jmpc.Config()}
OWN_PRIMITIVE = tuple(map(int, jax.__version__.split(".")[:2])) >= (0, 12)
EDGES = [0, 1, -1, 2, -2, 3, 2**17, -(2**17), 2**18 - 1, 2**18, -(2**18), 2**30 + 1, 2**43, -(2**43), 2**44 - 1]
NUMBERS = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 43).flatmap(lambda n: st.integers(-(2**n), 2**n)),
).map(lambda units: units * UNIT)


def secure(function: Function, *arrays: np.ndarray, **options: Any) -> list[np.ndarray]:
    with executor("simulated", 0), jax.enable_x64(True):
        return [
            np.asarray(leaf) for leaf in jax.tree.leaves(jmpc.secure(lambda *xs: function(*xs), **options)(*arrays))
        ]


def arrays_of(numbers: Any, count: int = 8) -> st.SearchStrategy[np.ndarray]:
    return st.lists(numbers, min_size=count, max_size=count).map(lambda xs: np.array(xs, np.float64))


@settings(max_examples=10, deadline=None)
@given(arrays_of(NUMBERS), arrays_of(NUMBERS))
def test_signs_are_those_of_numbers_without_a_negative_zero(x: np.ndarray, y: np.ndarray) -> None:
    sign, copied = secure(lambda x, y: (jnp.signbit(x), jnp.copysign(x, y)), x, y)
    np.testing.assert_array_equal(sign, x < 0)
    np.testing.assert_array_equal(copied, np.where(y < 0, -np.abs(x), np.abs(x)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32])
def test_the_sign_bit_of_each_dtype(dtype: Any) -> None:
    x = np.array([0, 1, 100, 3]).astype(dtype) * dtype(1 if np.dtype(dtype).kind == "u" else -1)
    np.testing.assert_array_equal(secure(jnp.signbit, x)[0], x < 0)


def test_a_sign_bit_as_the_user_takes_it_of_an_unsigned_word() -> None:
    """The same equations as in `jnp.signbit`, of a word that has no sign."""
    x = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
    taken = lambda x: lax.shift_right_arithmetic(lax.bitcast_convert_type(x, np.int32), np.int32(31)).astype(bool)  # noqa: E731
    np.testing.assert_array_equal(secure(taken, x)[0], x >= 2**31)


def test_copysign_with_a_public_operand() -> None:
    x, y = np.array([1.5, -2, 0, -0.25], np.float32), np.array([-1, 0.5, -3, -0.0], np.float32)
    choices: list[dict[str, Any]] = [{}, {"public": ("x",)}, {"public": ("y",)}]
    for options in choices:
        with executor("simulated", 0):
            found = np.asarray(jmpc.secure(lambda x, y: jnp.copysign(x, y), **options)(x, y))
        wanted = np.copysign(x, y) if options == {"public": ("y",)} else np.copysign(x, np.where(y < 0, -1, 1))
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(secure(lambda x: jnp.copysign(x, -2.0), x)[0], -np.abs(x))
    np.testing.assert_array_equal(secure(lambda y: jnp.copysign(2.0, y), y[:3])[0], [-2, 2, -2])


# --- frexp


@settings(max_examples=10, deadline=None)
@given(arrays_of(NUMBERS))
def test_frexp_is_the_number_cut_to_the_bits_of_the_format(x: np.ndarray) -> None:
    m, e = secure(jnp.frexp, x)
    wanted, exponent = np.frexp(x)
    np.testing.assert_array_equal(e, exponent)
    np.testing.assert_array_equal(np.abs(m), np.floor(np.abs(wanted) / UNIT) * UNIT)
    np.testing.assert_array_equal(np.sign(m), np.sign(x))


@pytest.mark.parametrize("k", [32, 64])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_frexp_of_any_shape_with_one_result_or_both(shape: tuple[int, ...], k: int) -> None:
    x = np.full(shape, -5.5, np.float32)
    for function, wanted in ((lambda x: jnp.frexp(x)[0], -0.6875), (lambda x: jnp.frexp(x)[1], 3)):
        (found,) = secure(function, x, config=RINGS[k])
        np.testing.assert_array_equal(found, np.full(shape, wanted))


# --- ldexp


@settings(max_examples=10, deadline=None)
@given(
    arrays_of(NUMBERS), st.lists(st.integers(-70, 70), min_size=8, max_size=8), st.sampled_from(["", "n", "constant"])
)
def test_a_product_with_a_power_of_two(x: np.ndarray, exponents: list[int], known: str) -> None:
    """Exact upwards, wherever it fits; less than two units off downwards, and exact there too where it is whole."""
    room = 44 - np.frexp(np.where(x == 0, UNIT, x) / UNIT)[1]
    n = np.where(x == 0, exponents, np.minimum(exponents, room)).astype(np.int32)
    if known == "constant":
        (found,) = secure(lambda x: jnp.ldexp(x, n), x)
    else:
        with executor("simulated", 0), jax.enable_x64(True):
            public: dict[str, Any] = {"public": ("n",)} if known else {}
            found = np.asarray(jmpc.secure(lambda x, n: jnp.ldexp(x, n), **public)(x, n))
    units = np.ldexp(x / UNIT, n)
    off = np.abs(found / UNIT - units)
    assert (off < 2).all(), (x, n, found)
    assert (off[units == np.floor(units)] == 0).all(), (x, n, found)


@pytest.mark.parametrize("n", [-70, -44, -40, -18, -3, 0, 5])
@pytest.mark.parametrize("k", [32, 64])
def test_a_product_with_a_constant_power(n: int, k: int) -> None:
    unit = 2.0 ** -RINGS[k].f
    x = np.array([0, unit, -unit, 1, -3.25, 100], np.float64)
    (found,) = secure(lambda x: jnp.ldexp(x, n), x, config=RINGS[k])
    np.testing.assert_allclose(found, np.ldexp(x, n), atol=0 if n >= 0 else 1.01 * unit, rtol=0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint8, np.uint32])
def test_exponents_of_each_dtype(dtype: Any) -> None:
    n = np.array([0, 1, 5, np.iinfo(dtype).max]).astype(dtype)
    x = np.array([1.5, -2, 3, 0], np.float32)
    for config in RINGS.values():
        if np.dtype(dtype).itemsize * 8 < config.k:
            (found,) = secure(jnp.ldexp, x, n, config=config)
            np.testing.assert_array_equal(found, [1.5, -4, 96, 0])


def test_of_a_small_ring_and_of_integers() -> None:
    x, n = np.array([0.25, -1, 3, 100, 7], np.float32), np.array([5, 3, 0, -4, -30], np.int32)
    (found,) = secure(jnp.ldexp, x, n, config=RINGS[32])
    np.testing.assert_allclose(found, np.ldexp(x, n), atol=2.0 ** -RINGS[32].f)
    (found,) = secure(jnp.ldexp, np.array([3, -5], np.int32), np.array([2, 4], np.int32))
    np.testing.assert_allclose(found, [12, -80], rtol=1e-5)


def test_gradients_and_batches() -> None:
    """Before JAX 0.12 they are written in the bits of floats: refused under the name of the function."""
    x, n = np.array([0.75, -1.5, 3], np.float32), np.array([2, -1, 3], np.int32)
    in_batches = lambda x, n: jax.vmap(lambda v: jnp.ldexp(v, n))(x)  # noqa: E731
    gradient = lambda x, n: jax.grad(lambda v: jnp.ldexp(v, n).sum())(x)  # noqa: E731
    for function, wanted in ((in_batches, np.ldexp(x[:, None], n)), (gradient, np.ldexp(1.0, n))):
        if OWN_PRIMITIVE:
            np.testing.assert_allclose(secure(function, x, n)[0], wanted, rtol=1e-4)
        else:
            with pytest.raises(UnsupportedError, match=r"ldexp on a secret, at .*write x \* 2\.0\*\*n"):
                secure(function, x, n)
    (found,) = secure(lambda x: jax.grad(lambda v: jnp.frexp(v)[0].sum())(x), x)
    np.testing.assert_allclose(found, np.ldexp(1.0, -np.frexp(x)[1]), rtol=1e-4)


def test_operands_of_different_ranks_and_constants() -> None:
    x, n = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([2, -1, 3], np.int32)
    np.testing.assert_allclose(secure(jnp.ldexp, x, n)[0], np.ldexp(x, n), atol=UNIT)
    np.testing.assert_allclose(secure(jnp.ldexp, n.astype(np.float32), n[:1])[0], np.ldexp(n, n[:1]), atol=UNIT)
    with executor("simulated", 0):
        found = jmpc.secure(lambda n: jnp.ldexp(1.5, n))(n)
    np.testing.assert_array_equal(np.asarray(found), np.ldexp(1.5, n))


def test_a_users_function_of_the_same_name_is_its_own() -> None:
    def ldexp(x: Any, n: Any) -> Any:
        return x + n

    def frexp(x: Any) -> Any:
        return 2 * x

    x, n = np.array([0.75, -1.5], np.float32), np.array([2, -1], np.int32)
    (found,) = secure(lambda x, n: jax.jit(frexp)(jax.jit(ldexp)(x, n)), x, n)
    np.testing.assert_array_equal(found, 2 * (x + n))


# --- nextafter


@settings(max_examples=10, deadline=None)
@given(arrays_of(NUMBERS), arrays_of(NUMBERS))
def test_a_neighbour_is_a_unit_of_the_format_away(x: np.ndarray, y: np.ndarray) -> None:
    y = np.where(np.arange(8) % 3 == 0, x, y)
    (found,) = secure(jnp.nextafter, x, y)
    np.testing.assert_array_equal(found, x + np.sign(y - x) * UNIT)


def test_neighbours_of_constants_and_infinities() -> None:
    x = np.array([0, 1.5, -3], np.float32)
    np.testing.assert_array_equal(secure(lambda x: jnp.nextafter(x, jnp.inf), x)[0], x + UNIT)
    np.testing.assert_array_equal(secure(lambda x: jnp.nextafter(x, -jnp.inf), x)[0], x - UNIT)
    np.testing.assert_array_equal(secure(lambda x: jnp.nextafter(1.5, x), x)[0], [1.5 - UNIT, 1.5, 1.5 - UNIT])
    assert np.isnan(secure(lambda x: jnp.nextafter(x, jnp.nan), x)[0]).all()
    np.testing.assert_array_equal(secure(jnp.spacing, x)[0], [UNIT, UNIT, -UNIT])


# --- what rests on them


def test_gamma_and_beta_of_positive_numbers() -> None:
    x, y = np.array([0.5, 1.5, 3.25, 6], np.float32), np.array([2, 0.75, 1, 3], np.float32)
    for function, operands in ((jax.scipy.special.gamma, (x,)), (jax.scipy.special.beta, (x, y))):
        np.testing.assert_allclose(secure(function, *operands)[0], function(*operands), rtol=2e-3)


def test_bits_that_only_a_float_has_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="bitcast_convert_type on a secret"):
        jmpc.secure(lambda x: lax.bitcast_convert_type(x, np.int32)).lower(np.ones(3, np.float32))
