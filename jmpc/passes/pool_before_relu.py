"""max(relu(x)) = relu(max(x)): pool first, and ReLU looks at the few that remain."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.ir.program import Op, Program, Value
from jmpc.passes.rewrite import Rewriter, rewrite

MAXIMA = ("window_max", "reduce_max")


def pool_before_relu(program: Program) -> Program:
    return rewrite(program, _swap)


def _swap(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    if op.name not in MAXIMA:
        return None
    relu = rewriter.source(inputs[0], "relu")
    if relu is None or not rewriter.only_reader(inputs[0]):
        return None
    return [rewriter.emit("relu", rewriter.emit(op.name, relu.inputs[0], **op.attrs))]
