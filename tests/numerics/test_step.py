"""Smooth steps and ramps in floating point: stated error on every number, in the middle and in the tails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from jmpc.config import ERROR
from jmpc.numerics.elementary import activations, circular

ERF = np.vectorize(math.erf, otypes=[float])
UNIT = 2.0**-18
EVERY = np.concatenate([np.linspace(-16, 16, 40_001), np.linspace(-3e7, 3e7, 1001), [UNIT, -UNIT]])


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def logistic(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2


STEPS = {
    "SIGMOID": (logistic, 0.0, 1.0),
    "TANH": (np.tanh, -1.0, 1.0),
    "ERF": (ERF, -1.0, 1.0),
    "ERFC": (lambda x: 1 - ERF(x), 2.0, 0.0),
}
RAMPS = {
    "GELU": lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2,
    "GELU_TANH": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "SILU": lambda x: x * logistic(x),
    "SOFTPLUS": lambda x: np.logaddexp(x, 0),
    "MISH": lambda x: x * np.tanh(np.logaddexp(x, 0)),
}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_has_its_stated_error_everywhere(name: str) -> None:
    curve: activations.Curve = getattr(activations, name).at(ERROR)
    true, low, high = STEPS[name]
    found = np.asarray(activations.step(EVERY, curve=curve, f=18, low=low, high=high))
    assert curve.error <= activations.STEP
    assert np.abs(found - true(EVERY)).max() <= activations.STEP


@pytest.mark.parametrize("name", sorted(RAMPS))
def test_a_ramp_has_its_stated_error_everywhere(name: str) -> None:
    curve: activations.Curve = getattr(activations, name).at(ERROR)
    found = np.asarray(activations.ramp(EVERY, curve=curve, f=18))
    assert curve.error <= activations.RAMP
    assert (
        np.abs(found - RAMPS[name](EVERY)).max() <= activations.RAMP * 1.3
    )  # the tail may be met a slack before its end


@pytest.mark.parametrize("name", [*STEPS, *RAMPS])
def test_either_answer_of_a_slack_comparison_will_do(name: str) -> None:
    """Between the threshold and its slack both the sum and the tail are within the error."""
    curve: activations.Curve = getattr(activations, name).at(ERROR)
    u = np.linspace(curve.half, curve.half + curve.slack, 201)
    x = np.concatenate([-u, u])
    assert np.abs(curve.fit(x) - curve.shape(x)).max() <= curve.error * 1.02


WAVES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sin": (circular.sin, np.sin),
    "cos": (circular.cos, np.cos),
}


@pytest.mark.parametrize("name", sorted(WAVES))
def test_a_wave_is_itself(name: str) -> None:
    found, true = WAVES[name]
    np.testing.assert_allclose(np.asarray(found(EVERY)), true(EVERY), atol=1e-7)


def test_a_tangent_is_sine_over_cosine() -> None:
    x = np.linspace(-1.5, 1.5, 101)
    np.testing.assert_allclose(np.asarray(circular.tan(x, f=18)), np.tan(x), rtol=1e-9)


def test_the_harmonics_are_as_few_as_the_costs_say() -> None:
    expected = {"sigmoid": 9, "tanh": 10, "erf": 5, "gelu": 5, "gelu_tanh": 5, "silu": 10, "softplus": 6, "mish": 10}
    assert activations.harmonics() == expected
