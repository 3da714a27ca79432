"""Programs in single static assignment: values, ops, blocks; and the builder that makes them.

A `Program` is frozen data: one body `Block`, the configuration it was made for, and for each input its path and
owner, for each output its path and receiver. Regions (the body of a loop) are blocks held in an op's attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jmpc.config import Config
from jmpc.ir.types import Type

Attr = Any  # int, float, str, bool, None, nested tuples of these, or a Block


@dataclass(eq=False, frozen=True)
class Value:
    """One SSA value. Its identity is the object; `type` says everything else."""

    type: Type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape


@dataclass(eq=False, frozen=True)
class Op:
    """`outputs = name(inputs) {attrs}`, with the user's file:line."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict[str, Attr])
    loc: str = ""

    @property
    def output(self) -> Value:
        (only,) = self.outputs
        return only


@dataclass(eq=False, frozen=True)
class Block:
    params: tuple[Value, ...]
    ops: tuple[Op, ...]
    results: tuple[Value, ...]


@dataclass(frozen=True)
class Input:
    """path: where the array sits in the caller's arguments.  owner: who supplies it: a name, or a role; `Role.SECRET`
    for a value that is shared already."""

    path: str
    owner: str


@dataclass(frozen=True)
class Output:
    """path: where the array sits in the result.  receiver: who learns it; `Role.SECRET`: nobody, it stays shared.
    dtype: the JAX dtype that the receiver decodes to."""

    path: str
    receiver: str
    dtype: str


@dataclass(eq=False, frozen=True)
class Program:
    name: str
    config: Config
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    body: Block

    def with_body(self, body: Block) -> Program:
        return Program(self.name, self.config, self.inputs, self.outputs, body)


class Builder:
    """Collects ops into a block, and knows which made a value. `loc` is stamped on each op until it is changed."""

    def __init__(self, loc: str = "") -> None:
        self.ops: list[Op] = []
        self.loc = loc
        self._made: dict[Value, Op] = {}

    def emit(self, name: str, inputs: tuple[Value, ...] | list[Value], type: Type, **attrs: Attr) -> Value:
        return self.emit_many(name, inputs, (type,), **attrs)[0]

    def emit_many(
        self, name: str, inputs: tuple[Value, ...] | list[Value], types: tuple[Type, ...], **attrs: Attr
    ) -> tuple[Value, ...]:
        outputs = tuple(Value(t) for t in types)
        op = Op(name, tuple(inputs), outputs, attrs, self.loc)
        self.ops.append(op)
        self._made.update((value, op) for value in outputs)
        return outputs

    def maker(self, value: object) -> Op | None:
        """The op of this block that made a value, however long ago; None for a parameter, or what is no value."""
        return self._made.get(value)  # pyright: ignore[reportArgumentType]

    def block(self, params: tuple[Value, ...], results: tuple[Value, ...]) -> Block:
        return Block(tuple(params), tuple(self.ops), tuple(results))


def regions(op: Op) -> Iterator[tuple[str, Block]]:
    """The blocks inside an op, by attribute name."""
    for name, attr in op.attrs.items():
        if isinstance(attr, Block):
            yield name, attr


def walk(block: Block) -> Iterator[Op]:
    """Every op of a block and of the regions in it, in order."""
    for op in block.ops:
        yield op
        for _, region in regions(op):
            yield from walk(region)
