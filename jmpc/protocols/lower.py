"""From what to how: a value-level program becomes a share-level one, with the cheapest protocol for each op.

What goes in: a verified value-level program. What comes out: a share-level program, the same meaning. Products stay
unmasked summands (`sum3`) as long as only linear ops follow; a truncation or a comparison opens them to the two-party
view (`split`), from which both start in the same round; anything else reshares them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.ir import ops, structural
from jmpc.ir.program import Block, Builder, Op, Program, Value
from jmpc.ir.types import ARITH, BITS, INFERRED, PLAIN, SPLIT, SUM3, Type, weakest
from jmpc.protocols import choose

Rule = Callable[["Lowering", Op, list[Value]], Any]
RULES: dict[str, Rule] = {}
PRODUCTS = ("mul", "dot", "conv")
FROM_SPLIT = ("truncate", "is_negative", "is_zero")


def lower(program: Program) -> Program:
    """The share-level program."""
    choice = choose.for_program(program)
    lowering = Lowering(program.config, choice)
    keep_sum = [o.receiver != "jmpc.SECRET" for o in program.outputs]
    return program.with_body(lowering.block(program.body, keep_sum))


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"op {name} has a rule already")
            RULES[name] = function
        return function

    return register


class Lowering:
    """Lowers one block at a time. `forms[v]` holds, for a value of the new program, the same value in other forms."""

    def __init__(self, config: Config, choice: choose.Choice) -> None:
        self.config, self.choice = config, choice
        self.build = Builder()
        self.env: dict[Value, Value] = {}
        self.forms: dict[tuple[Value, str], Value] = {}
        self.untruncated: dict[Value, tuple[Value, int]] = {}
        self.readers: dict[Value, Counter[str]] = {}

    def block(self, block: Block, keep_sum: Sequence[bool]) -> Block:
        self.readers = _readers(block)
        params = tuple(Value(p.type) for p in block.params)
        self.env.update(zip(block.params, params, strict=True))
        for op in block.ops:
            self.build.loc = op.loc
            self.op(op)
        results = [self.env[v] for v in block.results]
        results = [
            r if keep and r.type.form == SUM3 else self.need(r, ARITH) if r.type.form == SUM3 else r
            for r, keep in zip(results, keep_sum, strict=True)
        ]
        return self.build.block(params, tuple(results))

    def op(self, op: Op) -> None:
        inputs = [self.env[v] for v in op.inputs]
        if op.name in RULES:
            out = RULES[op.name](self, op, inputs)
        elif op.name in PRODUCTS:
            out = self.product(op, inputs)
        else:
            out = self.linear(op, inputs)
        outputs = out if isinstance(out, tuple) else (out,)
        self.env.update(zip(op.outputs, outputs, strict=True))

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        types = ops.infer(name, [v.type for v in inputs], attrs, self.config, self.build.loc)
        return self.build.emit_many(name, inputs, types, **attrs)[0]

    def emit_many(self, name: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        types = ops.infer(name, [v.type for v in inputs], attrs, self.config, self.build.loc)
        return self.build.emit_many(name, inputs, types, **attrs)

    def need(self, value: Value, form: str) -> Value:
        """`value` in the form that a protocol takes, converted once."""
        have = value.type.form
        if have == form:
            return value
        key = (value, form)
        if key not in self.forms:
            self.forms[key] = self._convert(value, have, form)
        return self.forms[key]

    def _convert(self, value: Value, have: str, form: str) -> Value:
        if have == PLAIN:
            shared = self.emit("share", value)
            return shared if form in (ARITH, BITS) else self.need(shared, form)
        if have == SUM3:
            if form == SPLIT and (value, ARITH) not in self.forms:
                return self.emit("open_split", value)
            return self.emit("reshare", value) if form == ARITH else self.emit("split", self.need(value, ARITH))
        if have == ARITH:
            return self.emit("split" if form == SPLIT else "to_sum3", value)
        raise AssertionError(f"no way from {have} to {form}")

    def product(self, op: Op, inputs: list[Value]) -> Value:
        if not all(v.type.secret for v in inputs):
            return self.emit(op.name, *[self.need(v, ARITH) if v.type.secret else v for v in inputs], **op.attrs)
        made = self.emit(f"{op.name}_sum3", *(self.need(v, ARITH) for v in inputs), **op.attrs)
        reads = self.readers[op.output]
        if sum(reads.values()) > 1 and not set(reads) <= set(FROM_SPLIT):
            return self.need(made, ARITH)
        return made

    def linear(self, op: Op, inputs: list[Value]) -> Value:
        data = structural.INDEX_OPERANDS_FROM.get(op.name, len(inputs))
        forms = {v.type.form for v in inputs[:data]}
        if SUM3 in forms:
            inputs = [self.need(v, SUM3) if v.type.form == ARITH else v for v in inputs[:data]] + inputs[data:]
        return self.emit(op.name, *inputs, **op.attrs)

    # --- what several rules share

    def sign(self, x: Value) -> Value:
        """Packed bits [x < 0]; of a truncated value, from before its truncation, in parallel with it."""
        source, drop = self.untruncated.get(x, (x, 0))
        width = x.type.width
        block = self.choice.sign_block(x.type.size, width)
        return self.emit("msb", self.need(source, SPLIT), width=width, drop=drop, block=block)

    def times_bit(self, bit: Value, x: Value) -> Value:
        x = self.need(x, ARITH)
        if not self.choice.use_dabit(x.type.size):
            return self.emit("inject", bit, x)
        return self.emit("inject_dabit", bit, *self.emit_many("dabit", shape=x.shape), x)

    def as_number(self, bit: Value) -> Value:
        if not self.choice.use_dabit(bit.type.size):
            return self.emit("bit_to_arith", bit)
        return self.emit("bit_to_arith_dabit", bit, *self.emit_many("dabit", shape=bit.shape))


def _readers(block: Block) -> dict[Value, Counter[str]]:
    found: dict[Value, Counter[str]] = {}
    for op in block.ops:
        for v in op.inputs:
            found.setdefault(v, Counter())[op.name] += 1
        for v in op.outputs:
            found.setdefault(v, Counter())
    for v in block.results:
        found.setdefault(v, Counter())["result"] += 1
    return found


@rule("truncate")
def _truncate(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    if not x.type.secret:
        raise AssertionError("public values are truncated by their owner")
    bits = op.attrs["bits"]
    local = low.choice.truncate_locally(x.type)
    y = low.emit("truncate_local" if local else "truncate_wrap", low.need(x, SPLIT), bits=bits)
    low.untruncated[y] = (x, bits)
    return y


@rule("is_negative")
def _is_negative(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.sign(inputs[0])


@rule("is_zero")
def _is_zero(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x = inputs[0]
    width = x.type.width
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
    number = low.emit("sub", _as_int(low, y), low.as_number(over))
    return number


def _as_int(low: Lowering, y: Value) -> Value:
    return low.emit("as_int", y)


@rule("or")
def _or(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    x, y = inputs
    both = low.emit("and", x, y)
    return low.emit("xor", low.emit("xor", x, y), both)


@rule("and")
def _and(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    return low.emit("and", *inputs)


@rule("reduce_and", "reduce_or")
def _reduce_logic(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    (x,) = inputs
    either = op.name == "reduce_or"
    x = low.emit("not", x) if either else x
    rows = _leading(low, x, op.attrs["axes"])
    while (n := rows.shape[0]) > 1:
        halves = [_rows(low, rows, 0, n // 2), _rows(low, rows, n // 2, 2 * (n // 2))]
        joined = low.emit("and", *halves)
        rest = [_rows(low, rows, n - 1, n)] if n % 2 else []
        rows = low.emit("concat", joined, *rest, axis=0) if rest else joined
    out = low.emit("reshape", rows, shape=rows.shape[1:])
    return low.emit("not", out) if either else out


def _leading(low: Lowering, x: Value, axes: Sequence[int]) -> Value:
    """`x` with the reduced axes merged in front: (n, *kept)."""
    kept = [d for d in range(len(x.shape)) if d not in axes]
    perm = (*axes, *kept)
    if perm != tuple(range(len(x.shape))):
        x = low.emit("transpose", x, perm=perm)
    count = 1
    for d in range(len(axes)):
        count *= x.shape[d]
    return low.emit("reshape", x, shape=(count, *x.shape[len(axes) :]))


def _rows(low: Lowering, x: Value, start: int, stop: int, stride: int = 1) -> Value:
    rank = len(x.shape)
    return low.emit(
        "slice",
        x,
        start=(start, *(0,) * (rank - 1)),
        limit=(stop, *x.shape[1:]),
        strides=(stride, *(1,) * (rank - 1)),
    )


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
    rows = _leading(low, low.need(inputs[0], ARITH), op.attrs["axes"])
    return _max_rows(low, rows)


def _max_rows(low: Lowering, rows: Value) -> Value:
    """The largest along axis 0: all pairs at once for few candidates where rounds are dear, else a tree."""
    while (n := rows.shape[0]) > 1:
        if low.choice.one_shot(n, rows.type.size // n, rows.type.width):
            return _max_one_shot(low, rows)
        top = _bigger(low, _rows(low, rows, 0, n // 2), _rows(low, rows, n // 2, 2 * (n // 2)))
        rows = low.emit("concat", top, _rows(low, rows, n - 1, n), axis=0) if n % 2 else top
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
                _rows(low, keeps, index[i, j], index[i, j] + 1)
                if i < j
                else _rows(low, loses, index[j, i], index[j, i] + 1)
            )
        columns.append(low.emit("concat", *bits, axis=0))
    while len(columns) > 1:
        pairs = len(columns) // 2
        left = low.emit("concat", *columns[:pairs], axis=0) if pairs > 1 else columns[0]
        right = low.emit("concat", *columns[pairs : 2 * pairs], axis=0) if pairs > 1 else columns[1]
        both = low.emit("and", left, right)
        columns = [_rows(low, both, k * n, (k + 1) * n) for k in range(pairs)] + columns[2 * pairs :]
    return columns[0]


def _take(low: Lowering, rows: Value, index: list[int]) -> Value:
    """Rows by a static list, as slices: runs of equal or consecutive numbers become one."""
    parts, start = [], 0
    rank = len(rows.shape)
    while start < len(index):
        stop = start + 1
        while stop < len(index) and index[stop] == index[stop - 1] + 1:
            stop += 1
        if stop == start + 1:
            while stop < len(index) and index[stop] == index[start]:
                stop += 1
        one = _rows(low, rows, index[start], index[start] + (1 if index[stop - 1] == index[start] else stop - start))
        if index[stop - 1] == index[start] and stop - start > 1:
            one = low.emit("broadcast", one, shape=(stop - start, *rows.shape[1:]), dims=tuple(range(rank)))
        parts.append(one)
        start = stop
    return low.emit("concat", *parts, axis=0) if len(parts) > 1 else parts[0]


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
    rows = _leading(low, low.need(inputs[0], ARITH), (op.attrs["axis"],))
    n = rows.shape[0]
    if n == 1:
        return low.emit("const", value=0, shape=rows.shape[1:], kind="int", scale=0)
    if low.choice.one_shot(n, rows.type.size // n, rows.type.width):
        wins = low.as_number(_winners(low, rows))
        return _index_of(low, wins)
    return _argmax_tree(low, rows)


def _index_of(low: Lowering, wins: Value) -> Value:
    """The position of the one in a one-hot vector along axis 0."""
    n, terms = wins.shape[0], []
    for i in range(1, n):
        row = low.emit("reshape", _rows(low, wins, i, i + 1), shape=wins.shape[1:])
        terms.append(low.emit("mul", row, low.emit("const", value=i, shape=row.shape, kind="int", scale=0)))
    total = terms[0]
    for term in terms[1:]:
        total = low.emit("add", total, term)
    return low.emit("bound", total, limit=max(n - 1, 1), origin=INFERRED)


def _argmax_tree(low: Lowering, rows: Value) -> Value:
    """A tree of comparisons that carries (value, index); the first of equals wins, since the left one has the smaller
    index: neighbours are paired, never far halves."""
    index: Value | None = None
    while (n := rows.shape[0]) > 1:
        pairs = n // 2
        left, right = _rows(low, rows, 0, 2 * pairs - 1, 2), _rows(low, rows, 1, 2 * pairs, 2)
        moves = low.sign(low.emit("sub", left, right))  # [left < right]
        gap = low.emit("sub", right, left)
        at = _index_pairs(low, index, rows, pairs)
        step = low.emit("sub", at[1], at[0])
        picked = _times_bit_twice(low, moves, gap, step)
        top = _retype(low, low.emit("add", left, picked[0]), rows)
        which = _retype(low, low.emit("add", at[0], picked[1]), *at)
        if n % 2:
            top = low.emit("concat", top, _rows(low, rows, n - 1, n), axis=0)
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
        return _rows(low, index, 0, 2 * pairs - 1, 2), _rows(low, index, 1, 2 * pairs, 2)
    shape = (pairs, *rows.shape[1:])
    even = [low.emit("const", value=2 * i, shape=(1, *shape[1:]), kind="int", scale=0) for i in range(pairs)]
    base = low.emit("concat", *even, axis=0) if pairs > 1 else even[0]
    return base, low.emit("add", base, low.emit("const", value=1, shape=shape, kind="int", scale=0))


def _last_index(low: Lowering, index: Value | None, rows: Value) -> Value:
    n = rows.shape[0]
    if index is not None:
        return _rows(low, index, n - 1, n)
    return low.emit("const", value=n - 1, shape=(1, *rows.shape[1:]), kind="int", scale=0)


@rule("loop")
def _loop(low: Lowering, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
    inputs = [low.need(v, ARITH) if v.type.form == SUM3 else v for v in inputs]
    body: Block = op.attrs["body"]
    inner = Lowering(low.config, low.choice)
    block = inner.block(body, [False] * len(body.results))
    block = _match_carry(low, block, op.attrs["consts"], op.attrs["carry"])
    return low.emit_many("loop", *inputs, **{**op.attrs, "body": block})


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
