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
from jmpc.testing.draw.forward_error import Noise, Op, Tracked
from jmpc.testing.draw.maker import Maker

Array = np.ndarray
FORMAT = (Config().k, Config().f)
MOST_ELEMENTS = 24


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


ULP16 = 2.0**-16
TINY, LARGE = 2.0**-10, 2.0**20
WIDE = 2.0**10
F = Function
FUNCTIONS: tuple[Function, ...] = (
    F("jnp.exp({0})", jnp.exp, -20.0, 5.5, ULP16, 1e-4, larger=True),
    F("jnp.expm1({0})", jnp.expm1, -20.0, 5.5, ULP16, 1e-4),
    F("jnp.log({0})", jnp.log, TINY, LARGE, 1e-4),
    F("jnp.log2({0})", jnp.log2, TINY, LARGE, 2e-4),
    F("jnp.log1p({0})", jnp.log1p, TINY, LARGE, 1e-4),
    F("1 / {0}", lambda x: 1 / x, 2.0**-8, 2.0**16, ULP16, 1e-4),
    F("-3 / {0}", lambda x: -3 / x, -(2.0**16), -(2.0**-6), 3 * ULP16, 1e-4),
    F("jnp.sqrt({0})", jnp.sqrt, TINY, LARGE, ULP16, 1e-4),
    F("jax.lax.rsqrt({0})", jax.lax.rsqrt, TINY, LARGE, ULP16, 1e-4),
    F("jnp.cbrt({0})", jnp.cbrt, TINY, LARGE, ULP16, 1e-4),
    F("jax.nn.sigmoid({0})", jax.nn.sigmoid, -WIDE, WIDE, 1e-4),
    F("jnp.tanh({0})", jnp.tanh, -WIDE, WIDE, 1e-4),
    F("jax.scipy.special.erf({0})", jax.scipy.special.erf, -WIDE, WIDE, 1e-4),
    F("jax.nn.gelu({0}, approximate=False)", lambda x: jax.nn.gelu(x, approximate=False), -WIDE, WIDE, 3e-4),
    F("jax.nn.silu({0})", jax.nn.silu, -WIDE, WIDE, 3e-4),
    F("jax.nn.softplus({0})", jax.nn.softplus, -WIDE, WIDE, 3e-4),
    F("jax.nn.elu({0})", jax.nn.elu, -WIDE, WIDE, 3e-4),
    F("jnp.sin({0})", jnp.sin, -WIDE, WIDE, 1e-4),
    F("jnp.cos({0})", jnp.cos, -WIDE, WIDE, 1e-4),
)


# Along the last axis: name, function, stated absolute error. None moves by more than twice what its argument moves by.
AXIS_FUNCTIONS: tuple[tuple[str, Callable[[Any], Any], float], ...] = (
    ("jax.nn.softmax({0}, -1)", lambda x: jax.nn.softmax(x, -1), 3e-4),
    ("jax.nn.log_softmax({0}, -1)", lambda x: jax.nn.log_softmax(x, -1), 1e-3),
    ("jax.nn.logsumexp({0}, -1)", lambda x: jax.nn.logsumexp(x, -1), 1e-3),
)


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
    )


def along_axis(text: str, run: Callable[[Any], Any], absolute: float) -> Op:
    def host(numpy: Any, x: Array) -> Array:
        with jax.enable_x64(True):
            return np.asarray(run(jnp.asarray(x, jnp.float64)))

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        worst = x.error.max(-1, keepdims=out.ndim == x.x.ndim)
        return np.broadcast_to(2 * worst + absolute + n.ulp, out.shape)

    return Op(text, lambda numpy, x: run(x), error, host, terms=8)


def nonlinear(maker: Maker) -> None:
    if (maker.config.k, maker.config.f) != FORMAT:
        return
    n = maker.pick("f", lambda v: v.x.size <= MOST_ELEMENTS)
    if n is not None:
        held = maker.values[n]
        axis = AXIS_FUNCTIONS if held.shape and held.x.size and held.largest <= WIDE else ()
        op = maker.choose(*FUNCTIONS, *axis)
        maker.add(operation(op) if isinstance(op, Function) else along_axis(*op), n)
