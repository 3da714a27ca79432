"""Real functions beyond their domains, through the protocols: they saturate as their modules say, up to the format."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special

import jmpc
from jmpc.ir.program import walk
from jmpc.testing.executors import executor

Function = Callable[..., Any]
UNIT = 2.0**-18
LARGE = np.concatenate([2.0 ** np.arange(3, 26), [1e7, 6e7]])
FINE = np.concatenate([2.0 ** np.arange(-18, 3), [0.75, 1.5, 3]])
POSITIVE = np.concatenate([FINE, LARGE])
ALL = np.concatenate([-POSITIVE, [0], POSITIVE]).astype(np.float32)


def secure(function: Function, *arrays: np.ndarray) -> np.ndarray:
    with executor("simulated", 0):
        return np.asarray(jmpc.secure(lambda *xs: function(*xs))(*arrays), np.float64)


def exact(function: Function, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(function(jnp.asarray(x, np.float64)))


EVERYWHERE: dict[str, tuple[Function, float, float]] = {
    "asinh": (jnp.arcsinh, 1e-4, 0),
    "log_ndtr": (lambda x: special.log_ndtr(jnp.maximum(x, -8000)), 2e-4, 1e-6),
    "elu": (jax.nn.elu, 3e-4, 0),
    "elu, steeper": (partial(jax.nn.elu, alpha=3.0), 3e-4, 0),
    "celu": (partial(jax.nn.celu, alpha=2.5), 3e-4, 0),
    "selu": (jax.nn.selu, 3e-4, 1e-6),
    "squareplus": (jax.nn.squareplus, 1e-4, 2e-5),
    "soft_sign": (jax.nn.soft_sign, 1e-4, 0),
    "sparse_plus": (jax.nn.sparse_plus, 1e-4, 0),
    "sparse_sigmoid": (jax.nn.sparse_sigmoid, 1e-4, 0),
    "hard_sigmoid": (jax.nn.hard_sigmoid, 1e-4, 0),
    "hard_silu": (jax.nn.hard_silu, 1e-4, 1e-5),
    "leaky_relu": (jax.nn.leaky_relu, 1e-4, 1e-5),
    "relu6": (jax.nn.relu6, 0, 0),
}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_function_of_every_number(name: str) -> None:
    function, absolute, relative = EVERYWHERE[name]
    found, true = secure(function, ALL), exact(function, ALL)
    bound = absolute + (relative + 2.0**-22) * np.abs(ALL.astype(np.float64))
    if name == "log_ndtr":
        bound = absolute + relative * np.abs(true)
    assert (np.abs(found - true) <= bound).all()


ENDS: dict[str, tuple[Function, Function]] = {
    "asin": (jnp.arcsin, lambda x: np.arcsin(np.clip(x, -1, 1))),
    "acos": (jnp.arccos, lambda x: np.arccos(np.clip(x, -1, 1))),
    "log": (jnp.log, lambda x: np.log(np.maximum(x, UNIT))),
    "acosh": (jnp.arccosh, lambda x: np.where(x < 1, np.log(np.maximum(x, 2 * UNIT)), np.arccosh(np.maximum(x, 1)))),
    "atanh": (jnp.arctanh, lambda x: (np.log(np.maximum(1 + x, UNIT)) - np.log(np.maximum(1 - x, UNIT))) / 2),
    "sqrt": (jnp.sqrt, lambda x: np.sqrt(np.maximum(x, 0))),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_a_function_says_outside_its_domain(name: str) -> None:
    function, true = ENDS[name]
    want = true(ALL.astype(np.float64))
    assert (np.abs(secure(function, ALL) - want) <= 1e-3 * np.maximum(1, np.abs(want) / 20)).all()


def test_gamma_functions_at_zero_and_below_are_as_at_the_pole() -> None:
    x = np.concatenate([-POSITIVE, [0]]).astype(np.float32)
    np.testing.assert_allclose(secure(special.gammaln, x), 18 * math.log(2), rtol=1e-4)
    np.testing.assert_allclose(secure(special.digamma, x), -(2.0**18), rtol=1e-4)
    near = np.array([UNIT, 2.0**-13], np.float32)
    np.testing.assert_allclose(secure(special.digamma, near), -1 / near, rtol=1e-3)


def test_the_normal_tail_ends_within_the_format() -> None:
    found = secure(special.log_ndtr, -LARGE[LARGE > 8192].astype(np.float32))
    np.testing.assert_array_equal(found, -(2.0**25))


def test_a_power_with_a_large_exponent_is_zero_or_at_its_cap() -> None:
    x, y = (v.ravel().astype(np.float32) for v in np.meshgrid([0.25, 0.5, 2, 1000, 6e7], [-6e7, -1e6, -1e3, 1e3, 6e7]))
    found = secure(lambda x, y: x**y, x, y)
    grows = (x > 1) == (y > 0)
    np.testing.assert_array_equal(found[~grows], 0)
    np.testing.assert_allclose(found[grows], 2.0**21, rtol=1e-3)


def test_an_exponential_of_what_is_never_positive_compares_once() -> None:
    x = np.zeros(8, np.float32)
    for function in (jax.nn.elu, partial(jax.nn.celu, alpha=2.0), lambda x: jnp.exp(jnp.minimum(x, 0))):
        program = list(jmpc.secure(lambda x, f=function: f(x)).lower(x).flow.stages.values())[-1]
        names = [op.name for op in walk(program.body)]
        assert names.count("is_below") == 1, names
    program = list(jmpc.secure(lambda x: jnp.expm1(jnp.maximum(x, 0))).lower(x).flow.stages.values())[-1]
    assert [op.name for op in walk(program.body)].count("is_below") == 2
