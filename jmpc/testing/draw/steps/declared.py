"""Random steps with declared bounds: of any value, and of the numbers of a long axis whose squares need not fit.

What goes in: a `Maker`. What comes out: the same value, declared to be as large as it is or larger; or a root, or a
quotient by one, of squares of values that were declared to be large. A compiler may refuse what does not fit by such a
bound, and must not get it wrong. Errors are those of `squares.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.frontend.words import bounded
from jmpc.testing.draw.forward_error import Op
from jmpc.testing.draw.maker import Maker
from jmpc.testing.draw.steps.edge import scaled
from jmpc.testing.draw.steps.elementwise import UNARY
from jmpc.testing.draw.steps.squares import (
    LENGTHS,
    OF_EQUAL,
    STATISTICS,
    Statistic,
    in_format,
    long_axis,
    tiled,
    turned,
)
from jmpc.testing.draw.steps.zero import READERS

Array = np.ndarray
CUT_AT_ZERO = tuple(op for op, _ in UNARY if op.text in ("jax.nn.relu({0})", "jnp.abs({0})"))
LARGEST = 22  # log2, of what is squared


def bound_of(most: float) -> Op:
    """Declares its operand to be at most so large."""

    def run(np_: Any, x: Any) -> Any:
        return x if np_ is np else bounded(x, most)

    return Op(f"jmpc.bounded({{0}}, {most!r})", run, lambda n, out, x: x.error)


def declared(maker: Maker) -> None:
    """What a value is at most, by a power of two, as tight as it can be or up to the end of the number format; and
    mostly one step that asks for its sign, which is taken from before what rounded it."""
    n = maker.pick("f", lambda v: v.largest > 0)
    if n is None:
        return
    value = maker.values[n]
    tight = math.floor(math.log2(value.largest + float(value.error.max(initial=0)))) + 1
    loose = maker.draw(st.integers(0, max(0, maker.config.value_bits - tight)))
    made = maker.add(bound_of(2.0 ** min(tight + loose, maker.config.value_bits)), n, at_edge=True)
    reader = maker.choose(None, *READERS, *CUT_AT_ZERO)
    if made is not None and reader is not None:
        maker.add(reader, made, at_edge=True)


# --- squares of what is declared to be large


def _standardized(np_: Any, x: Any) -> Any:
    mean = x.mean(0)
    return ((x - mean) / np_.sqrt(np_.square(x).mean(0) - np_.square(mean) + 1e-5))[:1]


def _quotient_moves(out: Array, count: int, x: Array) -> Any:
    return 2 * (1 + np.abs(out)) / np.abs(x).min(initial=np.inf)


def _over_root(np_: Any, x: Any) -> Any:
    return (x / np_.sqrt(np_.square(x).mean(0)))[:1]


OF_DECLARED: tuple[Statistic, ...] = (
    *(s for s in STATISTICS if "sqrt" in s.text or "std" in s.text or "norm" in s.text),
    Statistic(
        "(lambda x: jnp.sqrt(jnp.mean(x * x, 0) - 0.5 * jnp.square(jnp.mean(x, 0))))({0})",
        lambda np_, x: np_.sqrt(np_.mean(x * x, 0) - 0.5 * np_.square(np_.mean(x, 0))),
        LARGEST,
        lambda out, count, x: 3.0,
        relative=OF_EQUAL,
    ),
    Statistic(
        "(lambda x: jnp.sqrt(jnp.mean(x * x, 0) + jnp.abs(jnp.mean(x, 0))))({0})",
        lambda np_, x: np_.sqrt(np_.mean(x * x, 0) + np_.abs(np_.mean(x, 0))),
        LARGEST,
        lambda out, count, x: 3.0,
        relative=OF_EQUAL,
    ),
    Statistic(
        "(lambda x: (x / jnp.sqrt(jnp.mean(jnp.square(x), 0)))[:1])({0})",
        _over_root,
        LARGEST,
        _quotient_moves,
        relative=OF_EQUAL,
    ),
    Statistic(
        "(lambda x: ((x - x.mean(0)) / jnp.sqrt(jnp.square(x).mean(0) - jnp.square(x.mean(0)) + 1e-5))[:1])({0})",
        _standardized,
        LARGEST,
        _quotient_moves,
        relative=OF_EQUAL,
    ),
)


def of_declared(maker: Maker) -> None:
    """A statistic of a long axis, of numbers each with its negative where a mean is taken from them."""
    x = maker.pick("f", lambda v: 0 < v.largest <= maker.cap and v.x.size <= 8)
    if x is None or not in_format(maker):
        return
    which, count = maker.choose(*OF_DECLARED), maker.choose(*LENGTHS[:2])
    long = turned if "x.mean(0)" in which.text else maker.choose(tiled, turned)
    size = LARGEST - which.root * np.log2(count * maker.values[x].x.size) - maker.draw(st.integers(0, 14))
    n = scaled(maker, x, 2.0**size)
    if n is None or ("/" in which.text and not maker.values[n].x.all()):
        return
    text, make = long(count)
    most = 2.0 ** (math.floor(math.log2(maker.values[n].largest)) + 1)
    declare = bound_of(most)
    maker.add(
        long_axis(which, declare.text.format(text), lambda np_, v: declare.run(np_, make(np_, v)), count),
        n,
        at_edge=True,
    )
