"""How truncations, signs, selections, logic and loops become share-level ops.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result.
"""

from __future__ import annotations

from jmpc.families.replicated3.lowering.state import Lowering, leading, row_slice, rule
from jmpc.ir.program import Block, Builder, Op, Value
from jmpc.ir.types import ARITH, BOOL, INFERRED, SPLIT, SUM3, Type, weakest


@rule("truncate", from_split=True)
def _truncate(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    if not x.type.secret:
        raise AssertionError("public values are truncated by their owner")
    bits = op.attrs["bits"]
    local = low.choice.truncate_locally(x.type)
    y = low.emit("truncate_local" if local else "truncate_wrap", low.need(x, SPLIT), bits=bits)
    low.untruncated[y] = (x, bits)
    return y


@rule("is_negative", from_split=True)
def _is_negative(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.sign(inputs[0])


@rule("is_zero", from_split=True)
def _is_zero(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x = inputs[0]
    width = min(x.type.width, low.config.k)
    return low.emit("zero_test", low.need(x, SPLIT), width=width, block=low.choice.zero_block(x.type.size, width))


@rule("relu")
def _relu(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    return low.times_bit(low.emit("not", low.sign(x)), x)


@rule("select_or_zero")
def _select_or_zero(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.times_bit(*inputs)


@rule("to_arith")
def _to_arith(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.as_number(inputs[0])


@rule("floor")
def _floor(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    """floor(x) = y - [x < y 2^s] for a truncated y that is floor or one more (T4 of the protocol notes)."""
    (x,) = inputs
    scale = x.type.scale
    y = low.emit("truncate_wrap", low.need(x, SPLIT), bits=scale)
    back = low.emit("scale_up", y, bits=scale)
    rest = low.emit("sub", low.need(x, ARITH), back)
    rest = low.emit("bound", rest, limit=1 << scale, origin=INFERRED)
    over = low.emit(
        "msb", low.need(rest, SPLIT), width=scale + 2, drop=0, block=low.choice.sign_block(x.type.size, scale + 2)
    )
    number = low.emit("sub", low.emit("as_int", y), low.as_number(over))
    return number


@rule("or")
def _or(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x, y = inputs
    both = low.emit("and", x, y)
    return low.emit("xor", low.emit("xor", x, y), both)


@rule("reduce_and", "reduce_or")
def _reduce_logic(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    either = op.name == "reduce_or"
    x = low.emit("not", x) if either else x
    rows = leading(low, x, op.attrs["axes"])
    while (n := rows.shape[0]) > 1:
        halves = [row_slice(low, rows, 0, n // 2), row_slice(low, rows, n // 2, 2 * (n // 2))]
        joined = low.emit("and", *halves)
        rest = [row_slice(low, rows, n - 1, n)] if n % 2 else []
        rows = low.emit("concat", joined, *rest, axis=0) if rest else joined
    out = low.emit("reshape", rows, shape=rows.shape[1:])
    return low.emit("not", out) if either else out


@rule("loop")
def _loop(low: Lowering, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
    body: Block = op.attrs["body"]
    consts, carry = op.attrs["consts"], op.attrs["carry"]
    inputs = [_as_param(low, v, p.type) for v, p in zip(inputs, body.params, strict=True)]
    inner = Lowering(low.config, low.choice)
    block = inner.block(body, [False] * len(body.results))
    block = _match_carry(low, block, consts, carry)
    return low.emit_many("loop", *inputs, **{**op.attrs, "body": block})


def _as_param(low: Lowering, value: Value, want: Type) -> Value:
    """An operand as the body's parameter has it: a protocol may bound a result by more than its value-level op does."""
    value = low.need(value, ARITH) if value.type.form == SUM3 else value
    t = value.type
    if t.kind == BOOL or (t.limit <= want.limit and weakest(t.origin, want.origin) == want.origin):
        return value
    return low.emit("bound", value, limit=want.limit, origin=want.origin)


def _match_carry(low: Lowering, block: Block, consts: int, carry: int) -> Block:
    """The carry keeps its type: results are given the bound of the parameter."""
    build = Builder()
    build.ops = list(block.ops)
    results = list(block.results)
    for n in range(carry):
        want: Type = block.params[consts + n].type
        if results[n].type != want:
            results[n] = build.emit("bound", (results[n],), want, limit=want.limit, origin=want.origin)
    return Block(block.params, tuple(build.ops), tuple(results))
