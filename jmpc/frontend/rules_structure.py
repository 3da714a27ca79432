"""Rules for primitives that give their operands back, taken apart or with another solver around them.

Not here: linear and structural primitives with an op of their own (`rules_linear.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.frontend.kinds import constant
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir.program import Value


@rule("device_put", "name")
def _as_it_is(w: Walker, eqn: Any, args: list[Any]) -> list[Operand]:
    """Where a party keeps its shares is its own affair."""
    return args[: len(eqn.outvars)]


@rule("unstack")
def _unstack(w: Walker, eqn: Any, args: list[Any]) -> list[Value]:
    x, axis = w.secret(args[0]), eqn.params["axis"]
    strides = (1,) * len(x.shape)
    rows = []
    for n, out in enumerate(eqn.outvars):
        start = tuple(n if d == axis else 0 for d in range(len(x.shape)))
        limit = tuple(n + 1 if d == axis else size for d, size in enumerate(x.shape))
        row = w.emit("slice", x, start=start, limit=limit, strides=strides)
        rows.append(w.emit("reshape", row, shape=tuple(out.aval.shape)))
    return rows


@rule("is_finite")
def _is_finite(w: Walker, eqn: Any, args: list[Any]) -> Operand:
    """A ring has no NaN and no infinity."""
    return constant(np.ones(args[0].shape, bool))


@rule("custom_linear_solve")
def _linear_solve(w: Walker, eqn: Any, args: list[Any]) -> list[Operand]:
    """The solver that the user or JAX gave, on its constants and the right-hand side."""
    solve, consts, right = _jax.solver_of(eqn, args)
    jaxpr, body_consts = _jax.closed(solve)
    return w.run(jaxpr, body_consts, [*consts, *right])
