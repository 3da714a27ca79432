"""Random steps on products that are exactly zero: rounded to the number format they are zero, for all their readers.

What goes in: a `Maker`. What comes out: a product with a zero in it, and mostly one step more that asks for its sign.
Zero times anything has no error, so nothing but the right answer passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jmpc.testing.draw.forward_error import Noise, Op, Tracked, exact
from jmpc.testing.draw.maker import Maker, broadcasts
from jmpc.testing.draw.steps.elementwise import PRODUCT, near, step_of, times

Array = np.ndarray
FACTORS = (0.1, -0.7, 0.001, -1.3)


def _near_zero(n: Noise, out: Array, x: Tracked) -> Any:
    return near(n, out, x, exact(0.0))


def _jump(n: Noise, out: Array, x: Tracked) -> Any:
    """Of a choice between 2 and -1."""
    return 3.0 * _near_zero(n, out, x)


def _one_at_most(n: Noise, out: Array, x: Tracked) -> Any:
    return 1.0 * _near_zero(n, out, x)


READERS: list[Op] = [
    Op("jnp.sign({0})", lambda np_, x: np_.sign(x), step_of(np.sign)),
    Op("{0} >= 0", lambda np_, x: x >= 0, _near_zero),
    Op("{0} < 0", lambda np_, x: x < 0, _near_zero),
    Op("{0} == 0", lambda np_, x: x == 0, _near_zero),
    Op("({0} < 0) & ({0} == 0)", lambda np_, x: (x < 0) & (x == 0), _near_zero),
    Op("jnp.where({0} >= 0, 2.0, -1.0)", lambda np_, x: np_.where(x >= 0, 2.0, -1.0), _jump),
    Op("jnp.heaviside({0}, 0.5)", lambda np_, x: np_.heaviside(x, 0.5), _one_at_most),
]


def has_zero(v: Tracked) -> bool:
    return bool(((v.x == 0) & (v.error == 0)).any())


def zero_product(maker: Maker) -> None:
    x = maker.pick("f", has_zero)
    if x is None:
        return
    first = maker.values[x]
    others = maker.numbers("f", lambda v: broadcasts(v, first) and v.largest <= maker.cap)
    c = maker.choose(*FACTORS)
    op, args = Op(f"{{0}} * {c!r}", lambda np_, x: x * c, times(c), summing=True), (x,)
    if others and maker.choose(False, True):
        op, args = PRODUCT, (x, maker.choose(*others[::-1]))
    made, reader = maker.add(op, *args), maker.choose(None, *READERS)
    if made is not None and reader is not None:
        maker.add(reader, made)
