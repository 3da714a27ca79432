"""Random steps with squares inside: statistics of many numbers, and roots of squares of small ones.

What goes in: a `Maker`. What comes out: a value scaled to a size, and one function of it. A long axis is made of few
values, repeated, so that it costs little; what is squared and summed on the way leaves the number format, or needs more
fraction bits than it has, while the result is a number of the format as any other. Errors are those that the
documentation states for k = 64, f = 18; other formats draw no such function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.testing.draw.forward_error import Noise, Op, Tracked
from jmpc.testing.draw.maker import Maker
from jmpc.testing.draw.steps.approximated import FORMAT
from jmpc.testing.draw.steps.edge import scaled

Array = np.ndarray
RELATIVE = 1e-3
# Of a root of squares whose sum leaves the ring: copies of one secret are cut alike, and no error makes up for another.
OF_EQUAL = 2.0**-5
FLOAT_DRIFT = 2.0**-18  # of float32 sums and differences, relative to the largest number among them
LENGTHS = (1000, 4096, 5000, 1 << 15, 1 << 16)
MOST_TERMS = 1 << 17


# --- long axes


@dataclass(frozen=True)
class Statistic:
    """text: with {0} for the long array. most: log2 of the largest element, at most; root: as much less for a sum of
    2^n terms as n is multiplied by. moved: how far it moves for each unit by which elements do, by the result, the
    number of terms and the elements. of_largest: its error is relative to the elements, not to itself. relative: that
    error."""

    text: str
    run: Callable[[Any, Any], Any]
    most: float
    moved: Callable[[Array, int, Array], Any]
    root: float = 0.0
    of_largest: bool = False
    relative: float = RELATIVE


STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "jnp.mean({0}, 0)",
        lambda np_, x: np_.mean(x, 0),
        25,
        lambda out, count, x: 1.0,
        of_largest=True,
    ),
    Statistic("jnp.std({0}, 0)", lambda np_, x: np_.std(x, 0), 22, lambda out, count, x: 2.0, relative=OF_EQUAL),
    Statistic("jnp.var({0}, 0)", lambda np_, x: np_.var(x, 0), 11, lambda out, count, x: 4 * np.sqrt(out) + 1),
    Statistic(
        "jnp.linalg.norm({0}, axis=0)",
        lambda np_, x: np_.linalg.norm(x, axis=0),
        25,
        lambda out, count, x: np.sqrt(count),
        root=0.5,
        relative=OF_EQUAL,
    ),
    Statistic(
        "jnp.sqrt(jnp.mean({0} * {0}, 0))",
        lambda np_, x: np_.sqrt(np_.mean(x * x, 0)),
        12,
        lambda out, count, x: 1.0,
        relative=OF_EQUAL,
    ),
)


def tiled(count: int) -> tuple[str, Callable[..., Any]]:
    return f"jnp.tile({{0}}.reshape(-1), {count})", lambda np_, x: np_.tile(x.reshape(-1), count)


def turned(count: int) -> tuple[str, Callable[..., Any]]:
    """Each element and its negative in turn, down a column of its own."""
    text = f"({{0}}.reshape(-1) * (1.0 - jnp.arange({count}) % 2 * 2.0)[:, None])"
    return text, lambda np_, x: x.reshape(-1) * (1.0 - np_.arange(count) % 2 * 2.0).astype(x.dtype)[:, None]


def statistic(maker: Maker) -> None:
    """Of a long axis, and of numbers from some to near the end of what the result allows."""
    x = maker.pick("f", lambda v: 0 < v.largest <= maker.cap and v.x.size <= 8)
    if x is None or not in_format(maker):
        return
    size = maker.values[x].x.size
    long, count = maker.choose(tiled, turned), maker.choose(*(n for n in LENGTHS if n * size <= MOST_TERMS))
    nearness, first = maker.draw(st.integers(0, 8)), maker.draw(st.integers(0, len(STATISTICS) - 1))
    text, make = long(count)
    for which in STATISTICS[first:] + STATISTICS[:first]:  # until one has an error that fits
        n = scaled(maker, x, 2.0 ** (which.most - which.root * np.log2(count * size) - nearness))
        if n is not None and maker.add(long_axis(which, text, make, count), n, at_edge=True) is not None:
            return


def long_axis(which: Statistic, text: str, make: Callable[..., Any], count: int) -> Op:
    def error(n: Noise, out: Array, x: Tracked) -> Any:
        moves = x.error.max() + FLOAT_DRIFT * x.largest
        size = x.largest if which.of_largest else np.abs(out)
        return which.moved(out, count * x.x.size, x.x) * moves + which.relative * size + 4 * n.ulp

    def run(np_: Any, x: Any) -> Any:
        return which.run(np_, make(np_, x))

    return Op(which.text.format(text), run, error)


def in_format(maker: Maker) -> bool:
    return (maker.config.k, maker.config.f) == FORMAT


# --- small numbers

SIZES = (1e-4, 3e-4, 1e-3, 1e-2, 0.1, 1, 10, 100)


def _length(np_: Any, x: Any) -> Any:
    return np_.linalg.norm(x.reshape(-1))


def _root_of_average(np_: Any, g: Any, v: Any, b: float) -> Any:
    return np_.sqrt(b * np_.square(v) + (1 - b) * np_.square(g))


def _beside(out: Array) -> Any:
    return RELATIVE * np.abs(out)


def _of_largest(out: Array) -> Any:
    return RELATIVE * np.abs(out).max(initial=0)


def _root(text: str, run: Callable[..., Any], slack: Callable[[Array], Any] = _beside) -> Op:
    return Op(text, run, lambda n, out, *args: slack(out) + 4 * n.ulp)


# Of one value: its squares, summed and not, under a root; and a quotient by that.
ROOTS: tuple[Op, ...] = (
    _root("jnp.sqrt(jnp.mean({0} * {0}))", lambda np_, x: np_.sqrt(np_.mean(x * x))),
    _root("jnp.linalg.norm({0}.reshape(-1))", _length),
    _root("{0} / jnp.linalg.norm({0}.reshape(-1))", lambda np_, x: x / _length(np_, x), _of_largest),
    _root("jnp.sqrt(jnp.square({0}))", lambda np_, x: np_.sqrt(np_.square(x))),
    _root("jnp.sqrt(0.1 * {0} * {0})", lambda np_, x: np_.sqrt(0.1 * x * x)),
)
# Of two values of one shape: a moving average of squares.
AVERAGES: tuple[Op, ...] = (
    _root(
        "jnp.sqrt(0.9 * jnp.square({1}) + 0.1 * jnp.square({0}))",
        lambda np_, g, v: _root_of_average(np_, g, v, 0.9),
    ),
    _root(
        "jnp.sqrt(0.75 * jnp.square({1}) + 0.25 * {0} * {0})",
        lambda np_, g, v: _root_of_average(np_, g, v, 0.75),
    ),
    _root(
        "{0} / (jnp.sqrt(0.9 * jnp.square({1}) + 0.1 * jnp.square({0})) + 1e-8)",
        lambda np_, g, v: g / (_root_of_average(np_, g, v, 0.9) + 1e-8),
        _of_largest,
    ),
)


def _is_small(v: Tracked) -> bool:
    """Exact, and no element but zero so small that a root of its square is less than the format holds."""
    size = np.abs(v.x)
    return not v.error.any() and 0 < v.largest <= 200 and bool(((size == 0) | (size >= 0.9 * SIZES[0])).all())


def root_of_squares(maker: Maker) -> None:
    """Of an exact value that was scaled to a size from 1e-4 to 1e2."""
    x = maker.pick("f", lambda v: 0 < v.largest <= maker.cap and not v.error.any())
    if x is None or not in_format(maker):
        return
    first = maker.draw(st.integers(0, len(SIZES) - 1))
    for size in SIZES[first:] + SIZES[:first]:  # until no element is too small for its square
        n = scaled(maker, x, 2 * size)
        if n is not None and _is_small(maker.values[n]) and _add_root(maker, n):
            return


def _add_root(maker: Maker, n: int) -> bool:
    op, shape = maker.choose(*ROOTS, *AVERAGES), maker.values[n].shape
    if op in ROOTS:
        return maker.add(op, n) is not None
    v = maker.pick("f", lambda v: v.shape == shape and _is_small(v))
    return maker.add(op, n, n if v is None else v) is not None
