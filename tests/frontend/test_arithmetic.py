"""Sums, products, powers, quotients and casts mean what plain JAX means."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.config import Config
from tests.frontend.data import EMPTY, B, I, X, Y
from tests.frontend.oracle import check


def test_real_numbers() -> None:
    check(
        lambda x, y: (x + y, x - y, -x, x * y, x + 1, 2 - x, x * 3, x * 0.1, x / 4, x / 0.3, x + x[0], x[:, :1] * y),
        X,
        Y,
    )
    check(lambda a, q: (a + q, a * q, a**2, -a, a.reshape(1), a / 3), np.float32(0.3), np.float32(-0.7))


def test_integers() -> None:
    check(lambda i: (i + 1, i - 3, -i, i * i, i * 5, i**2, i + i[0], i * i[:, :1]), I)
    check(lambda x, i: (x + i, i * x, i / 2, i / 4.0, i.astype(jnp.float32)), X, I)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "float16", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    check(lambda u: (u + 1, u * 2, u > 3, u.astype(jnp.float32)), jnp.arange(5).astype(dtype))


def test_powers() -> None:
    check(lambda x: (x**2, x**3, x**5, jax.lax.integer_pow(x, 4), x**1, x**0, jnp.square(x), x**2.0), X)


def test_a_quotient_by_a_public_value() -> None:
    check(lambda x, p: (x / p, x / (p + 1)[0], x.mean(), (x + 1) / np.float32(3)), X, np.abs(Y) + 1, public=["p"])
    check(lambda x: (x / 1000.0, x / 784, x / 1e-3), X, tolerance=1e-3)


def test_casts() -> None:
    check(lambda x: (x.astype(jnp.int32), (x * 4).astype(jnp.int8), x.astype(bool), (x * 0).astype(bool)), X)
    check(lambda i: (i.astype(jnp.float32), i.astype(bool), i.astype(jnp.float16), i.astype(jnp.uint32)), I)
    check(lambda b: (b.astype(jnp.int32), b.astype(jnp.float32), b.astype(jnp.uint8), b + 1, b * 2.5), B)


def test_a_narrower_integer_type_takes_the_low_bits() -> None:
    import jmpc

    check(lambda i: jmpc.bounded(i, 100).astype(jnp.int8).astype(jnp.int32) * 2, I)
    check(lambda i: ((i * 100).astype(jnp.int8), (i * 100).astype(jnp.uint8).astype(jnp.int32) + 1), I)


def test_what_an_integer_dtype_does_not_hold_saturates() -> None:
    """As JAX has it on a CPU, of every dtype, and where a bound says that some ends are out of reach."""
    x = np.array([-7e4, -4e4, -200.5, -128.9, -1, -0.5, 0.5, 127.5, 150, 255.9, 300, 4e4, 7e4, 6e7, -6e7], np.float32)
    dtypes = (jnp.int8, jnp.uint8, jnp.int16, jnp.uint16, jnp.int32, jnp.uint32)
    check(lambda x: [x.astype(d) for d in dtypes], x)
    check(lambda x: [jmpc.bounded(x, 300).astype(d) for d in dtypes], x[2:11])
    check(lambda x: [jmpc.bounded(x, 127).astype(d).astype(jnp.int32) * 5 for d in dtypes], x[4:7])
    check(lambda x: (x.astype(jnp.int8) + jnp.int8(1), x.astype(jnp.uint8).astype(jnp.float32) / 2), x)


def test_products_of_integers_beyond_the_bound_of_reals() -> None:
    """A comparison of integers looks at all the bits that their dtype has."""
    big = np.array([40_000, -40_000, 3], np.int32)
    check(lambda i: (i * i, i * i > 100_000_000, jnp.maximum(i * i, 5), i * 30_000 < 0), big)


def test_sizes_zero() -> None:
    check(lambda z: (z + 1, z * z, z.sum(), z.sum(0), z > 0, jnp.abs(z), z.T, z.astype(int)), EMPTY)
    check(lambda z: (jnp.concatenate([z, jnp.ones((1, 3))]), z @ jnp.ones((3, 2)), jnp.where(z > 0, z, 1.0)), EMPTY)
    check(lambda z: (z.max(1), jnp.argmax(z, 1), z.reshape(3, 0)), EMPTY)


def test_a_ring_of_32_bits() -> None:
    config = Config(k=32, f=8)
    check(lambda x, y: (x * y, x + 0.5, jax.nn.relu(x), x > y), X, Y, config=config, tolerance=0.05)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=5), st.floats(-30, 30, width=32))
def test_any_number(numbers: list[float], factor: float) -> None:
    x = np.array(numbers, np.float32)
    check(lambda v: (v * np.float32(factor), v - v * v / 4096, v + factor), x)
