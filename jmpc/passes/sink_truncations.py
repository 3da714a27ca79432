"""Truncate once after a sum, not once a term: move truncations down past linear ops.

A truncation is the one costly part of a product, and rounding commutes with sums up to a unit in the last place. A
bias is scaled up, which is local, and added before. Where the wider sum might not fit the ring, nothing moves, not even
if an assumed bound would be capped there: a small quotient may be added to the largest number; nor past a `wide` sum,
whose terms together keep no contract. A `gap` is not a value
of the user's function: both of its operands keep the number format's contract, and it may be twice as large. Past one,
nothing moves unless bounds show that it fits at the wider scale.
"""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.errors import BoundError
from jmpc.ir.program import Op, Program, Value
from jmpc.passes.rewrite import Rewriter, rewrite

ONE_FOR_ONE = ("reshape", "transpose", "slice", "rev", "neg")
SUMS = ("reduce_sum", "window_sum")


def sink_truncations(program: Program) -> Program:
    return rewrite(program, _sink)


def _sink(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    try:
        if op.name in ("add", "sub", "gap"):
            return _sum(rewriter, op, inputs)
        if op.name in ONE_FOR_ONE or op.name in SUMS:
            return _move(rewriter, op, inputs)
        if op.name == "truncate":
            return _twice(rewriter, op, inputs)
    except BoundError:
        return None
    return None


def _truncation(rewriter: Rewriter, value: Value) -> Op | None:
    op = rewriter.source(value, "truncate")
    return op if op is not None and rewriter.only_reader(value) else None


def _sum(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    cut = [_truncation(rewriter, v) for v in inputs]
    bits = {c.attrs["bits"] for c in cut if c is not None}
    if len(bits) != 1:
        return None
    (m,) = bits
    limits = [v.type.limit << m if c is None else c.inputs[0].type.limit for c, v in zip(cut, inputs, strict=True)]
    apart = [limit for c, limit in zip(cut, limits, strict=True) if c is None]
    if max([sum(limits)] if op.name == "gap" else apart, default=0) >= 1 << (rewriter.config.k - 2):
        return None
    wide = [
        c.inputs[0] if c is not None else rewriter.emit("scale_up", v, bits=m) for c, v in zip(cut, inputs, strict=True)
    ]
    return [rewriter.emit("truncate", rewriter.emit(op.name, *wide), bits=m)]


def _move(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    cut = _truncation(rewriter, inputs[0])
    if cut is None:
        return None
    return [rewriter.emit("truncate", rewriter.emit(op.name, cut.inputs[0], **op.attrs), bits=cut.attrs["bits"])]


def _twice(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    cut = _truncation(rewriter, inputs[0])
    if cut is None:
        return None
    return [rewriter.emit("truncate", cut.inputs[0], bits=cut.attrs["bits"] + op.attrs["bits"])]
