"""Random steps at the end of the number format: products that just fit it, and constants that do not.

What goes in: a `Maker`. What comes out: some steps more, or none where nothing fits: values are multiplied by powers of
two until their product comes to the last binades of the format. Two such products are chosen between, or compared: what
a compiler makes of a choice, a difference say, must not need more room than the products. A constant beyond the format
is a factor where the product is in it again, and a mask where what it stands for is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st

from jmpc.testing.draw.forward_error import Noise, Op, Tracked, exact
from jmpc.testing.draw.maker import Maker, broadcasts
from jmpc.testing.draw.steps.elementwise import PRODUCT, chosen, largest, near, times

Array = np.ndarray
Shaped = Callable[[Tracked], bool]
BINADES = 3  # how far below the end of the format the largest element stays at times


def scaled(maker: Maker, n: int, size: float, sign: float = 1.0) -> int | None:
    """A value times a power of two, so that its largest element comes below `size`, to half of it at least."""
    power = math.ceil(math.log2(size / maker.values[n].largest)) - 1
    factor = sign * 2.0**power
    if factor == 1:
        return n
    op = Op(f"{{0}} * {factor!r}", lambda np_, x: x * factor, times(factor), terms=0)
    return maker.add(op, n, at_edge=True)


def _with(values: Sequence[Tracked]) -> Shaped:
    return lambda v: all(broadcasts(v, other) for other in values)


def not_zero(v: Tracked) -> bool:
    return v.largest > 0


def factors(maker: Maker, beside: Sequence[Tracked]) -> tuple[int, int] | None:
    """Two values whose product comes close to the end of the number format. beside: what they broadcast with."""
    fits, cap = _with(beside), maker.cap
    x = maker.pick("f", lambda v: 0 < v.largest <= cap and fits(v))
    if x is None:
        return None
    one = scaled(maker, x, 2.0 ** maker.draw(st.integers(1, maker.config.value_bits - 1)))
    y = maker.pick("f", lambda v: 0 < v.largest <= cap and fits(v) and broadcasts(maker.values[x], v))
    if one is None or y is None:
        return None
    together = float(np.abs(maker.values[one].x * maker.values[y].x).max(initial=0))
    if not together:
        return None
    end = maker.noise.most * maker.choose(1.0, 1.0, 0.5, 2.0**-BINADES)
    two = scaled(maker, y, end / together * maker.values[y].largest, maker.choose(1.0, -1.0))
    return None if two is None else (one, two)


def _products(n: Noise, args: Sequence[Tracked]) -> list[Tracked]:
    return PRODUCT.track(n, *args[:2]) + PRODUCT.track(n, *args[2:4])


def _of_products(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The error of what is made of x y and z t; the rule takes these, and the bit if there is one first."""
    return lambda n, out, *args: rule(n, out, *args[4:], *_products(n, args))


def _either_product(np_: Any, x: Any, y: Any, z: Any, t: Any, bit: Any) -> Any:
    return np_.where(bit, x * y, z * t)


def _plain(text: str, run: Callable[..., Any], rule: Callable[..., Any]) -> Op:
    return Op(text, run, _of_products(rule))


# Of four factors.
BETWEEN: list[Op] = [
    _plain("jnp.maximum({0} * {1}, {2} * {3})", lambda np_, x, y, z, t: np_.maximum(x * y, z * t), largest),
    _plain("jnp.minimum({0} * {1}, {2} * {3})", lambda np_, x, y, z, t: np_.minimum(x * y, z * t), largest),
    _plain("{0} * {1} < {2} * {3}", lambda np_, x, y, z, t: x * y < z * t, near),
    _plain("{0} * {1} == {2} * {3}", lambda np_, x, y, z, t: x * y == z * t, near),
]
# Of four factors and a bit of a shape that broadcasts with theirs.
BY_BIT: list[Op] = [Op("jnp.where({4}, {0} * {1}, {2} * {3})", _either_product, _of_products(chosen))]
# Of four factors and a bit without a shape; both products have the shape of the result.
BY_SCALAR: list[Op] = [
    Op(
        "jax.lax.cond({4}, lambda: {0} * {1}, lambda: {2} * {3})",
        lambda np_, x, y, z, t, bit: jax.lax.cond(bit, lambda: x * y, lambda: z * t),
        _of_products(chosen),
        _either_product,
    ),
    Op(
        "jax.lax.switch({4}.astype(jnp.int32), [lambda: {2} * {3}, lambda: {0} * {1}])",
        lambda np_, x, y, z, t, bit: jax.lax.switch(bit.astype(np_.int32), [lambda: z * t, lambda: x * y]),
        _of_products(chosen),
        _either_product,
    ),
]


ANY = Op("jnp.any({0})", lambda np_, bit: np_.any(bit), lambda n, out, bit: bit.error.max(initial=0))


def _bit(maker: Maker, where: Shaped) -> int | None:
    """A bool, made of a comparison if there is none."""
    found = maker.pick("b", where)
    x = maker.pick("f", where) if found is None else None
    if x is None:
        return found
    above = Op("{0} > 0.5", lambda np_, x: x > 0.5, lambda n, out, x: near(n, out, x, exact(0.5)))
    return maker.add(above, x)


