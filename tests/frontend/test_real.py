"""Functions of a normalised argument through the real protocols: over their whole domains, and beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc

UNIT = 2.0**-18
Function = Callable[..., Any]


def sweep(low: float, high: float, signs: bool = False) -> np.ndarray:
    """1,000 numbers between the powers of two, at them, and beside them; then zero, and what the format ends with."""
    powers = 2.0 ** np.arange(np.ceil(np.log2(low)), np.log2(high) + 1)
    x = np.concatenate([np.geomspace(low, high, 1000), powers, powers - UNIT, powers + UNIT])
    x = np.round(x[(x >= low) & (x <= high)] / UNIT) * UNIT
    x = np.concatenate([x, -x]) if signs else x
    return x.astype(np.float32)


BEYOND = np.array([0, -UNIT, UNIT, -1.0, -(2.0**25), 2.0**25.9], np.float32)
CASES: dict[str, tuple[Function, Function, np.ndarray, float, float, list[float]]] = {
    "reciprocal": (
        lambda x: 1 / x, lambda x: 1 / x, sweep(2.0**-8, 2.0**16, True), 1e-4, 2.0**-16,
        [2.0**19, -(2.0**18), 2.0**18, -1, 0, 0],
    ),
    "sqrt": (jnp.sqrt, np.sqrt, sweep(2.0**-10, 2.0**20), 1e-4, 2.0**-16, [0, 0, 2.0**-9, 0, 0, 2.0**12.95]),
    "rsqrt": (
        jax.lax.rsqrt, lambda x: x**-0.5, sweep(2.0**-10, 2.0**20), 1e-4, 2.0**-16,
        [2.0**9.5, 2.0**9.5, 2.0**9, 2.0**9.5, 2.0**9.5, 2.0**-12.95],
    ),
    "cbrt": (
        jnp.cbrt, np.cbrt, sweep(2.0**-10, 2.0**20, True), 1e-4, 2.0**-16,
        [0, -(2.0**-6), 2.0**-6, -1, -(2.0 ** (25 / 3)), 2.0 ** (25.9 / 3)],
    ),
    "log": (
        jnp.log, np.log, sweep(2.0**-10, 2.0**20), 0, 1e-4,
        [*np.log([UNIT] * 5), np.log(2.0**25.9)],
    ),
    "log1p": (
        jnp.log1p, np.log1p, sweep(2.0**-10, 2.0**20), 0, 1e-4,
        [0, -UNIT, UNIT, np.log(UNIT), np.log(UNIT), np.log(2.0**25.9)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_function_over_its_domain_and_beyond(name: str) -> None:
    function, true, x, relative, absolute, beyond = CASES[name]
    found = np.asarray(jmpc.secure(function)(np.concatenate([x, BEYOND])), np.float64)
    expected = np.concatenate([true(x.astype(np.float64)), beyond])
    np.testing.assert_allclose(found, expected, rtol=max(relative, 2e-5), atol=absolute)


def test_a_quotient_over_its_domain() -> None:
    rng = np.random.default_rng(3)
    x, y = (np.round(2.0 ** rng.uniform(-8, top, 1500) / UNIT) * UNIT * rng.choice([-1, 1], 1500) for top in (25, 16))
    y = np.where(np.abs(x / y) < 2.0**25, y, x).astype(np.float32)
    x = x.astype(np.float32)
    x[:3], y[:3] = 1, [0, 1, -1]
    found = np.asarray(jmpc.secure(lambda x, y: x / y)(x, y), np.float64)
    expected = x.astype(np.float64) / np.where(y == 0, 2.0**-11, y)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2.0**-16)


def test_a_quotient_of_small_numbers_is_a_product_with_a_reciprocal() -> None:
    x, y = np.array([0.5, -1, 0.25], np.float32), np.array([3, 7, 1000], np.float32)
    general = jmpc.secure(lambda x, y: x / y).lower(x, y).cost()
    secure = jmpc.secure(lambda x, y: jmpc.bounded(x, 1.0) / y)
    np.testing.assert_allclose(secure(x, y), x / y, rtol=1e-4, atol=2.0**-16)
    assert max(secure.lower(x, y).cost().bytes_sent) < max(general.bytes_sent)


def test_a_divisor_is_inverted_before_it_is_spread() -> None:
    x = np.arange(1, 41, dtype=np.float32).reshape(4, 10) / 64

    def rows(x: Any) -> Any:
        x = jmpc.bounded(x, 1.0)
        return x / jnp.sum(x, axis=1, keepdims=True)

    np.testing.assert_allclose(jmpc.secure(rows)(x), rows(x), rtol=1e-4, atol=2.0**-16)
    exponents = [line for line in jmpc.secure(rows).lower(x).as_text("value").splitlines() if "exponent" in line]
    assert exponents
    assert all("[4,1]" in line and "[4,10]" not in line for line in exponents)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.lists(st.floats(2.0**-8, 2.0**16, width=32), min_size=4, max_size=4))
def test_any_number(numbers: list[float]) -> None:
    x = np.round(np.array(numbers) / UNIT) * UNIT
    found = ANY(x.astype(np.float32))
    x = x.astype(np.float32).astype(np.float64)
    for y, true in zip(found, (1 / x, np.sqrt(x), x**-0.5, np.log(x)), strict=True):
        np.testing.assert_allclose(
            np.asarray(y, np.float64), true, rtol=1e-4, atol=1e-4 if true is found[3] else 2.0**-14
        )


ANY = jmpc.secure(lambda x: (1 / x, jnp.sqrt(x), jax.lax.rsqrt(x), jnp.log(x)))
