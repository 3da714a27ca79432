"""Compute equal things once: ops of the same name, inputs and attributes (common subexpressions)."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.ir import ops
from jmpc.ir.ops.record import DRAWS, EFFECT
from jmpc.ir.program import Op, Program, Value, regions
from jmpc.passes.rewrite import Rewriter, rewrite


def merge_equal(program: Program) -> Program:
    seen: dict[tuple[object, ...], tuple[Value, ...]] = {}

    def change(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
        if any(True for _ in regions(op)) or ops.OPS[op.name].traits & {DRAWS, EFFECT}:
            return None
        key = (rewriter, op.name, tuple(inputs), tuple(sorted(op.attrs.items())))
        if key not in seen:
            seen[key] = rewriter.keep(op, inputs)
        return seen[key]

    return rewrite(program, change)
