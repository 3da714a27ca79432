"""The state of lowering one block: forms that a value has already, conversions between them, what several rules share.

What goes in: ops of a value-level block, the choices of `choose`. What comes out: a share-level block. Products stay
unmasked summands (`sum3`) as long as only linear ops follow; a truncation or a comparison opens them to the two-party
view (`split`), from which both start in the same round; anything else reshares them. Rules by op are in `rules_*`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.families.replicated3.lowering import choose
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir import ops
from jmpc.ir.ops.record import LINEAR, PRODUCT
from jmpc.ir.program import Block, Builder, Op, Value
from jmpc.ir.types import ARITH, ASSUMED, BITS, BOOL, PLAIN, SPLIT, SUM3

Rule = Callable[["Lowering", Op, list[Value]], Value | tuple[Value, ...]]
RULES: dict[str, Rule] = {}
MOVES = ("reshape", "transpose", "broadcast", "slice", "neg", "take")
UNTRUNCATED = "before its truncation"
FROM_SPLIT: set[str] = set()


def rule(*names: str, from_split: bool = False) -> Callable[[Rule], Rule]:
    """Register how ops are lowered. An op of both levels needs no rule (`Lowering.as_it_is`). from_split: they begin
    with the two-party view of their operand, so that a product that they alone read is opened to it at once."""

    def register(function: Rule) -> Rule:
        FROM_SPLIT.update(names if from_split else ())
        for name in names:
            if name in RULES:
                raise ValueError(f"op {name} has a rule already")
            RULES[name] = function
        return function

    return register


class Lowering:
    """Lowers one block at a time. forms: for a value of the new program, the same value in other forms, or before its
    truncation within what its own bound says. untruncated: for a truncated value, what it was made of. reach: how large
    a difference of two values can be: where both keep the number format's contract, their difference, often the
    compiler's own, may be twice that."""

    def __init__(self, config: Config, choice: choose.Choice) -> None:
        self.config, self.choice = config, choice
        self.build = Builder()
        self.env: dict[Value, Value] = {}
        self.forms: dict[tuple[Value, str], Value] = {}
        self.untruncated: dict[Value, tuple[Value, int]] = {}
        self.reach: dict[Value, int] = {}
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
        elif ops.has(op.name, PRODUCT):
            out = self.product(op, inputs)
        elif op.name in PROTOCOLS and not ops.has(op.name, LINEAR):
            out = self.as_it_is(op, inputs)
        else:
            out = self.linear(op, inputs)
        outputs = out if isinstance(out, tuple) else (out,)
        self.env.update(zip(op.outputs, map(self.kept_secret, op.outputs, outputs), strict=True))

    def kept_secret(self, value: Value, made: Value) -> Value:
        """What is made of a secret stays one in the type, also where a protocol knows it (the index among one)."""
        return self.emit("share", made) if value.type.secret and not made.type.secret else made

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        made = self.emit_many(name, *inputs, **attrs)[0]
        reach = self._reach(name, inputs)
        if reach:
            self.reach[made] = reach
        return made

    def _reach(self, name: str, inputs: Sequence[Value]) -> int:
        """Of a difference, or of a sum with a public number at the format's end (a mask that saturated), wherever it is
        moved to; else 0."""
        ends = [v.type.limit > ops.contract(v.type.scale, self.config) >> 1 for v in inputs if not v.type.secret]
        if name in ("sub", "gap") or (name == "add" and any(ends)):
            return sum(self.reach.get(v, v.type.limit) for v in inputs)
        return self.reach.get(inputs[0], 0) if name in MOVES else 0

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
        if sum(reads.values()) > 1 and not set(reads) <= FROM_SPLIT:
            return self.need(made, ARITH)
        return made

    def as_it_is(self, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
        """An op of both levels: its protocol, on operands in the forms that it takes, and within the bounds that they
        had before they were lowered."""
        taken: list[Value] = []
        for n, (value, before) in enumerate(zip(inputs, op.inputs, strict=True)):
            wanted = ops.OPS[op.name].operand(n)
            assert wanted is not None
            if value.type.kind != BOOL and value.type.limit > before.type.limit:
                value = self.emit("bound", value, limit=before.type.limit, origin=before.type.origin)
            forms = wanted.forms
            taken.append(value if value.type.form in forms else self.need(value, forms[0]))
        return self.emit_many(op.name, *taken, **op.attrs)

    def linear(self, op: Op, inputs: list[Value]) -> Value:
        data = len(ops.OPS[op.name].data(inputs))
        forms = {v.type.form for v in inputs[:data]}
        if SUM3 in forms:
            inputs = [self.need(v, SUM3) if v.type.form == ARITH else v for v in inputs[:data]] + inputs[data:]
        made = self.emit(op.name, *inputs, **op.attrs)
        if op.name == "bound" and inputs[0] in self.untruncated:
            self.untruncated[made] = self.untruncated[inputs[0]]
        return made

    # --- what several rules share

    def before_truncation(self, x: Value) -> tuple[Value, int]:
        """What a truncated value was made of, and how many bits it lost; of another value itself, and 0. What was
        said of the size of x since, holds of what it was made of."""
        source, bits = self.untruncated.get(x, (x, 0))
        most = ((x.type.limit + 1) << bits) - 1
        if most >= source.type.limit:
            return source, bits
        if (x, UNTRUNCATED) not in self.forms:
            made = self.emit("bound", self.need(source, SPLIT), limit=most, origin=x.type.origin)
            if x.type.origin == ASSUMED and source in self.reach:
                self.reach[made] = self.reach[source]
            self.forms[x, UNTRUNCATED] = made
        return self.forms[x, UNTRUNCATED], bits

    def sign(self, x: Value) -> Value:
        """Packed bits [x < 0]; of a truncated value, from before its truncation, in parallel with it."""
        source, drop = self.before_truncation(x)
        reach = max(x.type.limit, (self.reach.get(source, 0) >> drop) + bool(drop))
        width = min(reach.bit_length() + 1, self.config.k - drop)
        block = self.choice.sign_block(x.type.size, width)
        return self.emit("msb", self.need(source, SPLIT), width=width, drop=drop, block=block)

    def less(self, x: Value, y: Value) -> Value:
        """Packed bits [x < y], as signed numbers. Where the difference may leave the ring, its sign counts only for
        operands of equal signs; for others, the sign of x says it."""
        x, y = self.need(x, ARITH), self.need(y, ARITH)
        gap = self.emit("gap", x, y)
        if x.type.limit + y.type.limit < 1 << (self.config.k - 1):
            return self.sign(gap)
        sign, other, found = self.sign(x), self.sign(y), self.sign(gap)
        mixed = self.emit("and", self.emit("xor", sign, other), self.emit("xor", sign, found))
        return self.emit("xor", found, mixed)

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


def leading(low: Lowering, x: Value, axes: Sequence[int]) -> Value:
    """`x` with the reduced axes merged in front: (n, *kept)."""
    kept = [d for d in range(len(x.shape)) if d not in axes]
    perm = (*axes, *kept)
    if perm != tuple(range(len(x.shape))):
        x = low.emit("transpose", x, perm=perm)
    count = 1
    for d in range(len(axes)):
        count *= x.shape[d]
    return low.emit("reshape", x, shape=(count, *x.shape[len(axes) :]))


def row_slice(low: Lowering, x: Value, start: int, stop: int, stride: int = 1) -> Value:
    rank = len(x.shape)
    return low.emit(
        "slice",
        x,
        start=(start, *(0,) * (rank - 1)),
        limit=(stop, *x.shape[1:]),
        strides=(stride, *(1,) * (rank - 1)),
    )
