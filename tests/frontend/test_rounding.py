"""Rounding to whole numbers, through the real protocols: exact, with ties as JAX breaks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc

UNIT = 2.0**-18
WHOLE = np.array([0, 1, 2, -1, -2, 3, -3, 1000, -4095])
X = np.concatenate([WHOLE, WHOLE + 0.5, WHOLE + UNIT, WHOLE - UNIT, WHOLE + 0.5 + UNIT, WHOLE + 0.5 - UNIT])
X = np.concatenate([X, np.random.default_rng(2).uniform(-4000, 4000, 40).round(3), [2.0**25, -(2.0**25)]])
X = X[np.abs(X * 2**18) % 1 == 0].astype(np.float64)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "rint": jnp.rint,
    "trunc": jnp.trunc,
    "fix": jnp.trunc,
    "away": lambda x: jax.lax.round(x, jax.lax.RoundingMethod.AWAY_FROM_ZERO),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_rounding_is_exact(name: str) -> None:
    with jax.enable_x64(True):
        found = np.asarray(jmpc.secure(FUNCTIONS[name])(X))
        np.testing.assert_array_equal(found, np.asarray(FUNCTIONS[name](X)))


@pytest.mark.parametrize("function", [jax.lax.rem, jnp.mod, jnp.fmod, jnp.floor_divide])
def test_a_remainder_is_exact(function: Callable[..., Any]) -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(1 << 12, 1 << 22, 60) * UNIT * rng.choice([-1, 1], 60)
    x = np.concatenate([y[:10] * 3, np.zeros(2), rng.integers(-(1 << 26), 1 << 26, 48) * UNIT])
    with jax.enable_x64(True):
        for other in (y, np.full(60, 1.25)):
            found = np.asarray(jmpc.secure(lambda x, y: function(x, y))(x, other))
            np.testing.assert_allclose(found, np.asarray(function(x, other)), rtol=0, atol=0)
