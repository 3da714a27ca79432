"""How max, argmax and window maxima become share-level ops: a tree of comparisons, or all pairs at once.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result. `choose` says which way is
cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.families.replicated3.lowering.state import Lowering, leading, row_slice, rule
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ARITH, INFERRED, weakest


def _bigger(low: Lowering, x: Value, y: Value) -> Value:
    """max(x, y) = y + relu(x - y)."""
    gap = low.emit("gap", x, y)
    return _retype(low, low.emit("add", y, low.times_bit(low.emit("not", low.less(x, y)), gap)), x, y)


def _retype(low: Lowering, result: Value, *operands: Value) -> Value:
    """A selection is one of its operands: their bound is its bound."""
    limit = max(v.type.limit for v in operands)
    if result.type.limit <= limit:
        return result
    weak = weakest(*(v.type.origin for v in operands))
    return low.emit("bound", result, limit=limit, origin=weak)


@rule("reduce_max")
def _reduce_max(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    rows = leading(low, low.need(inputs[0], ARITH), op.attrs["axes"])
    return _max_rows(low, rows)


def _max_rows(low: Lowering, rows: Value) -> Value:
    """The largest along axis 0: all pairs at once for few candidates where rounds are dear, else a tree."""
    while (n := rows.shape[0]) > 1:
        if low.choice.one_shot(n, rows.type.size // n, rows.type.width):
            return _max_one_shot(low, rows)
        top = _bigger(low, row_slice(low, rows, 0, n // 2), row_slice(low, rows, n // 2, 2 * (n // 2)))
        rows = low.emit("concat", top, row_slice(low, rows, n - 1, n), axis=0) if n % 2 else top
    return low.emit("reshape", rows, shape=rows.shape[1:])


def _winners(low: Lowering, rows: Value) -> Value:
    """Packed bits, (n, ...): one for the first largest of each column. Every pair i < j is compared at once;
    i wins iff no j > i is larger, and no j < i is as large."""
    n = rows.shape[0]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    left = low.emit("take", rows, rows=tuple(i for i, _ in pairs))
    right = low.emit("take", rows, rows=tuple(j for _, j in pairs))
    loses = low.less(left, right)  # [x_i < x_j]
    both = low.emit("concat", loses, low.emit("not", loses), axis=0)
    index = {pair: k for k, pair in enumerate(pairs)}

    def beats(i: int, j: int) -> int:
        """The row of `both` that says that i stands against j."""
        return len(pairs) + index[i, j] if i < j else index[j, i]

    tests = [beats(i, step if step < i else step + 1) for step in range(n - 1) for i in range(n)]
    return _all_of(low, low.emit("take", both, rows=tuple(tests)), n)


def _all_of(low: Lowering, tests: Value, n: int) -> Value:
    """The and of consecutive groups of n rows: (groups * n, ...) to (n, ...), by a tree."""
    while (groups := tests.shape[0] // n) > 1:
        half = groups // 2 * n
        joined = low.emit("and", row_slice(low, tests, 0, half), row_slice(low, tests, half, 2 * half))
        rest = row_slice(low, tests, 2 * half, groups * n) if groups % 2 else None
        tests = low.emit("concat", joined, rest, axis=0) if rest is not None else joined
    return tests


def _max_one_shot(low: Lowering, rows: Value) -> Value:
    wins = _winners(low, rows)
    picked = low.times_bit(wins, rows)
    return _retype(low, low.emit("reduce_sum", picked, axes=(0,)), rows)


@rule("window_max")
def _window_max(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x = low.need(inputs[0], ARITH)
    x = _padded(low, x, op.attrs)
    if any(d != 1 for d in op.attrs["base_dilation"]):
        raise AssertionError("refused by the front end")
    out = op.output.shape
    dilation, strides = op.attrs["window_dilation"], op.attrs["strides"]
    parts: list[Value] = []
    for offset in _offsets(op.attrs["window"]):
        start = tuple(o * d for o, d in zip(offset, dilation, strict=True))
        limit = tuple(s + (n - 1) * t + 1 for s, n, t in zip(start, out, strides, strict=True))
        part = low.emit("slice", x, start=start, limit=limit, strides=strides)
        parts.append(low.emit("reshape", part, shape=(1, *out)))
    rows = low.emit("concat", *parts, axis=0) if len(parts) > 1 else parts[0]
    return _max_rows(low, rows)


def _padded(low: Lowering, x: Value, attrs: Mapping[str, Any]) -> Value:
    if not any(low_ or high for low_, high in attrs["padding"]):
        return x
    t = x.type
    least = low.emit("const", value=-t.limit, shape=(), kind=t.kind, scale=t.scale)
    return low.emit("pad", x, least, config=tuple((a, b, 0) for a, b in attrs["padding"]))


def _offsets(window: Sequence[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for size in window:
        found = [(*offset, n) for offset in found for n in range(size)]
    return found


@rule("argmax")
def _argmax(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    rows = leading(low, low.need(inputs[0], ARITH), (op.attrs["axis"],))
    n = rows.shape[0]
    if n == 1:
        return low.emit("const", value=0, shape=rows.shape[1:], kind="int", scale=0)
    if low.choice.one_shot(n, rows.type.size // n, rows.type.width):
        wins = low.as_number(_winners(low, rows))
        return _index_of(low, wins)
    return _argmax_tree(low, rows)


def _index_of(low: Lowering, wins: Value) -> Value:
    """The position of the one in a one-hot vector along axis 0: how many of the rows after the first are at or below
    it, counted from the far end."""
    reached = low.emit("cumsum", wins, axis=0, reverse=True)
    total = low.emit("reduce_sum", row_slice(low, reached, 1, wins.shape[0]), axes=(0,))
    return low.emit("bound", total, limit=max(wins.shape[0] - 1, 1), origin=INFERRED)


def _argmax_tree(low: Lowering, rows: Value) -> Value:
    """A tree of comparisons that carries (value, index); the first of equals wins, since the left one has the smaller
    index: neighbours are paired, never far halves."""
    index: Value | None = None
    while (n := rows.shape[0]) > 1:
        pairs = n // 2
        left, right = row_slice(low, rows, 0, 2 * pairs - 1, 2), row_slice(low, rows, 1, 2 * pairs, 2)
        moves = low.less(left, right)
        gap = low.emit("gap", right, left)
        at = _index_pairs(low, index, rows, pairs)
        step = low.emit("sub", at[1], at[0])
        picked = _times_bit_twice(low, moves, gap, step)
        top = _retype(low, low.emit("add", left, picked[0]), rows)
        which = _retype(low, low.emit("add", at[0], picked[1]), *at)
        if n % 2:
            top = low.emit("concat", top, row_slice(low, rows, n - 1, n), axis=0)
            which = low.emit("concat", which, _last_index(low, index, rows), axis=0)
        rows, index = top, which
    assert index is not None
    return low.emit("reshape", index, shape=index.shape[1:])


def _times_bit_twice(low: Lowering, bit: Value, x: Value, y: Value) -> tuple[Value, Value]:
    if not y.type.secret:  # the bit as a number, times a public step
        number = low.as_number(bit)
        return low.times_bit(bit, x), low.emit("mul", number, y)
    return low.times_bit(bit, x), low.times_bit(bit, y)


def _index_pairs(low: Lowering, index: Value | None, rows: Value, pairs: int) -> tuple[Value, Value]:
    if index is not None:
        return row_slice(low, index, 0, 2 * pairs - 1, 2), row_slice(low, index, 1, 2 * pairs, 2)
    shape = (pairs, *rows.shape[1:])
    even = [low.emit("const", value=2 * i, shape=(1, *shape[1:]), kind="int", scale=0) for i in range(pairs)]
    base = low.emit("concat", *even, axis=0) if pairs > 1 else even[0]
    return base, low.emit("add", base, low.emit("const", value=1, shape=shape, kind="int", scale=0))


def _last_index(low: Lowering, index: Value | None, rows: Value) -> Value:
    n = rows.shape[0]
    if index is not None:
        return row_slice(low, index, n - 1, n)
    return low.emit("const", value=n - 1, shape=(1, *rows.shape[1:]), kind="int", scale=0)
