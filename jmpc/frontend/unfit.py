"""Values that may not fit the ring, by what is declared, and that nothing should come to need.

What goes in: a product that is on its way to something smaller, as the square of a number is to a root, to a norm, or
to a variance. What comes out: the product, emitted as if nothing were declared of its operands. What makes the root or
the variance goes back to the numbers themselves (`squares.py`, `variance.py`), and then nothing reads the product.
Where a result reads it after all, the error that was put off is raised, once the body is walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.errors import BoundError
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED

UNFIT = "may not fit the ring"


def product(w: Walker, op: str, x: Value, y: Value, attrs: Mapping[str, Any] | None = None) -> Value:
    """x and y multiplied by `op`; y may be x."""
    attrs = attrs or {}
    try:
        return w.emit(op, x, y, **attrs)
    except BoundError as error:
        free = w.emit("bound", x, limit=x.type.limit, origin=ASSUMED)
        made = w.emit(op, free, free if y is x else y, **attrs)
        w.operands[UNFIT, made] = error.with_traceback(None)  # which would keep this walk alive
        return made


def refuse_needed(w: Walker, results: Sequence[Operand]) -> None:
    """Raise what was put off, of the first value that the results of this body need."""
    if not any(isinstance(key, tuple) and key[0] is UNFIT for key in w.operands):
        return
    needed: set[Value] = {v for v in results if isinstance(v, Value)}
    faults: list[BoundError] = []
    for op in reversed(w.build.ops):
        if needed.isdisjoint(op.outputs):
            continue
        needed.update(op.inputs)
        faults += [w.operands[UNFIT, v] for v in op.outputs if (UNFIT, v) in w.operands]
    if faults:
        raise faults[-1]
