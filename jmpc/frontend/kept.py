"""What is known of a result that stays shared: the same for every handle that goes into the function.

What goes in: results that are kept, and what they are when every handle among the arguments is taken for as much as its
dtype or the number format holds. What comes out: the results with a type that depends on the function and the shapes
alone. Otherwise a loop that feeds its handles back would meet a new bound, and so a new program, in every step. A bound
that the function declares for a result, or that follows without the handles, is kept.
"""

from __future__ import annotations

from typing import Any

from jmpc.config import Config
from jmpc.frontend import integers
from jmpc.frontend.kinds import integer_limit
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INFERRED, Type


def widest(t: Type, dtype: Any, config: Config) -> Type:
    """All that a kept value of this dtype may be. Integers are kept within their dtype."""
    if t.kind == BOOL:
        return t
    if t.kind == FIXED:
        return t.bounded(ops.contract(t.scale, config), ASSUMED)
    proven = t.origin != ASSUMED and integers.bits_of(dtype) <= config.k
    return t.bounded(integer_limit(dtype, config), INFERRED if proven else ASSUMED)


def is_all(t: Type, dtype: Any, config: Config) -> bool:
    """Whether no more is known of a value than its dtype or the number format says."""
    return t == widest(t, dtype, config) or (t.kind == FIXED and t.origin == ASSUMED)


def settled(w: Walker, x: Operand, dtype: Any) -> Value:
    """A result that is kept: an integer within its dtype."""
    return w.secret(integers.settle(w, x, dtype) if integers.is_integer(dtype) else x)


def as_handle(w: Walker, x: Value, apart: Type | None, dtype: Any) -> Value:
    """A result with the type of its handle. apart: its type whatever handles go in, where that is known."""
    t = widest(x.type, dtype, w.config)
    if apart is not None and apart.origin != ASSUMED and apart.contains(x.type):
        t = x.type.bounded(apart.limit, apart.origin)
    return x if x.type == t else w.emit("bound", x, limit=t.limit, origin=t.origin)
