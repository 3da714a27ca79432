"""What is known of a result that stays shared: the same for every handle that goes into the function.

What goes in: a program, and the program that it is when every handle among its inputs is taken for all that its dtype
or the number format holds. What comes out: the first with kept results of types that depend on the function and the
shapes alone. Otherwise a loop that feeds its handles back would meet a new bound, and so a new program, in every step.
A bound that the function declares for a result, or that follows without the handles, is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import integer_limit
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Block, Op, Program, Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INFERRED, Type
from jmpc.roles import Role


def settled(w: Walker, x: Operand, dtype: Any) -> Value:
    """A result that is kept: an integer within its dtype."""
    return w.secret(integers.settle(w, x, dtype) if integers.is_integer(dtype) else x)


def widest(t: Type, dtype: Any, config: Config) -> Type:
    """All that a kept value of this dtype may be."""
    if t.kind == BOOL:
        return t
    if t.kind == FIXED:
        return t.bounded(ops.contract(t.scale, config), ASSUMED)
    proven = t.origin != ASSUMED and integers.bits_of(dtype) <= config.k
    return t.bounded(integer_limit(dtype, config), INFERRED if proven else ASSUMED)


def with_handles(program: Program, apart: Callable[[], Program | None]) -> Program:
    """apart: makes the program whatever the handles are that go in; None if there is no such program."""
    kept = {n: np.dtype(o.dtype) for n, o in enumerate(program.outputs) if o.receiver == Role.SECRET}
    results = list(program.body.results)
    other = None if all(_is_all(results[n].type, d, program.config) for n, d in kept.items()) else apart()
    made: list[Op] = []
    for n, dtype in kept.items():
        x = results[n]
        t = _of_handle(x.type, other and other.body.results[n].type, dtype, program.config)
        if x.type != t:
            made.append(Op("bound", (x,), (Value(t),), {"limit": t.limit, "origin": t.origin}))
            results[n] = made[-1].output
    body = program.body
    return program.with_body(Block(body.params, (*body.ops, *made), tuple(results)))


def _of_handle(found: Type, apart: Type | None, dtype: Any, config: Config) -> Type:
    if apart is not None and apart.origin != ASSUMED and apart.contains(found):
        return apart
    return widest(found, dtype, config)


def _is_all(t: Type, dtype: Any, config: Config) -> bool:
    """Whether no more is known of a value than its dtype or the number format says."""
    return t == widest(t, dtype, config) or (t.kind == FIXED and t.origin == ASSUMED)
