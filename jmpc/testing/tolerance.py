"""The error that a secure function may have, from its program: how many roundings are behind each result.

What goes in: a value-level program. What comes out: for each result a number of units in the last place. Counted on
the way: 1 for an input; a truncation adds 1; a sum or a product adds the units of its operands; a sum of n terms
multiplies them by sqrt(n), as independent roundings add up; whatever else keeps the largest of its operands. Integers
and bits have none. It is an estimate, meant for functions of moderate size: state a tolerance where you know one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jmpc.ir import ops
from jmpc.ir.ops.record import LINEAR, SELECTION, SUMMING
from jmpc.ir.program import Block, Op, Program, Value
from jmpc.ir.types import FIXED

PRODUCTS = ("mul", "dot", "conv")


def units(program: Program) -> list[float]:
    """By result of the program."""
    start = {p: _of(p, 1.0) for p in program.body.params}
    return _block(program.body, start)


def _of(value: Value, amount: float) -> float:
    return amount if value.type.kind == FIXED else 0.0


def _block(block: Block, known: dict[Value, float]) -> list[float]:
    for op in block.ops:
        known.update(zip(op.outputs, _op(op, known), strict=True))
    return [known[v] for v in block.results]


def _op(op: Op, known: Mapping[Value, float]) -> list[float]:
    given = [known[v] for v in op.inputs]
    if op.name == "loop":
        return _loop(op, given)
    amount = max(given, default=0.0)
    if op.name in PRODUCTS or _adds(op.name):
        amount = sum(given)
    if ops.has(op.name, SUMMING) or op.name in ("dot", "conv"):
        amount *= math.sqrt(_terms(op))
    if op.name == "truncate":
        amount += 1
    if op.name == "const":
        amount = 0.5
    return [_of(v, amount) for v in op.outputs]


def _adds(name: str) -> bool:
    """Whether each element of the result is a sum or difference of one element of each operand."""
    return ops.has(name, LINEAR) and not ops.has(name, SELECTION) and not ops.has(name, SUMMING)


def _terms(op: Op) -> int:
    """How many elements of the operands one element of the result sums."""
    shape = op.inputs[0].shape
    if op.name == "dot":
        return max(math.prod(shape[d] for d in op.attrs["dims"][0][0]), 1)
    if op.name == "conv":
        return max(math.prod(op.inputs[1].shape[d] for d in op.attrs["dims"][1][1:]), 1)
    return ops.summed(op.name, shape, op.output.shape, op.attrs)


def _loop(op: Op, given: Sequence[float]) -> list[float]:
    body, consts, carried = op.attrs["body"], op.attrs["consts"], op.attrs["carry"]
    fixed, carry, stacked = given[:consts], list(given[consts : consts + carried]), given[consts + carried :]
    rows = [0.0] * (len(op.outputs) - carried)
    for _ in range(op.attrs["trip"]):
        results = _block(body, dict(zip(body.params, [*fixed, *carry, *stacked], strict=True)))
        carry = results[:carried]
        rows = [max(a, b) for a, b in zip(rows, results[carried:], strict=True)]
    return [*carry, *rows]
