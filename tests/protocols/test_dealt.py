"""Fourier sums and powers of two through the protocol: error as stated, for many views of every number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmpc.config import Config
from jmpc.ir.ops.waves import COEFFICIENT, RATE, exponent
from jmpc.ir.types import SPLIT, Type
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of, number, one_op
from jmpc.testing.simulator.lockstep import results_of, run_held
from tests.protocols.formulas import COSTS

RNG = np.random.default_rng(11)


def run_views(name: str, x: np.ndarray, config: Config, point: int, **attrs: Any) -> np.ndarray:
    """The real number that one op gives for each number, with `point` fraction bits and a uniform view."""
    ring = Ring(config.k)
    c = ring.from_int(RNG.integers(-(1 << 63), (1 << 63) - 1, x.shape))
    r = ring.reduce_host(ring.from_int(x) - c)
    t = number(x.shape, 1 << (config.k - 3), SPLIT, scale=point)
    flat, report = run_held(one_op(name, [t], config, **attrs), [[[c], [c], [r]]], RNG)
    assert report.cost == COSTS[name]([t], attrs, config)
    return np.ldexp(results_of(one_op(name, [t], config, **attrs), flat)[0].astype(np.float64), -attrs["scale"])


def units(values: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(v * 2**COEFFICIENT) for v in values)


@pytest.mark.parametrize(
    ("k", "scale", "total", "known"), [(64, 18, 42, 20), (64, 36, 42, 20), (32, 10, 27, 12), (16, 4, 10, 5)]
)
def test_a_fourier_sum_is_as_exact_as_it_states(k: int, scale: int, total: int, known: int) -> None:
    sines, cosines, period = (1.25, -0.5, 0.125), (0.0, 0.75, -0.25), 11.0
    top = 1 << (k - 2)
    x = np.concatenate([RNG.integers(-top, top, 3000), RNG.integers(-64, 64, 200), [0, 1, -1, top, -top]])
    attrs = {"rate": round(2**RATE / period), "sin": units(sines), "cos": units(cosines), "scale": total}
    found = run_views("periodic_sum3", x, config_of(k, scale), scale, **attrs, known=known)
    factor = round(2 ** (k - scale) / period)
    turns = (x.astype(object) * factor % (1 << k)).astype(np.float64) / 2.0**k
    angles = [2 * np.pi * n * turns for n in (1, 3, 5)]
    exact = sum(a * np.sin(w) + b * np.cos(w) for a, b, w in zip(sines, cosines, angles, strict=True))
    allowed = 3 * 2.0 ** (known - total) + 2.0**-known * 2.875 + 1e-6
    assert np.abs(found - exact).max() < allowed


WINDOWS = [
    (64, 18, {"top": 21, "high": 3, "low": 3, "scale": 41, "known": 16}),
    (64, 36, {"top": 21, "high": 3, "low": 3, "scale": 41, "known": 16}),
    (64, 18, {"top": 1, "high": 2, "low": 3, "scale": 45, "known": 20}),
    (32, 10, {"top": 7, "high": 3, "low": 2, "scale": 23, "known": 10}),
    (16, 4, {"top": 3, "high": 2, "low": 1, "scale": 10, "known": 6}),
]


@pytest.mark.parametrize(("k", "scale", "attrs"), WINDOWS)
def test_a_power_of_two_is_as_exact_as_it_states_in_all_its_window(k: int, scale: int, attrs: dict[str, int]) -> None:
    rate = 2**RATE * 1.4426950408889634
    factor, bits = exponent({**attrs, "rate": round(rate)}, scale, k)
    least, unit = attrs["top"] - (1 << (attrs["high"] + attrs["low"])) + (1 << attrs["low"]), factor / 2.0**bits
    low, high = int(np.ceil(least / unit)), int(np.floor((attrs["top"] - 2.0 ** -attrs["known"]) / unit))
    x = np.concatenate(
        [RNG.integers(low, high + 1, 3000), np.linspace(low, high, 500).astype(np.int64), [low, high, 0]]
    )
    found = run_views("power2_sum3", x, config_of(k, scale), scale, **attrs, rate=round(rate))
    exact = np.exp2(x * unit)
    relative = 2.0 ** -(attrs["known"] + 1) + 4e-7
    absolute = 2.0 ** ((1 << attrs["low"]) - 1 + attrs["known"] - attrs["scale"])
    assert (np.abs(found - exact) <= relative * exact + absolute).all()
    true = np.exp(x * 2.0**-scale)
    assert np.abs(exact / true - 1).max() < np.abs(x * 2.0**-scale).max() * 2.0 ** (scale - bits) + 1e-9


def test_a_rounded_exponent_is_refused_where_nothing_is_left() -> None:
    t = Type((2,), "fixed", 18, 1 << 20)
    with pytest.raises(Exception, match="no fraction bits"):
        one_op("power2", [t], Config(), rate=1, top=1, high=2, low=3, scale=40, known=16)
