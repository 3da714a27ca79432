"""Exponentials in floating point: windows of every number format, the cap, the zero, and halves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from jmpc.config import Config
from jmpc.numerics.elementary import exponential as e

FORMATS = [(64, f) for f in range(4, 29)] + [(32, f) for f in range(4, 13)]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("k", "f"), FORMATS)
@pytest.mark.parametrize("most", [None, 1])
def test_a_window_fits_its_ring_and_reaches_zero(k: int, f: int, most: int | None) -> None:
    w = e.window(k, f, most)
    assert w.top + w.scale <= k - 2
    assert f <= w.scale <= 2 * f + 16
    assert w.least < -(f + 1)
    assert w.high + w.low + f + 8 <= k, "the exponent keeps fraction bits"
    threshold, slack = e.smallest(w, f)
    assert w.least * math.log(2) <= threshold
    assert math.exp(threshold + slack) <= 2.0 ** -(f + 1) * 1.0001
    if most is None:
        assert w.top >= 5, "the largest exponential is at least 2^5"


def test_the_default_format_reaches_past_its_stated_domain() -> None:
    w = e.of_config(Config())
    assert (w.top, w.high, w.low) == (21, 3, 3)
    assert e.largest(w) > 9
    assert e.of_config(Config(), 1).high == 2, "what is never positive takes half the words"


def call(function: Any, x: np.ndarray, **more: Any) -> np.ndarray:
    return np.asarray(function(x, window=e.window(64, 18), f=18, **more))


def test_an_exponential_is_exact_between_zero_and_its_cap() -> None:
    w = e.window(64, 18)
    x = np.linspace(-13, e.largest(w) - 1e-3, 10_001)
    np.testing.assert_allclose(call(e.exponential, x), np.exp(x), rtol=1e-9)
    np.testing.assert_allclose(call(e.exponential, x, base=2.0), np.exp2(x), rtol=1e-9)
    np.testing.assert_allclose(call(e.less_one, x), np.expm1(x), rtol=1e-9, atol=1e-12)
    middle = x[np.abs(x) < 12]
    np.testing.assert_allclose(call(e.sinh, middle), np.sinh(middle), rtol=1e-5, atol=2.0**-19)
    np.testing.assert_allclose(call(e.cosh, middle), np.cosh(middle), rtol=1e-5, atol=2.0**-19)


def test_an_exponential_saturates() -> None:
    far = np.array([-6e7, -1e4, -200.0, -30.0])
    np.testing.assert_array_equal(call(e.exponential, far), 0)
    cap = math.exp(e.largest(e.window(64, 18)))
    np.testing.assert_allclose(call(e.exponential, -far), cap)
    np.testing.assert_array_equal(np.asarray(e.falling(far, window=e.window(64, 18, 1), f=18)), 0)
    x = np.linspace(-12, 0, 1001)
    np.testing.assert_allclose(np.asarray(e.falling(x, window=e.window(64, 18, 1), f=18)), np.exp(x), rtol=1e-9)
