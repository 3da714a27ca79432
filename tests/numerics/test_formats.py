"""Real functions in number formats other than the default: an error that follows from the format and the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import special

import jmpc
from jmpc.config import ERROR
from jmpc.testing.executors import executor

Array = np.ndarray
FORMATS = [(32, 10), (32, 12), (64, 10), (64, 14), (64, 20), (64, 24)]


class Case(NamedTuple):
    """The error relative to max(1, |result|) is at most `units` 2^-f and `parts` times the error budget."""

    function: Callable[..., Any]
    args: Sequence[Array]
    units: float = 4.0
    parts: float = 1.0


def even(low: float, high: float) -> Array:
    return np.linspace(low, high, 401)


def scales(low: float, high: float) -> Array:
    return np.geomspace(low, high, 201)


BOTH = np.concatenate([scales(2**-4, 16), -scales(2**-4, 16)])
PAIRS = np.meshgrid(even(-30, 30)[::20], BOTH[np.abs(BOTH) >= 1][::8])
POWERS = np.meshgrid(scales(1 / 4, 4)[::10], even(-1.5, 1.5)[::20])
ROWS = 3 * np.random.default_rng(0).normal(size=(40, 10))
CASES = {
    "exp": Case(jnp.exp, [even(-12, 3)]),
    "sigmoid": Case(jax.nn.sigmoid, [even(-20, 20)]),
    "tanh": Case(jnp.tanh, [even(-10, 10)]),
    "erf": Case(special.erf, [even(-5, 5)]),
    "gelu": Case(jax.nn.gelu, [even(-10, 10)], parts=3),
    "sin": Case(jnp.sin, [even(-16, 16)]),
    "log": Case(jnp.log, [scales(2**-5, 16)]),
    "log2": Case(jnp.log2, [scales(2**-5, 16)]),
    "reciprocal": Case(jnp.reciprocal, [BOTH]),
    "divide": Case(jnp.divide, PAIRS),
    "sqrt": Case(jnp.sqrt, [scales(2**-5, 16)]),
    "rsqrt": Case(lax.rsqrt, [scales(2**-5, 16)]),
    "cbrt": Case(jnp.cbrt, [BOTH]),
    "softmax": Case(jax.nn.softmax, [ROWS], parts=3),
    "log_softmax": Case(jax.nn.log_softmax, [ROWS], parts=10),
    "pow": Case(lax.pow, POWERS, parts=3),
    "atan": Case(jnp.arctan, [even(-16, 16)]),
    "asin": Case(jnp.arcsin, [even(-1, 1)]),
    "lgamma": Case(special.gammaln, [scales(0.5, 12)], parts=3),
    "sinc": Case(jnp.sinc, [even(-8, 8)]),
}
ROOTS = ("sqrt", "rsqrt", "cbrt", "asin")


def precision(name: str, k: int, f: int) -> int:
    """Of roots in a small ring, 9 bits: tables and the root of a factor share its 32."""
    return min(f, 9) if k == 32 and name in ROOTS else f


def run(function: Callable[..., Any], args: Sequence[Array], k: int, f: int, how: str) -> tuple[Array, Array]:
    """(found, true), of arguments that the format holds."""
    held = [np.rint(np.asarray(a) * 2.0**f) * 2.0**-f for a in args]
    secure = jmpc.secure(lambda *xs: function(*xs), config=jmpc.Config(k=k, f=f))
    with executor(how, 0):
        found = np.asarray(secure(*[a.astype(np.float32) for a in held]), np.float64)
    with jax.enable_x64(True):
        return found, np.asarray(function(*map(jnp.asarray, held)))


def check(name: str, k: int, f: int, how: str, every: int = 1) -> None:
    case = CASES[name]
    found, true = run(case.function, [np.asarray(a)[::every] for a in case.args], k, f, how)
    error = np.abs(found - true) / np.maximum(1, np.abs(true))
    assert error.max() <= case.units * 2.0 ** -precision(name, k, f) + case.parts * ERROR


@pytest.mark.parametrize(("k", "f"), FORMATS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_function_has_the_error_of_its_format(name: str, k: int, f: int) -> None:
    check(name, k, f, "meaning")


@pytest.mark.parametrize(("k", "f"), [(32, 10), (64, 10), (64, 24)])
@pytest.mark.parametrize("name", ["sigmoid", "log", "divide", "reciprocal", "rsqrt", "cbrt"])
def test_three_parties_have_it_too(name: str, k: int, f: int) -> None:
    check(name, k, f, "simulated", every=5)


@pytest.mark.parametrize(("k", "f"), FORMATS)
def test_a_quotient_of_large_numbers_is_right(k: int, f: int) -> None:
    """Up to the largest that the format holds, over every divisor for which the quotient is one, too."""
    top = 2.0 ** jmpc.Config(k=k, f=f).value_bits
    x, y = (v.ravel() for v in np.meshgrid(top * np.array([0.01, 0.4, -0.97]), np.geomspace(2, top * 0.9, 40)))
    found, true = run(jnp.divide, [x, y], k, f, "meaning")
    limit = 2.0 ** (2 - f) * np.maximum(1, np.abs(true)) + ERROR * np.abs(true)
    assert (np.abs(found - true) <= limit).all()
