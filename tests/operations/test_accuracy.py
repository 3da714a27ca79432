"""The accuracy that the documentation promises, over whole domains: dense sweeps by three parties, and what hypothesis
draws, edges first. Inputs lie on the grid of the number format, so that only the function's own error counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jax.scipy import special

import jmpc
from jmpc.testing.executors import executor
from tests.operations.entry import STEP, on_grid

Array = Any
DRAWN = 8
SWEPT = 4096
FLOAT32 = 2.0**-23  # results are float32
LARGEST = 2.0**25


@dataclass(frozen=True)
class Promise:
    """low, high: the smallest and the largest size of a number.  signed: of either sign, and 0 where low is 0.  The
    error is at most the larger of `absolute` and `relative` times the result, or their sum where `added`."""

    function: Callable[..., Any]
    low: float
    high: float
    absolute: float
    relative: float = 0.0
    signed: bool = False
    added: bool = False

    def allowed(self, true: np.ndarray) -> np.ndarray:
        relative = self.relative * np.abs(true)
        total = self.absolute + relative if self.added else np.maximum(self.absolute, relative)
        return total + FLOAT32 * np.abs(true)


def everywhere(function: Callable[..., Any], absolute: float) -> Promise:
    return Promise(function, 0.0, LARGEST, absolute, signed=True)


PROMISES = {
    "exp, above 0": Promise(jnp.exp, 0.0, 9.0, 2.0**-16, 1e-4),
    "exp, below 0": Promise(lambda x: jnp.exp(-x), 0.0, LARGEST, 2.0**-16, 1e-4),
    "log": Promise(jnp.log, 2.0**-10, 2.0**20, 1e-4),
    "log2": Promise(jnp.log2, 2.0**-10, 2.0**20, 1e-4),
    "log1p": Promise(jnp.log1p, 2.0**-10, 2.0**20, 1e-4),
    "reciprocal": Promise(jnp.reciprocal, 2.0**-8, 2.0**16, 2.0**-16, 1e-4, signed=True, added=True),
    "division": Promise(lambda x: 3.0 / x, 2.0**-8, 2.0**16, 2.0**-16, 1e-4, signed=True, added=True),
    "sqrt": Promise(jnp.sqrt, 2.0**-10, 2.0**20, 2.0**-16, 1e-4, added=True),
    "rsqrt": Promise(lax.rsqrt, 2.0**-10, 2.0**20, 2.0**-16, 1e-4, added=True),
    "sigmoid": everywhere(jax.nn.sigmoid, 1e-4),
    "tanh": everywhere(jnp.tanh, 1e-4),
    "erf": everywhere(special.erf, 1e-4),
    "gelu, tanh": everywhere(jax.nn.gelu, 3e-4),
    "gelu, erf": everywhere(lambda x: jax.nn.gelu(x, approximate=False), 3e-4),
    "silu": everywhere(jax.nn.silu, 3e-4),
    "softplus": everywhere(jax.nn.softplus, 3e-4),
    "elu": everywhere(jax.nn.elu, 3e-4),
    "softmax": Promise(jax.nn.softmax, 0.0, 1000.0, 3e-4, signed=True),
    "log_softmax": Promise(jax.nn.log_softmax, 0.0, 1000.0, 1e-3, signed=True),
    "sin": Promise(jnp.sin, 0.0, 1024.0, 1e-4, signed=True),
    "cos": Promise(jnp.cos, 0.0, 1024.0, 1e-4, signed=True),
}


@cache
def secured(name: str) -> Any:
    return jmpc.secure(PROMISES[name].function)


def check(name: str, x: np.ndarray, path: str) -> None:
    promise = PROMISES[name]
    x = on_grid(x).astype(np.float32)
    with executor(path, 0):
        got = np.asarray(secured(name)(x), np.float64)
    with jax.enable_x64(True):
        true = np.asarray(promise.function(jnp.asarray(x, np.float64)))
    room = promise.allowed(true) - np.abs(got - true)
    worst = np.unravel_index(int(np.argmin(room)), room.shape)
    assert room[worst] >= 0, f"{name}({x[worst]!r}) is {true[worst]}, got {got[worst]}"


def sweep(promise: Promise) -> np.ndarray:
    """Half evenly over the domain, half evenly over the logarithm."""
    least = max(promise.low, STEP)
    sizes = np.concatenate(
        [np.linspace(promise.low, promise.high, SWEPT // 2), np.geomspace(least, promise.high, SWEPT // 2)]
    )
    return sizes * np.where(np.arange(SWEPT) % 2, 1, -1) if promise.signed else sizes


@pytest.mark.parametrize("name", PROMISES)
def test_the_error_over_a_dense_sweep(name: str) -> None:
    """The rows of a softmax have 1,024 numbers: small ones beside each other, and all sizes in one."""
    x = sweep(PROMISES[name])
    check(name, x.reshape(4, -1) if "softmax" in name else x, "simulated")


def drawn(promise: Promise) -> st.SearchStrategy[np.ndarray]:
    """Arrays from the domain: its ends, and numbers of every binade."""
    ends = st.sampled_from([promise.low, promise.high, *([1.0] if promise.low <= 1 <= promise.high else [])])
    binades = st.integers(int(np.floor(np.log2(max(promise.low, STEP)))), int(np.ceil(np.log2(promise.high))))
    sizes = st.one_of(ends, st.builds(lambda e, m: m * 2.0**e, binades, st.floats(0.5, 1.0)))
    sizes = sizes.map(lambda x: float(np.clip(x, promise.low, promise.high)))
    signs = st.sampled_from([1.0, -1.0] if promise.signed else [1.0])
    number = st.builds(lambda size, sign: size * sign, sizes, signs)
    return st.lists(number, min_size=DRAWN, max_size=DRAWN).map(np.array)


@pytest.mark.parametrize("name", PROMISES)
def test_the_error_of_what_is_drawn(name: str) -> None:
    @given(x=drawn(PROMISES[name]))
    def draw(x: np.ndarray) -> None:
        check(name, x, "meaning")

    draw()


def test_attention_masks_saturate() -> None:
    """A public constant beyond the format is its bound: its exponential is 0."""
    scores = np.array([[0.5, -1.25, 2.0, 3.0]], np.float32)
    for mask in (-1e4, -1e9, float(np.finfo(np.float32).min), -np.inf):
        hidden = jmpc.public(jnp.where(jnp.array([True, True, False, True]), 0.0, mask))
        for apply in (lambda s, m: s + m, lambda s, m: jnp.where(m < 0, m, s)):
            with executor("simulated", 0):
                got = jmpc.secure(lambda s, m=hidden, apply=apply: jax.nn.softmax(apply(s, m)))(scores)
            np.testing.assert_allclose(got, jax.nn.softmax(apply(scores, hidden)), atol=3e-4)
