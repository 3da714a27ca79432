"""Random steps, element by element: linear, products, comparisons, selection, logic, conversions.

What goes in: a `Maker`. What comes out: one step more, or none where nothing fits. `UNARY`, `CONSTANT`, `BINARY`,
`COMPARE` and `LOGIC` have one line an operation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jmpc.testing.draw.forward_error import Noise, Op, Tracked, exact
from jmpc.testing.draw.maker import Maker, broadcasts

Array = np.ndarray
INT32 = 2.0**31
CONSTANTS = (0.5, 2.0, -1.25, 3, 0.1, -0.7, 0)


# --- errors


def same(n: Noise, out: Array, x: Tracked) -> Any:
    return x.error


def total(n: Noise, out: Array, *args: Tracked) -> Any:
    return sum(a.error for a in args)


def largest(n: Noise, out: Array, *args: Tracked) -> Any:
    """Of a maximum or a clip."""
    return np.maximum.reduce(np.broadcast_arrays(*(a.error for a in args)))


def product(n: Noise, out: Array, x: Tracked, y: Tracked) -> Any:
    error = np.abs(x.x.astype(float)) * y.error + np.abs(y.x.astype(float)) * x.error + x.error * y.error
    certain = ((x.error == 0) & (y.error == 0)) | is_zero(x) | is_zero(y)
    return error + (n.rounded(out, certain) if x.kind == "f" and y.kind == "f" else 0.0)


def is_zero(x: Tracked) -> Array:
    """Where nothing but zero can be: its products are zero too, and are rounded to it."""
    return (x.x == 0) & (x.error == 0)


def near(n: Noise, out: Array, x: Tracked, y: Tracked) -> Any:
    """Of a comparison: 1 where it may go either way."""
    doubt = n.doubt(x, y)
    return (doubt > 0) & (np.abs(x.x.astype(float) - y.x.astype(float)) <= doubt)


def either(n: Noise, out: Array, *bits: Tracked) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*(b.error for b in bits)))


def step_of(jump: Callable[[Array], Array]) -> Callable[..., Any]:
    """Of a function with jumps: how far apart the values about `x` are."""

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        doubt = n.doubt(x)
        return np.maximum(np.abs(jump(x.x + doubt) - out), np.abs(jump(x.x - doubt) - out))

    return error


def _power(exponent: int) -> Callable[..., Any]:
    def error(n: Noise, out: Array, x: Tracked) -> Any:
        size = np.abs(x.x.astype(float)) + x.error
        moved = size**exponent - np.abs(out.astype(float))
        cuts = sum(size**power for power in range(exponent - 1)) * n.ulp if x.kind == "f" else 0.0
        return moved + np.where((x.x == 0) & (x.error == 0), 0.0, cuts)

    return error


def _to_int(np_: Any, x: Array) -> Array:
    return np.where(np.abs(x) < INT32, x, 0).astype(np.int64)


def _cut(n: Noise, out: Array, x: Tracked) -> Any:
    """Of a number cut to an int32: such a step is not taken where it does not fit."""
    fits = (np.abs(x.x) + x.error < INT32).all()
    return step_of(np.trunc)(n, out, x) if fits else np.inf


# --- tables: name -> operation, and the kinds that it takes

UNARY: list[tuple[Op, str]] = [
    (Op("-{0}", lambda np_, x: -x, same), "fi"),
    (Op("jax.nn.relu({0})", lambda np_, x: jax.nn.relu(x), largest, lambda np_, x: np.maximum(x, 0)), "f"),
    (Op("jnp.abs({0})", lambda np_, x: np_.abs(x), largest), "fi"),
    (Op("jnp.sign({0})", lambda np_, x: np_.sign(x), step_of(np.sign)), "fi"),
    (Op("jnp.square({0})", lambda np_, x: np_.square(x), _power(2)), "fi"),
    (Op("{0} ** 3", lambda np_, x: x**3, _power(3)), "f"),
    (Op("jnp.clip({0}, -1, 2)", lambda np_, x: np_.clip(x, -1, 2), largest), "fi"),
    (Op("{0} + {0}", lambda np_, x: x + x, lambda n, out, x: 2 * x.error), "fi"),
    (Op("{0}.astype(jnp.int32)", lambda np_, x: x.astype(np_.int32), _cut, _to_int), "f"),
    (Op("{0}.astype(jnp.float32)", lambda np_, x: x.astype(np_.float32), same), "ib"),
    (Op("{0}.astype(jnp.int32)", lambda np_, x: x.astype(np_.int32), same), "b"),
    (Op("~{0}", lambda np_, x: ~x, same), "b"),
]


def times(c: float) -> Callable[..., Any]:
    def error(n: Noise, out: Array, x: Tracked) -> Any:
        inexact = np.abs(x.x.astype(float)) * n.encoded(c) + n.encoded(c) * x.error
        whole = x.kind == "i" and isinstance(c, int)
        return abs(c) * x.error + inexact + (0.0 if whole else n.rounded(out, x.error == 0))

    return error


def _over(c: float) -> Callable[..., Any]:
    """Times the reciprocal, which is encoded."""

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        inexact = x.error / abs(c) + n.encoded(1 / c) * (np.abs(x.x.astype(float)) + x.error)
        return np.where(is_zero(x), 0.0, inexact + n.ulp)

    return error


def constant_ops(c: float) -> list[tuple[Op, str]]:
    """A number beside a value; with an integer value, only an integer."""
    t = repr(c)
    near_c = exact(float(c))

    def plus(n: Noise, out: Array, x: Tracked) -> Any:
        return x.error + n.encoded(c)

    def beside(rule: Callable[..., Any]) -> Callable[..., Any]:
        return lambda n, out, x: rule(n, out, x, Tracked(near_c.x, n.encoded(c)))

    kinds = "fi" if isinstance(c, int) else "f"
    ops = [
        (Op(f"{{0}} + {t}", lambda np_, x: x + c, plus), kinds),
        (Op(f"{t} - {{0}}", lambda np_, x: c - x, plus), kinds),
        (Op(f"{{0}} * {t}", lambda np_, x: x * c, times(c), summing=True), kinds),
        (Op(f"jnp.maximum({{0}}, {t})", lambda np_, x: np_.maximum(x, c), beside(largest)), kinds),
        (Op(f"{{0}} < {t}", lambda np_, x: x < c, beside(near)), kinds),
        (Op(f"{{0}} >= {t}", lambda np_, x: x >= c, beside(near)), kinds),
        (Op(f"{{0}} == {t}", lambda np_, x: x == c, beside(near)), kinds),
    ]
    return ops + ([(Op(f"{{0}} / {t}", lambda np_, x: x / c, _over(c), summing=True), "f")] if c else [])


PRODUCT = Op("{0} * {1}", lambda np_, x, y: x * y, product, summing=True)
BINARY: list[Op] = [
    Op("{0} + {1}", lambda np_, x, y: x + y, total),
    Op("{0} - {1}", lambda np_, x, y: x - y, total),
    PRODUCT,
    Op("jnp.maximum({0}, {1})", lambda np_, x, y: np_.maximum(x, y), largest),
    Op("jnp.minimum({0}, {1})", lambda np_, x, y: np_.minimum(x, y), largest),
]
COMPARE: list[Op] = [
    Op("{0} < {1}", lambda np_, x, y: x < y, near),
    Op("{0} <= {1}", lambda np_, x, y: x <= y, near),
    Op("{0} > {1}", lambda np_, x, y: x > y, near),
    Op("{0} == {1}", lambda np_, x, y: x == y, near),
    Op("{0} != {1}", lambda np_, x, y: x != y, near),
]
LOGIC: list[Op] = [
    Op("{0} & {1}", lambda np_, x, y: operator.and_(x, y), either),
    Op("{0} | {1}", lambda np_, x, y: operator.or_(x, y), either),
    Op("{0} ^ {1}", lambda np_, x, y: operator.xor(x, y), either),
    Op("{0} == {1}", lambda np_, x, y: x == y, either),
]


def chosen(n: Noise, out: Array, bit: Tracked, x: Tracked, y: Tracked) -> Any:
    kept = np.where(bit.x, x.error, y.error)
    gap = np.abs(x.x.astype(float) - y.x.astype(float)) + x.error + y.error
    return np.where(bit.error > 0, gap, kept)


WHERE = Op("jnp.where({0}, {1}, {2})", lambda np_, b, x, y: np_.where(b, x, y), chosen)
OR_ZERO = Op(
    "jnp.where({0}, {1}, 0)",
    lambda np_, b, x: np_.where(b, x, 0),
    lambda n, out, b, x: chosen(n, out, b, x, exact(np.zeros(()))),
)


# --- steps


def unary(maker: Maker) -> None:
    n = maker.pick("fib")
    if n is not None:
        kind = maker.values[n].kind
        maker.add(maker.choose(*(op for op, kinds in UNARY if kind in kinds)), n)


def with_constant(maker: Maker) -> None:
    n = maker.pick("fi")
    if n is not None:
        kind = maker.values[n].kind
        wanted = [c for c in CONSTANTS if kind == "f" or isinstance(c, int)]
        ops = [op for op, kinds in constant_ops(maker.choose(*wanted)) if kind in kinds]
        maker.add(maker.choose(*ops), n)


def _two(maker: Maker, kinds: str) -> tuple[int, int] | None:
    x = maker.pick(kinds)
    if x is None:
        return None
    first = maker.values[x]
    y = maker.pick(first.kind, lambda value: broadcasts(first, value))
    return None if y is None else (x, y)


def _pair_step(kinds: str, table: list[Op]) -> Callable[[Maker], None]:
    def step(maker: Maker) -> None:
        two = _two(maker, kinds)
        if two is not None:
            maker.add(maker.choose(*table), *two)

    return step


binary = _pair_step("fi", BINARY)
comparison = _pair_step("fi", COMPARE)
logic = _pair_step("b", LOGIC)


def selection(maker: Maker) -> None:
    two = _two(maker, "fib")
    if two is None:
        return
    x, y = (maker.values[n] for n in two)
    bit = maker.pick("b", lambda b: broadcasts(b, x) and broadcasts(b, y) and broadcasts(exact(b.x + x.x), y))
    if bit is None:
        return
    if x.kind != "b" and maker.choose(False, True):
        maker.add(OR_ZERO, bit, two[0])
    else:
        maker.add(WHERE, bit, *two)
