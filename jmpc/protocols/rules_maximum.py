"""How max, argmax and window maxima become share-level ops: a tree of comparisons, or all pairs at once.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result. `choose` says which way is
cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.ir.program import Op, Value
from jmpc.ir.types import ARITH, INFERRED, weakest
from jmpc.protocols.lowering import Lowering, leading, row_slice, rule


def _bigger(low: Lowering, x: Value, y: Value) -> Value:
    """max(x, y) = y + relu(x - y)."""
    gap = low.emit("sub", x, y)
    return _retype(low, low.emit("add", y, low.times_bit(low.emit("not", low.sign(gap)), gap)), x, y)


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
    firsts = [i for i in range(n) for _ in range(i + 1, n)]
    seconds = [j for i in range(n) for j in range(i + 1, n)]
    left = _take(low, rows, firsts)
    right = _take(low, rows, seconds)
    loses = low.sign(low.emit("sub", left, right))  # [x_i < x_j]
    keeps = low.emit("not", loses)
    index = {pair: k for k, pair in enumerate(zip(firsts, seconds, strict=True))}
    columns = []
    for step in range(n - 1):
        bits = []
        for i in range(n):
            j = step if step < i else step + 1
            bits.append(
                row_slice(low, keeps, index[i, j], index[i, j] + 1)
                if i < j
                else row_slice(low, loses, index[j, i], index[j, i] + 1)
            )
        columns.append(low.emit("concat", *bits, axis=0))
    while len(columns) > 1:
        pairs = len(columns) // 2
        left = low.emit("concat", *columns[:pairs], axis=0) if pairs > 1 else columns[0]
        right = low.emit("concat", *columns[pairs : 2 * pairs], axis=0) if pairs > 1 else columns[1]
        both = low.emit("and", left, right)
        columns = [row_slice(low, both, k * n, (k + 1) * n) for k in range(pairs)] + columns[2 * pairs :]
    return columns[0]


def _take(low: Lowering, rows: Value, index: list[int]) -> Value:
    """Rows by a static list, as slices: runs of equal or consecutive numbers become one."""
    parts, start = [], 0
    while start < len(index):
        stop, equal = _run_end(index, start)
        first, count = index[start], stop - start
        part = row_slice(low, rows, first, first + (1 if equal else count))
        if equal and count > 1:
            dims = tuple(range(len(rows.shape)))
            part = low.emit("broadcast", part, shape=(count, *rows.shape[1:]), dims=dims)
        parts.append(part)
        start = stop
    return low.emit("concat", *parts, axis=0) if len(parts) > 1 else parts[0]


def _run_end(index: list[int], start: int) -> tuple[int, bool]:
    """Where the run that starts here ends, and whether its numbers are equal rather than consecutive."""
    for step in (1, 0):
        stop = start + 1
        while stop < len(index) and index[stop] == index[stop - 1] + step:
            stop += 1
        if stop > start + 1:
            return stop, step == 0
    return start + 1, True


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
    parts = []
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
        moves = low.sign(low.emit("sub", left, right))  # [left < right]
        gap = low.emit("sub", right, left)
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
