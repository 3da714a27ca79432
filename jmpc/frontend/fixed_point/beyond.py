"""Constants beyond the number format: which they are, and the product with one.

What goes in: a secret and a constant factor. What comes out: their product, right wherever the format holds it, and a
number near the end of the format where it does not. Not here: constants that are compared, chosen or added, which
saturate (`Walker.constant`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.errors import RangeError
from jmpc.frontend.kinds import is_beyond, most
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, INFERRED


def refuse_sum(w: Walker, x: Any) -> None:
    """Raise RangeError for a constant with which no sum is in the format, whatever it is added to."""
    if w.inside or not is_beyond(x, w.config):
        return
    number = float(np.abs(np.asarray(x.concrete, np.float64)).min(initial=np.inf))
    if number > 2 * most(w.config):
        raise RangeError(
            f"a constant of {number:.3g} is added, and no sum with it is in the number format",
            where=w.build.loc,
            why=f"numbers must stay below {most(w.config):.3g} in magnitude",
            todo=["for a mask, choose instead: jnp.where(mask, x, -1e9)", "or scale the computation down"],
        )


def times(w: Walker, op: str, x: Value, factor: Known) -> Value:
    """x times a constant of which some elements are beyond the format.

    A whole factor needs no fraction bits, so the product is exact; x is cut first to where the product leaves the
    format, so that what is beyond is at least half of its end."""
    c = np.asarray(factor.concrete, np.float64)
    if not np.isfinite(c).all():
        raise RangeError(
            f"a factor of shape {factor.shape} holds NaN or infinity",
            where=w.build.loc,
            why="a ring has neither, and the product would be an arbitrary number",
            todo="choose before what makes it, a division by zero or its like: x / jnp.where(y == 0, 1, y)",
        )
    if op != "mul":
        raise RangeError(
            f"a factor of shape {factor.shape} holds numbers beyond the number format",
            where=w.build.loc,
            why=f"numbers must stay below {most(w.config):.3g} in magnitude",
            todo="scale the factor down, and the result up where it is used",
        )
    top = ops.contract(x.type.scale, w.config)
    large = np.abs(c) > most(w.config)
    whole = np.where(large, np.minimum(np.rint(np.abs(c)), float(top)), 0).astype(np.int64)
    reach = np.maximum(top // np.maximum(whole, 1), 1)
    cut = x if (x.type.limit <= reach).all() else _between(w, x, reach)
    made = w.emit("mul", cut, w.operand(_constant(whole * np.sign(c).astype(np.int64), np.dtype(np.int64))))
    return w.emit("bound", made, limit=top, origin=INFERRED)


def rest(factor: Known, config: Config) -> Known | None:
    """The factor without its elements that are beyond the format; None if nothing is left."""
    c = np.asarray(factor.concrete, np.float64)
    small = np.where(np.abs(c) <= most(config), c, 0)
    return _constant(small, factor.dtype) if small.any() else None


def _constant(array: np.ndarray, dtype: Any) -> Known:
    return Known(array.shape, dtype, concrete=array)


def _between(w: Walker, x: Value, reach: np.ndarray) -> Value:
    """x cut to -reach .. reach, in its units: both comparisons at once."""
    ends = [np.ldexp(sign * reach.astype(np.float64), -x.type.scale) for sign in (-1, 1)]
    low, high = (w.public(_constant(end, np.dtype(np.float64)), x.type.scale) for end in ends)
    up, down = w.emit("relu", w.emit("gap", low, x)), w.emit("relu", w.emit("gap", x, high))
    inside = w.emit("sub", w.emit("add", x, up), down)
    return w.emit("bound", inside, limit=int(reach.max()), origin=ASSUMED)  # each element has a limit of its own
