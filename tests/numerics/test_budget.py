"""The error budget: every function is within its part of it, and a larger budget never costs more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import special

import jmpc
from jmpc.config import ERROR, LARGEST_ERROR, LEAST_ERROR
from jmpc.numerics.elementary import activations
from jmpc.numerics.fits import binade
from jmpc.testing.executors import executor

Array = np.ndarray
UNIT = 2.0**-18
BUDGETS = (2.0**-16, ERROR, 1e-3, LARGEST_ERROR)


class Case(NamedTuple):
    """parts: how many times the budget the error may be, relative to max(1, |result|); rounding is 8 units."""

    function: Callable[..., Any]
    args: Sequence[Array]
    parts: float = 1.0


def even(low: float, high: float) -> Array:
    return np.linspace(low, high, 1001)


def scales(low: float, high: float) -> Array:
    return np.geomspace(low, high, 401)


BOTH = np.concatenate([scales(2**-4, 2**8), -scales(2**-4, 2**8)])
PAIRS = np.meshgrid(even(-4, 4)[::50], BOTH[::40])
POWERS = np.meshgrid(scales(2**-3, 8)[::20], even(-1.5, 1.5)[::50])
ROWS = 3 * np.random.default_rng(0).normal(size=(40, 10))
CASES = {
    "sigmoid": Case(jax.nn.sigmoid, [even(-25, 25)]),
    "tanh": Case(jnp.tanh, [even(-12, 12)]),
    "erf": Case(special.erf, [even(-6, 6)]),
    "gelu": Case(jax.nn.gelu, [even(-12, 12)], 3),
    "exact gelu": Case(partial(jax.nn.gelu, approximate=False), [even(-12, 12)], 3),
    "silu": Case(jax.nn.silu, [even(-25, 25)], 3),
    "softplus": Case(jax.nn.softplus, [even(-25, 25)], 3),
    "mish": Case(jax.nn.mish, [even(-25, 25)], 3),
    "exp": Case(jnp.exp, [even(-15, 5)], 0),
    "sin": Case(jnp.sin, [even(-100, 100)], 0),
    "log": Case(jnp.log, [scales(2**-10, 2**20)]),
    "log2": Case(jnp.log2, [scales(2**-10, 2**20)]),
    "reciprocal": Case(jnp.reciprocal, [BOTH]),
    "divide": Case(jnp.divide, PAIRS),
    "sqrt": Case(jnp.sqrt, [scales(2**-10, 2**16)]),
    "rsqrt": Case(lax.rsqrt, [scales(2**-10, 2**16)]),
    "cbrt": Case(jnp.cbrt, [BOTH]),
    "pow": Case(lax.pow, POWERS, 3),
    "softmax": Case(jax.nn.softmax, [ROWS], 3),
    "log_softmax": Case(jax.nn.log_softmax, [ROWS], 10),
    "atan": Case(jnp.arctan, [BOTH]),
    "asin": Case(jnp.arcsin, [even(-1, 1)]),
    "erf_inv": Case(special.erfinv, [even(-0.9, 0.9)]),
    "lgamma": Case(special.gammaln, [scales(0.5, 12)], 3),
    "digamma": Case(special.digamma, [scales(0.5, 12)], 3),
    "sinc": Case(jnp.sinc, [even(-8, 8)]),
    "i0e": Case(special.i0e, [even(-12, 12)]),
}


def measured(case: Case, budget: float, how: str, every: int = 1) -> float:
    """How many times the budget the error is, less 8 units of rounding."""
    args = [np.rint(np.asarray(a)[::every] / UNIT) * UNIT for a in case.args]
    secure = jmpc.secure(lambda *xs: case.function(*xs), config=jmpc.Config(error=budget))
    with executor(how, 0):
        found = np.asarray(secure(*[a.astype(np.float32) for a in args]), np.float64)
    with jax.enable_x64(True):
        true = np.asarray(case.function(*map(jnp.asarray, args)))
    error = np.abs(found - true) / np.maximum(1, np.abs(true))
    return (error.max() - 8 * UNIT) / budget


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_function_is_within_its_part_of_every_budget(name: str) -> None:
    case = CASES[name]
    assert max(measured(case, budget, "meaning") / max(case.parts, 2.0**-10) for budget in BUDGETS) <= 1


@pytest.mark.parametrize("budget", [BUDGETS[0], BUDGETS[-1]])
@pytest.mark.parametrize("name", ["sigmoid", "gelu", "log", "divide"])
def test_three_parties_keep_within_it(name: str, budget: float) -> None:
    assert measured(CASES[name], budget, "simulated", every=4) <= CASES[name].parts


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "silu", "softplus", "exp", "log", "divide", "rsqrt", "softmax"])
def test_a_larger_budget_never_costs_more(name: str) -> None:
    case = CASES[name]
    args = [np.zeros((1,) * np.ndim(a), np.float32) for a in case.args]
    costs = []
    for budget in BUDGETS:
        cost = jmpc.secure(lambda *xs: case.function(*xs), config=jmpc.Config(error=budget)).lower(*args).cost()
        costs.append((cost.rounds, max(cost.bytes_sent)))
    rounds, sent = zip(*costs, strict=True)
    assert list(rounds) == sorted(rounds, reverse=True)
    assert list(sent) == sorted(sent, reverse=True)
    assert (sent[0] > sent[-1]) == (case.parts > 0), "what depends on the budget is cheaper at a larger one"


CURVES = ("SIGMOID", "TANH", "ERF", "ERFC", "GELU", "GELU_TANH", "SILU", "SOFTPLUS", "MISH")


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("budget", [LEAST_ERROR, *BUDGETS])
def test_an_interval_ends_where_its_function_has_become_straight(name: str, budget: float) -> None:
    smooth: activations.Smooth = getattr(activations, name)
    curve = smooth.at(budget)
    for side in (-1, 1):
        end = curve.centre + side * curve.half
        beyond, before = end + side * np.linspace(0, 9, 901), np.array([end - side * 0.1001])
        assert np.abs(smooth.shape(beyond) - smooth.tends(beyond)).max() <= curve.error * 1.0001
        assert np.abs(smooth.shape(before) - smooth.tends(before)).max() > curve.error, "a step less would not do"


@pytest.mark.parametrize("name", ["RECIPROCAL", "SQRT", "RSQRT", "CBRT", "LOG", "LOG2"])
def test_every_budget_has_a_fit_and_the_default_one_that_it_had(name: str) -> None:
    fits: binade.Fits = getattr(binade, name)
    harmonics = [len(fits.at(budget).sin) for budget in (LEAST_ERROR, *BUDGETS)]
    assert harmonics == sorted(harmonics, reverse=True)
    assert len(fits.at(ERROR).sin) == (3 if name in ("SQRT", "CBRT") else 4)
