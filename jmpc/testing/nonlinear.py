"""Functions that are approximated: name, expression, domain, stated error. One line a function.

What goes in: a `Maker`. What comes out: one step more: a function of a value that is clipped to its domain first. The
errors are those that the documentation states for k = 64, f = 18; other formats draw no such function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc.config import Config
from jmpc.testing.maker import Maker
from jmpc.testing.tracked import Noise, Op, Tracked

Array = np.ndarray
FORMAT = (Config().k, Config().f)


@dataclass(frozen=True)
class Function:
    """text: the expression, with {0}. low, high: the domain. A right answer lies within absolute + relative * |result|
    of the exact one; with `larger`, within the larger of the two."""

    text: str
    run: Callable[[Any], Any]
    low: float
    high: float
    absolute: float
    relative: float = 0.0
    larger: bool = False

    def stated(self, out: Array) -> Array:
        size = np.abs(out) * self.relative
        return np.maximum(size, self.absolute) if self.larger else size + self.absolute


FUNCTIONS: tuple[Function, ...] = ()


def _exactly(function: Function, x: Array) -> Array:
    """In float64, on the domain."""
    with jax.enable_x64(True):
        return np.asarray(function.run(jnp.clip(jnp.asarray(x, jnp.float64), function.low, function.high)))


def operation(function: Function) -> Op:
    low, high = function.low, function.high

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        around = x.error + n.ulp  # the ends of the domain are encoded too
        moved = np.maximum.reduce([np.abs(_exactly(function, x.x + sign * around) - out) for sign in (1, -1)])
        return 1.01 * moved + function.stated(out)

    return Op(
        function.text.format(f"jnp.clip({{0}}, {low!r}, {high!r})"),
        lambda numpy, x: function.run(numpy.clip(x, low, high)),
        error,
        host=lambda numpy, x: _exactly(function, x),
        cuts=True,
    )


def nonlinear(maker: Maker) -> None:
    if (maker.config.k, maker.config.f) != FORMAT or not FUNCTIONS:
        return
    n = maker.pick("f")
    if n is not None:
        maker.add(operation(maker.choose(*FUNCTIONS)), n)
