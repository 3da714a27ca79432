"""Random steps on integers, which wrap as int32 does, and from real numbers to whole ones.

What goes in: a `Maker`. What comes out: one step more, or none where nothing fits. One line an operation.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jmpc.testing.draw.forward_error import Noise, Op, Tracked
from jmpc.testing.draw.maker import Maker, broadcasts
from jmpc.testing.draw.steps.elementwise import step_of

Array = np.ndarray


def certain(n: Noise, out: Array, *args: Tracked) -> Any:
    """Nothing is known of a result whose operands are in doubt: such a step is not taken."""
    doubt = np.broadcast_arrays(*(a.error for a in args))
    return np.where(np.maximum.reduce(doubt) > 0, np.inf, 0.0)


def _shift_right_logical(x: Array, by: int) -> Array:
    return (x & 0xFFFFFFFF) >> by


ONE: list[Op] = [
    Op("~{0}", lambda np_, x: ~x, lambda n, out, x: x.error),
    Op("{0} << 3", lambda np_, x: x << 3, certain),
    Op("{0} << 31", lambda np_, x: x << 31, certain),
    Op("{0} >> 1", lambda np_, x: x >> 1, certain),
    Op("{0} >> 31", lambda np_, x: x >> 31, certain),
    Op("{0} & 7", lambda np_, x: x & 7, certain),
    Op(
        "jax.lax.shift_right_logical({0}, 5)",
        lambda np_, x: jax.lax.shift_right_logical(x, 5),
        certain,
        lambda np_, x: _shift_right_logical(x, 5),
    ),
    Op("{0} // 3", lambda np_, x: x // 3, certain),
    Op("{0} % 5", lambda np_, x: x % 5, certain),
    Op("{0} // -4", lambda np_, x: x // -4, certain),
]
TWO: list[Op] = [
    Op("{0} & {1}", lambda np_, x, y: x & y, certain),
    Op("{0} | {1}", lambda np_, x, y: x | y, certain),
    Op("{0} ^ {1}", lambda np_, x, y: x ^ y, certain),
]


def _to_whole(name: str) -> Op:
    return Op(f"jnp.{name}({{0}})", lambda np_, x: getattr(np_, name)(x), step_of(getattr(np, name)))


ROUNDING: list[Op] = [_to_whole(name) for name in ("floor", "ceil", "round", "trunc")]


def integer(maker: Maker) -> None:
    x = maker.pick("i")
    if x is None:
        return
    op = maker.choose(*ONE, *TWO)
    if op in ONE:
        maker.add(op, x)
        return
    first = maker.values[x]
    y = maker.pick("i", lambda value: broadcasts(first, value))
    if y is not None:
        maker.add(op, x, y)


def rounding(maker: Maker) -> None:
    x = maker.pick("f")
    if x is not None:
        maker.add(maker.choose(*ROUNDING), x)
