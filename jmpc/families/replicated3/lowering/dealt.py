"""How Fourier sums, powers of two and comparisons with a public threshold become share-level ops.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result. All three start from the
two-party view of their operand, and of a truncated one from before its truncation: it is not waited for.
"""

from __future__ import annotations

from jmpc.families.replicated3.lowering.state import Lowering, rule
from jmpc.ir.ops.waves import exponent
from jmpc.ir.program import Op, Value
from jmpc.ir.types import SPLIT

FEWEST = 16  # spare fraction bits with which a power of two is as exact as it states


@rule("periodic", from_split=True)
def _periodic(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    source, _ = low.before_truncation(inputs[0])
    return low.emit("periodic_sum3", low.need(source, SPLIT), **op.attrs)


@rule("power2", from_split=True)
def _power2(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    source, _ = low.before_truncation(x)
    spare = exponent(op.attrs, source.type.scale, low.config.k)[1] - source.type.scale
    source = source if spare >= FEWEST else x
    return low.emit("power2_sum3", low.need(source, SPLIT), **op.attrs)


@rule("is_below", from_split=True)
def _is_below(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    """The sign of x - threshold, less its lowest bits."""
    (x,) = inputs
    source, cut = low.before_truncation(x)
    if source.type.limit + (abs(op.attrs["threshold"]) << cut) >= 1 << (low.config.k - 2):
        source, cut = x, 0
    t, threshold = source.type, op.attrs["threshold"]
    gap = low.need(source, SPLIT)
    if threshold:
        number = low.emit("const", value=threshold << cut, shape=x.shape, kind=t.kind, scale=t.scale)
        gap = low.emit("gap", gap, number)
    drop = op.attrs["drop"] + cut
    reach = (max(x.type.limit, low.reach.get(source, 0) >> cut) + abs(threshold) >> op.attrs["drop"]) + 1
    width = min(reach.bit_length() + 1, low.config.k - drop)
    block = low.choice.sign_block(x.type.size, width)
    return low.emit("msb", gap, width=width, drop=drop, block=block, coarse=drop > 0)
