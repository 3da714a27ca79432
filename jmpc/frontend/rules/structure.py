"""Rules for primitives that give their operands back, taken apart or with another solver around them.

Not here: linear and structural primitives with an op of their own (`linear.py`).
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.frontend.idioms import idiom
from jmpc.frontend.kinds import constant
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir.program import Value


@rule("device_put", "name", "dce_sink", "xla_metadata_value")
def _as_it_is(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    """Where a party keeps its shares, and what XLA should know of a value, is that party's own affair."""
    return args[: len(eqn.outvars)]


def _half(x: jax.Array) -> jax.Array:
    """A float without the lower half of its fraction bits, as JAX splits one so that products are exact."""
    word, mask = (np.uint32, 0xFFFFF000) if x.dtype == np.float32 else (np.uint64, 0xFFFFFFFFF8000000)
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, word) & word(mask), x.dtype)


@idiom(_half)
@idiom(_half, dtype=np.float64)
def _all_of_it(w: Walker, eqn: Any, args: list[Operand]) -> Operand:
    """A secret has no such bits, and its rest, the number less this part of it, may be zero."""
    return args[0]


@rule("unstack")
def _unstack(w: Walker, eqn: Any, args: list[Operand]) -> list[Value]:
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
def _is_finite(w: Walker, eqn: Any, args: list[Operand]) -> Operand:
    """A ring has no NaN and no infinity."""
    return constant(np.ones(args[0].shape, bool))


@rule("custom_linear_solve")
def _linear_solve(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    """The solver that the user or JAX gave, on its constants and the right-hand side."""
    solve, consts, right = _jax.solver_of(eqn, args)
    jaxpr, body_consts = _jax.closed(solve)
    return w.run(jaxpr, body_consts, [*consts, *right])
