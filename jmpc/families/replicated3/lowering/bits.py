"""How bit decomposition becomes share-level ops.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result.
"""

from __future__ import annotations

from jmpc.families.replicated3.lowering.state import Lowering, rule
from jmpc.ir.program import Op, Value
from jmpc.ir.types import SPLIT


@rule("bits")
def _bits(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,), start, width = inputs, op.attrs["start"], op.attrs["width"]
    block = low.choice.bits_block(x.type.size, start, width)
    return low.emit("bits_of", low.need(x, SPLIT), start=start, width=width, block=block)


@rule("exponent")
def _exponent(low: Lowering, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
    (x,) = inputs
    block = low.choice.bits_block(x.type.size, 0, op.attrs["width"] + 1)
    return low.emit_many("top_bit", low.need(x, SPLIT), **op.attrs, block=block)
