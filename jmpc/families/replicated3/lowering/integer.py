"""How integers that wrap become share-level ops: residues, single bits, comparisons over the whole ring.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result.
"""

from __future__ import annotations

from jmpc.families.replicated3.lowering.state import Lowering, rule
from jmpc.ir.program import Op, Value
from jmpc.ir.types import INFERRED, SPLIT


@rule("wrap", from_split=True)
def _wrap(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    """x mod 2^n, in 0 .. 2^n - 1; of a signed dtype, x + 2^(n-1) is cut, and the same taken off afterwards."""
    (x,), bits, signed = inputs, op.attrs["bits"], op.attrs["signed"]
    shift = low.emit("const", value=1 << (bits - 1), shape=x.shape, kind="int", scale=0)
    cut = low.need(low.emit("add", x, shift) if signed else x, SPLIT)
    block = low.choice.sign_block(x.type.size, bits + 1)
    residue, carry = low.emit_many("low_bits", cut, bits=bits, block=block)
    two = low.emit("const", value=1 << bits, shape=x.shape, kind="int", scale=0)
    residue = low.emit("sub", residue, low.emit("mul", low.as_number(carry), two))
    residue = low.emit("sub", residue, shift) if signed else residue
    return low.emit("bound", residue, limit=op.output.type.limit, origin=INFERRED)


@rule("bit_at", from_split=True)
def _bit_at(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x, bits = inputs[0], op.attrs["bits"]
    return low.emit("bit_test", low.need(x, SPLIT), bits=bits, block=low.choice.sign_block(x.type.size, bits))


@rule("is_multiple", from_split=True)
def _is_multiple(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x, bits = inputs[0], op.attrs["bits"]
    return low.emit("low_zero", low.need(x, SPLIT), bits=bits, block=low.choice.zero_block(x.type.size, bits))


@rule("less")
def _less(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.less(*inputs)
