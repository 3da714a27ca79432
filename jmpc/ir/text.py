"""Programs as text: printing and the hash (reading is in `parse.py`, whose docstring holds the grammar).

What goes in: a Program. What comes out: text that people can read and `parse_program` reads back to the same
program, and the SHA-256 of that text. Parties approve and agree on this text, so it holds everything that changes
what is computed or who learns it; source locations are left out of the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from jmpc._types import is_tuple
from jmpc.errors import ProgramError
from jmpc.ir.outside import used
from jmpc.ir.parse import parse_program, parse_type
from jmpc.ir.program import Attr, Block, Op, Program, Value
from jmpc.ir.tokens import is_word, write_integer, write_string
from jmpc.ir.types import FIXED, INFERRED, Type

__all__ = ["Printer", "parse_program", "parse_type", "print_program", "print_type", "program_hash"]


def print_program(program: Program, locations: bool = True) -> str:
    """The text of a program. Raises ProgramError where an attribute or a name has no text form."""
    return "\n".join(Printer(locations).program(program)) + "\n"


def program_hash(program: Program) -> str:
    """SHA-256 of the text without locations, in hex."""
    return hashlib.sha256(print_program(program, locations=False).encode("ascii")).hexdigest()


def print_type(t: Type) -> str:
    """Without `max`, the limit is 1 and inferred."""
    owner = f"({write_string(t.owner)})" if t.owner else ""
    scale = f"<{write_integer(t.scale)}>" if t.kind == FIXED or t.scale else ""
    shape = ",".join(write_integer(n) for n in t.shape)
    limit = "" if (t.limit, t.origin) == (1, INFERRED) else f" max {write_integer(t.limit)} {t.origin}"
    return f"{t.visibility}{owner} {t.kind}{scale}[{shape}] {t.form}{limit}"


class Printer:
    """Prints a program line by line. `heads` keeps the first line of each op, for messages.

    tolerant: print `?` for what has no text form instead of raising, so that a broken program can be shown.
    """

    def __init__(self, locations: bool = True, tolerant: bool = False) -> None:
        self.locations, self.tolerant = locations, tolerant
        self.names: dict[Value, str] = {}
        self.heads: dict[Op, str] = {}

    def program(self, program: Program) -> Iterator[str]:
        yield f"program {_name(program.name)}"
        yield "config " + " ".join(f"{key}={self.attr(value)}" for key, value in program.config.header())
        for name, origin in used(program).items():
            yield f"uses {name} from {write_string(origin.module)} {write_string(origin.digest)}"
        yield from self.inputs(program)
        for op in program.body.ops:
            yield from self.op(op, "")
        if len(program.outputs) != len(program.body.results) and not self.tolerant:
            raise ProgramError(f"{len(program.outputs)} outputs for {len(program.body.results)} results")
        for entry, value in zip(program.outputs, program.body.results, strict=False):
            path, receiver = write_string(entry.path), write_string(entry.receiver)
            yield f"output {self.use(value)} {path} to {receiver} {_name(entry.dtype)}"

    def inputs(self, program: Program) -> Iterator[str]:
        if len(program.inputs) != len(program.body.params) and not self.tolerant:
            raise ProgramError(f"{len(program.inputs)} inputs for {len(program.body.params)} parameters")
        for entry, value in zip(program.inputs, program.body.params, strict=False):
            source = f" from {write_string(entry.owner)}" if entry.owner else ""
            yield f"input {self.define(value)} {write_string(entry.path)}{source} : {print_type(value.type)}"

    def op(self, op: Op, indent: str) -> Iterator[str]:
        outputs = ", ".join([self.define(value) for value in op.outputs])
        head = f"{indent}{outputs} = {self.word(op.name)}"
        if op.inputs:
            head += " " + ", ".join(self.use(value) for value in op.inputs)
        tail = " : " + ", ".join(print_type(value.type) for value in op.outputs)
        if self.locations and op.loc:
            tail += f" @ {write_string(op.loc)}"
        *lines, last = self.attrs(op, head, indent)
        self.heads[op] = (lines[0] if lines else last + tail).strip()
        yield from lines
        yield last + tail

    def attrs(self, op: Op, head: str, indent: str) -> list[str]:
        """`head` with the attributes behind it, regions last; one line, and the lines of the regions."""
        plain = {key: attr for key, attr in op.attrs.items() if not isinstance(attr, Block)}
        lines = [head]
        separator = " {"
        for key in sorted(plain):
            lines[-1] += f"{separator}{self.word(key)}={self.attr(plain[key])}"
            separator = ", "
        for key in sorted(op.attrs.keys() - plain.keys()):
            lines[-1] += f"{separator}{self.word(key)}="
            first, *rest = self.block(op.attrs[key], indent)
            lines[-1] += first
            lines += rest
            separator = ", "
        if op.attrs:
            lines[-1] += "}"
        return lines

    def block(self, block: Block, indent: str) -> Iterator[str]:
        params = ", ".join(f"{self.define(value)} : {print_type(value.type)}" for value in block.params)
        yield f"block({params}) {{"
        for op in block.ops:
            yield from self.op(op, indent + "  ")
        results = ", ".join(self.use(value) for value in block.results)
        yield f"{indent}  return {results}".rstrip()
        yield indent + "}"

    def define(self, value: Value) -> str:
        return self.names.setdefault(value, f"%{len(self.names)}")

    def use(self, value: Value) -> str:
        """The name of `value`; `%?`, which does not parse, where nothing has defined it."""
        return self.names.get(value, "%?")

    def word(self, text: str) -> str:
        if not is_word(text) and not self.tolerant:
            raise ProgramError(f"{text!r} is not a name: letters, digits and _")
        return text

    def attr(self, value: Attr) -> str:
        if value is None or isinstance(value, bool):
            return {None: "none", True: "true", False: "false"}[value]
        if isinstance(value, int):
            return write_integer(value)
        if isinstance(value, float):
            return float.__repr__(value)
        if isinstance(value, str):
            return write_string(value)
        if is_tuple(value):
            items = [self.attr(item) for item in value]
            return f"({items[0]},)" if len(items) == 1 else f"({','.join(items)})"
        if self.tolerant:
            return "?"
        raise ProgramError(f"an attribute of type {type(value).__name__} has no text form")


def _name(text: str) -> str:
    return text if is_word(text) else write_string(text)
