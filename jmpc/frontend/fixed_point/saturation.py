"""Numbers that stand for what is beyond the number format: masks of -1e9, infinities, the largest float.

What goes in: constants as they are encoded, and ops as they are emitted. What comes out: what is encoded, and warnings.
Such a number is right where it is compared, chosen, or added as a mask; what multiplies it, or sums it up, takes it at
its word, which is said at the user's line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import RangeError
from jmpc.frontend.facts import Fact
from jmpc.frontend.known import Known
from jmpc.frontend.scope import Scope
from jmpc.ir import ops
from jmpc.ir.ops.record import SELECTION, SUMMING
from jmpc.ir.program import Value

CHOOSING = {"add", "sub", "gap", "neg", "bound", "share", "scale_up", "truncate", "relu", "select_or_zero", "permute"}
PRODUCTS = {"mul", "dot", "conv"}
SATURATED: Fact[str] = Fact("the line of a constant beyond the number format, for which some elements stand")


def message(line: str, config: Config) -> str:
    """What to say where a number stands in for one beyond the format. line: of that constant."""
    most = ops.contract(config.f, config) / 2**config.f
    return f"the constant at {line} is beyond the number format, and stands for {most:.3g} in magnitude here"


def note(w: Scope, value: Value) -> Value:
    """Remember that elements of a value stand for what is beyond the number format, by the line that says so."""
    if not w.inside:
        w.facts.note(SATURATED, value, source(w, value) or w.build.loc)
    return value


def source(w: Scope, value: Value) -> str | None:
    """The line of the constant that elements of a value stand for, where they do."""
    return w.facts.of(SATURATED, value)


def keep(w: Scope, x: Value, made: Value) -> Value:
    """`made`, which is x in another scope."""
    line = source(w, x)
    return made if line is None else w.facts.note(SATURATED, made, line)


def follow(w: Scope, name: str, inputs: Sequence[Value], made: Value) -> None:
    """Elements that stand for what is beyond the format keep doing so where they are moved, added to or chosen. What a
    function makes of them inside is its own affair: 1 / 1e9 and exp(-1e9) vanish as they should."""
    line = next((found for v in inputs if (found := source(w, v)) is not None), None)
    if line is None or w.inside:
        return
    if ops.has(name, SELECTION) or name in CHOOSING:
        w.facts.note(SATURATED, made, line)
    elif ops.has(name, SUMMING) or name in PRODUCTS:
        w.shared.warn(w.build.loc, message(line, w.config))


def held(w: Scope, x: Known, scale: int) -> Known:
    """A constant array within the format. Raises RangeError for NaN."""
    array = np.asarray(x.concrete, np.float64)
    if np.isnan(array).any():
        raise RangeError(
            f"a constant of shape {x.shape} holds NaN",
            where=w.build.loc,
            why="a ring has no NaN",
            todo="choose another value for the elements that do not matter",
        )
    most = ops.contract(scale, w.config) / 2**scale
    if (np.abs(array) <= most).all():
        return x
    return w.once(("saturated", x, scale), lambda: dataclasses.replace(x, concrete=np.clip(array, -most, most)))
