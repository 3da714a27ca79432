"""Drop ops without effect whose results nobody reads. Inputs stay: what an owner supplies is part of the agreement."""

from __future__ import annotations

from typing import Any

from jmpc.ir import ops
from jmpc.ir.ops.record import EFFECT
from jmpc.ir.program import Block, Op, Program, Value


def drop_dead_code(program: Program) -> Program:
    return program.with_body(_block(program.body))


def _block(block: Block) -> Block:
    needed: set[Value] = set(block.results)
    kept: list[Op] = []
    for op in reversed(block.ops):
        if any(v in needed for v in op.outputs) or ops.has(op.name, EFFECT):
            needed.update(op.inputs)
            kept.append(_inside(op))
    return Block(block.params, tuple(reversed(kept)), block.results)


def _inside(op: Op) -> Op:
    attrs: dict[str, Any] = {k: _block(a) if isinstance(a, Block) else a for k, a in op.attrs.items()}
    return Op(op.name, op.inputs, op.outputs, attrs, op.loc)
