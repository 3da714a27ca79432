"""A program of the Share IR while it is drawn: emits ops with the types that `ops.infer` gives, keeps what may be used.

What goes in: names of ops, values, attributes. What comes out: values, and the block at the end. Not here: which ops
are drawn (`ir_programs.py`), and with which attributes (`attributes.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.program import Block, Builder, Value
from jmpc.ir.types import ARITH, Type

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Maker:
    """Emits ops into one block and keeps the values that may be used, by what the next step asks for."""

    def __init__(self, config: Config, params: tuple[Value, ...] = (), loc: str = "model.py:1 (f)") -> None:
        self.config = config
        self.builder = Builder(loc)
        self.params = params
        self.values: list[Value] = []

    def emit_many(self, name: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        types = ops.infer(name, [value.type for value in inputs], attrs, self.config)
        return self.builder.emit_many(name, inputs, types, **attrs)

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        (value,) = self.emit_many(name, *inputs, **attrs)
        return value

    def const(self, value: int, like: Type, shape: tuple[int, ...] | None = None) -> Value:
        return self.emit(
            "const", shape=like.shape if shape is None else shape, kind=like.kind, scale=like.scale, value=value
        )

    def with_(self, *forms: str) -> list[Value]:
        return [value for value in self.values if value.type.form in forms]

    def block(self, *results: Value) -> Block:
        return self.builder.block(self.params, results)

    def like(self, draw: Draw, x: Value) -> Value:
        """A value that can be added to x; x itself is one."""

        def fits(t: Type) -> bool:
            return t.form == ARITH and (t.shape, t.kind, t.scale) == (x.shape, x.type.kind, x.type.scale)

        return draw(st.sampled_from([value for value in self.values if fits(value.type)]))
