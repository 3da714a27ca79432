"""The user's jax_enable_x64, on or off, is as it was after every call, and results have the dtypes of plain JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import RangeError, UnsupportedError
from tests.frontend.oracle import assert_same


@pytest.fixture(params=[False, True], ids=["off", "on"])
def x64(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)


def _mixed(x: Any, i: Any) -> Any:
    return x * 2.5, x.sum(), i * i, jnp.argmax(x), x > 0, i.astype(jnp.float32), i.astype(float)


def test_results_are_those_of_jax(x64: bool) -> None:
    args = np.array([0.5, -2.0, 3.25]), np.array([1, -2, 3])
    assert_same(jmpc.secure(_mixed)(*args), jax.jit(_mixed)(*args))
    assert jax.config.jax_enable_x64 == x64


def test_the_setting_survives_every_error(x64: bool) -> None:
    for call, error in [
        (lambda: jmpc.secure(lambda x: x + 1)(np.array([np.nan])), RangeError),
        (lambda: jmpc.secure(lambda x: jax.lax.zeta(x, x))(np.ones(2)), UnsupportedError),
        (lambda: jmpc.secure(lambda x: 1 // 0)(np.ones(2)), ZeroDivisionError),
    ]:
        with pytest.raises(error):
            call()
        assert jax.config.jax_enable_x64 == x64
        assert jnp.ones(1).dtype == (np.float64 if x64 else np.float32)


def test_the_setting_is_untouched_while_tracing(x64: bool) -> None:
    seen = []
    secured = jmpc.secure(lambda x: seen.append((jax.config.jax_enable_x64, x.dtype)) or x * 2)
    secured(np.ones(3))
    assert seen == [(x64, np.float64 if x64 else np.float32)]


def test_one_function_under_both_settings() -> None:
    secured, x = jmpc.secure(lambda x: x * 1.5), np.array([1.0, 2.0])
    for setting in (False, True, False):
        with jax.enable_x64(setting):
            assert secured(x).dtype == (np.float64 if setting else np.float32)


def test_integers_that_become_real_numbers_are_checked_as_such(x64: bool) -> None:
    secured = jmpc.secure(lambda i: i.astype(float) ** 2)
    np.testing.assert_allclose(secured(np.array([3, -4])), [9, 16], atol=1e-3)
    with pytest.raises(RangeError, match=r"^i: 1 of 2"):
        secured(np.array([2**27, 1]))


def test_large_integers(x64: bool) -> None:
    big = np.array([2**40, -(2**41)])
    if x64:
        assert_same(jmpc.secure(lambda i: (i + 1, i > 5, i * 3))(big), jax.jit(lambda i: (i + 1, i > 5, i * 3))(big))
    else:
        with pytest.raises(RangeError):
            jmpc.secure(lambda i: i + 1)(big)
