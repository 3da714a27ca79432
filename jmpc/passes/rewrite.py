"""The frame of every pass: walk a block in order, emit each op anew, let the pass change what it emits.

What goes in: a program and a function from (rewriter, op, new inputs) to the new results, or None to keep the op.
What comes out: a program. Types are inferred again, so a pass cannot leave a stale bound behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.program import Block, Builder, Op, Program, Value

Change = Callable[["Rewriter", Op, list[Value]], Sequence[Value] | None]


class Rewriter:
    """One block being rewritten. reads: how often each old value is read."""

    def __init__(self, config: Config, change: Change, block: Block) -> None:
        self.config, self.change = config, change
        self.build = Builder()
        self.reads = count_reads(block)
        self.old_of: dict[Value, Value] = {}

    def run(self, block: Block) -> Block:
        env: dict[Value, Value] = {p: p for p in block.params}
        for op in block.ops:
            self.build.loc = op.loc
            inputs = [env[v] for v in op.inputs]
            outputs = self.change(self, op, inputs)
            if outputs is None:
                outputs = self.keep(op, inputs)
            env.update(zip(op.outputs, outputs, strict=True))
            self.old_of.update(zip(outputs, op.outputs, strict=True))
        return self.build.block(block.params, tuple(env[v] for v in block.results))

    def keep(self, op: Op, inputs: Sequence[Value]) -> tuple[Value, ...]:
        attrs = dict(op.attrs)
        for name, attr in attrs.items():
            if isinstance(attr, Block):
                attrs[name] = _same_results(Rewriter(self.config, self.change, attr).run(attr), attr)
        return self.emit_many(op.name, *inputs, **attrs)

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        return self.emit_many(name, *inputs, **attrs)[0]

    def emit_many(self, name: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        types = ops.infer(name, [v.type for v in inputs], attrs, self.config, self.build.loc)
        return self.build.emit_many(name, inputs, types, **attrs)

    def only_reader(self, value: Value) -> bool:
        """Whether the op at hand is the one reader of `value`."""
        return self.reads[self.old_of.get(value, value)] == 1

    def source(self, value: Value, name: str) -> Op | None:
        """The op behind `value` if it is a `name`."""
        op = self.build.maker(value)
        return op if op is not None and op.name == name else None


def rewrite(program: Program, change: Change) -> Program:
    return program.with_body(Rewriter(program.config, change, program.body).run(program.body))


def count_reads(block: Block) -> Counter[Value]:
    found: Counter[Value] = Counter(block.results)
    for op in block.ops:
        found.update(op.inputs)
    return found


def _same_results(new: Block, old: Block) -> Block:
    """A loop's carry keeps its type: where a pass made a bound tighter, it is declared back."""
    build = Builder()
    build.ops = list(new.ops)
    results: list[Value] = []
    for value, before in zip(new.results, old.results, strict=True):
        if value.type != before.type:
            t = before.type
            value = build.emit("bound", (value,), t, limit=t.limit, origin=t.origin)
        results.append(value)
    return Block(new.params, tuple(build.ops), tuple(results))