def choice(maker: Maker) -> None:
    """Between two products that just fit the format."""
    one = factors(maker, ())
    if one is None:
        return
    beside = [maker.values[n] for n in one]
    two = factors(maker, beside)
    if two is None:
        return
    four = (*one, *two)
    shapes = [maker.values[n].shape for n in four]
    same = np.broadcast_shapes(*shapes[:2]) == np.broadcast_shapes(*shapes[2:])
    op = maker.choose(*BY_BIT, *BY_BIT, *(BY_SCALAR if same else ()), *BETWEEN)
    if op in BETWEEN:
        maker.add(op, *four, at_edge=True)
        return
    bit = _bit(maker, _with([maker.values[n] for n in four]))
    if op in BY_SCALAR and bit is not None and maker.values[bit].shape:
        bit = maker.add(ANY, bit)
    if bit is not None:
        maker.add(op, *four, bit, at_edge=True)


# --- constants beyond the format

LARGE = (1e5, 1e8, -3e9, 2.0**30, 1e12)
MASK = -1e9


def by_large_constant(maker: Maker) -> None:
    """A product with a constant beyond the format that is in it."""
    x = maker.pick("f", lambda v: 0 < v.largest <= maker.cap)
    beyond = [c for c in LARGE if abs(c) > maker.noise.most]
    if x is None or not beyond:
        return
    c = maker.choose(*beyond)
    small = scaled(maker, x, maker.noise.most / abs(c) * 2.0 ** -maker.draw(st.integers(0, 2 * BINADES)))
    if small is not None:
        number = float(np.float32(c))
        op = Op(f"{{0}} * {c!r}", lambda np_, x: x * c, times(number), lambda np_, x: x * number, summing=True)
        maker.add(op, small, at_edge=True)


def _softmax(np_: Any, x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _masked(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The error of what is made of x where a bit is set, and of the mask elsewhere."""

    def error(n: Noise, out: Array, bit: Tracked, x: Tracked) -> Any:
        held = WITH_MASK.track(n, bit, x)[0]
        return rule(n, out, Tracked(held.x, np.where(np.broadcast_to(bit.x, held.shape), held.error, 0.0)))

    return error


def _softmax_error(n: Noise, out: Array, x: Tracked) -> Any:
    return np.broadcast_to(2 * x.error.max(-1, keepdims=True) + 3e-4, out.shape)


WITH_MASK = Op(
    f"jnp.where({{0}}, {{1}}, {MASK!r})",
    lambda np_, bit, x: np_.where(bit, x, MASK),
    lambda n, out, bit, x: chosen(n, out, bit, x, exact(MASK)),
)
# Of a bit and a value of whose shapes the second is that of both together.
MASKED: list[Op] = [
    Op(
        f"jnp.maximum(jnp.where({{0}}, {{1}}, {MASK!r}), -4.0)",
        lambda np_, bit, x: np_.maximum(np_.where(bit, x, MASK), -4.0),
        _masked(lambda n, out, x: x.error),
    ),
    Op(
        f"jnp.where({{0}}, {{1}}, {MASK!r}) >= -1.0",
        lambda np_, bit, x: np_.where(bit, x, MASK) >= -1.0,
        _masked(lambda n, out, x: near(n, out, x, exact(-1.0))),
    ),
]
ALONG_AXIS: list[Op] = [
    Op(
        f"jax.nn.softmax(jnp.where({{0}}, {{1}}, {MASK!r}), -1)",
        lambda np_, bit, x: jax.nn.softmax(np_.where(bit, x, MASK), -1),
        _masked(_softmax_error),
        host=lambda np_, bit, x: _softmax(np_, np_.where(bit, x, MASK)),
    ),
    Op(
        f"jax.nn.softmax({{1}} + jnp.where({{0}}, 0.0, {MASK!r}), -1)",
        lambda np_, bit, x: jax.nn.softmax(x + np_.where(bit, 0.0, MASK), -1),
        _masked(_softmax_error),
        host=lambda np_, bit, x: _softmax(np_, np_.where(bit, x, MASK)),
    ),
    Op(
        f"jnp.maximum(jnp.max(jnp.where({{0}}, {{1}}, {MASK!r}), -1), -4.0)",
        lambda np_, bit, x: np_.maximum(np_.max(np_.where(bit, x, MASK), -1), -4.0),
        _masked(lambda n, out, x: x.error.max(-1)),
    ),
]


def mask(maker: Maker) -> None:
    """A choice between a value and a constant beyond the format, of which no result depends on how far beyond."""
    x = maker.pick("f", lambda v: v.x.size > 0 and v.largest <= maker.cap)
    if x is None:
        return
    first = maker.values[x]
    fits = lambda v: broadcasts(v, first) and np.broadcast_shapes(v.shape, first.shape) == first.shape  # noqa: E731
    bit = _bit(maker, fits)
    if bit is None or maker.values[bit].error.any():
        return
    rows = bool(first.shape) and maker.values[bit].x.any(-1).all() if maker.values[bit].shape == first.shape else False
    maker.add(maker.choose(*MASKED, *(ALONG_AXIS if rows else ())), bit, x)
