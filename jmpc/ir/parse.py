"""Reading IR text: a strict parser, since the text comes from other parties.

What goes in: text. What comes out: the Program that `print_program` printed, or ProgramError with the line and what
was expected there. Length, nesting and integers are limited in `tokens.py`. The parser checks names and the form of
each line; whether the program is legal is the business of `spec.py`.

    program := "program" NAME eol  "config" (WORD "=" attr)+ eol  uses*  input*  op*  output*
    uses    := "uses" WORD "from" STRING STRING eol
    input   := "input" VALUE STRING ["from" STRING] ":" type eol
    output  := "output" VALUE STRING "to" STRING NAME eol
    op      := VALUE,+ "=" WORD [VALUE,+] ["{" (WORD "=" (attr | block)),+ "}"] ":" type,+ ["@" STRING] eol
    block   := "block" "(" (VALUE ":" type),* ")" "{" eol  op*  "return" VALUE,* eol  "}"
    type    := visibility ["(" STRING ")"] kind ["<" INT ">"] "[" INT,* "]" form ["max" INT origin]
    attr    := "none" | "true" | "false" | INT | FLOAT | STRING | "(" ")" | "(" attr "," ")" | "(" attr ("," attr)+ ")"

X,+ is a list with commas, VALUE is `%12`, NAME is a word or a string, INT may be written `2^44-1`. A region sees its
own parameters and values alone, and no number is defined twice in a program.
"""

from __future__ import annotations

from jmpc.config import Config
from jmpc.errors import ConfigError
from jmpc.ir.cursor import Cursor
from jmpc.ir.ops.record import Origin
from jmpc.ir.outside import require_said, require_same
from jmpc.ir.program import Attr, Block, Input, Op, Output, Program, Value
from jmpc.ir.tokens import END, FLOAT, INTEGER, STRING, VALUE, WORD, Token, read_integer, refuse
from jmpc.ir.types import FIXED, FORMS, INFERRED, KINDS, ORIGINS, VISIBILITIES, Type

_WORD_ATTRS = {"none": None, "true": True, "false": False}
Scope = dict[str, Value]


def parse_program(text: str) -> Program:
    """The program in `text`. Raises ProgramError, and nothing else, where the text is not a program."""
    return _Parser(text).program()


def parse_type(text: str) -> Type:
    """The type that `print_type` printed. Raises ProgramError where the text is none."""
    parser = _Parser(text)
    found = parser.value_type()
    parser.end_line()
    parser.take(END, "the end of the type")
    return found


class _Parser(Cursor):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.defined: set[str] = set()

    # --- values

    def fresh(self) -> Token:
        """The number of a new value."""
        token = self.take(VALUE, "a value such as %0")
        if token.text in self.defined:
            raise refuse(token.line, f"expected a new value, found {token.text}, which is defined above")
        self.defined.add(token.text)
        return token

    def use(self, scope: Scope) -> Value:
        token = self.take(VALUE, "a value such as %0")
        if token.text not in scope:
            raise refuse(token.line, f"expected a value defined before in this block, found {token.text}")
        return scope[token.text]

    def uses(self, scope: Scope) -> tuple[Value, ...]:
        if self.now.kind != VALUE:
            return ()
        found = [self.use(scope)]
        while self.skip(","):
            found.append(self.use(scope))
        return tuple(found)

    def typed(self, scope: Scope) -> Value:
        """`%n : type`, a parameter of a block."""
        name = self.fresh().text
        self.need(":")
        scope[name] = Value(self.value_type())
        return scope[name]

    def value_type(self) -> Type:
        visibility = self.one_of(VISIBILITIES, "a visibility")
        owner = ""
        if self.skip("("):
            owner = self.string()
            self.need(")")
        kind = self.one_of(KINDS, "a kind")
        scale = 0
        if kind == FIXED or self.at("<"):
            self.need("<")
            scale = self.integer()
            self.need(">")
        shape = self.shape()
        form = self.one_of(FORMS, "a form")
        limit, origin = 1, INFERRED
        if self.skip("max"):
            limit, origin = self.integer(), self.one_of(ORIGINS, "the origin of the limit")
        return Type(shape, kind, scale, limit, origin, visibility, owner, form)

    def shape(self) -> tuple[int, ...]:
        self.need("[")
        sizes: list[int] = []
        while not self.skip("]"):
            if sizes:
                self.need(",")
            sizes.append(self.integer())
        return tuple(sizes)

    # --- attributes

    def attrs(self) -> dict[str, Attr]:
        found: dict[str, Attr] = {}
        if not self.skip("{"):
            return found
        while not found or self.skip(","):
            key = self.take(WORD, "the name of an attribute")
            if key.text in found:
                raise refuse(key.line, f"expected each attribute once, found {key.text!r} again")
            self.need("=")
            found[key.text] = self.block() if self.at("block") else self.attr()
        self.need("}")
        return found

    def attr(self) -> Attr:
        if self.now.kind == INTEGER:
            return read_integer(self.take(INTEGER))
        if self.now.kind == FLOAT:
            return float(self.take(FLOAT).text)
        if self.now.kind == STRING:
            return self.string()
        if self.now.kind == WORD and self.now.text in _WORD_ATTRS:
            return _WORD_ATTRS[self.take(WORD).text]
        if not self.at("("):
            raise self.fail("a value of an attribute")
        return self.items()

    def items(self) -> tuple[Attr, ...]:
        self.deeper()
        self.need("(")
        items: list[Attr] = []
        if not self.at(")"):
            items.append(self.attr())
            self.need(",")
        if items and not self.at(")"):
            items.append(self.attr())
            while self.skip(","):
                items.append(self.attr())
        self.need(")")
        self.depth -= 1
        return tuple(items)

    # --- blocks and ops

    def block(self) -> Block:
        self.deeper()
        self.need("block")
        self.need("(")
        scope: Scope = {}
        params: list[Value] = []
        while not self.skip(")"):
            if params:
                self.need(",")
            params.append(self.typed(scope))
        self.need("{")
        self.end_line()
        ops = self.ops(scope)
        self.need("return")
        results = self.uses(scope)
        self.end_line()
        self.need("}")
        self.depth -= 1
        return Block(tuple(params), ops, results)

    def ops(self, scope: Scope) -> tuple[Op, ...]:
        found: list[Op] = []
        while self.now.kind == VALUE:
            found.append(self.op(scope))
        return tuple(found)

    def op(self, scope: Scope) -> Op:
        names = [self.fresh()]
        while self.skip(","):
            names.append(self.fresh())
        self.need("=")
        op_name = self.take(WORD, "the name of an op").text
        inputs = self.uses(scope)
        attrs = self.attrs()
        self.need(":")
        types = [self.value_type()]
        while self.skip(","):
            types.append(self.value_type())
        if len(types) != len(names):
            raise self.fail(f"one type for each of {len(names)} values, not {len(types)}")
        loc = self.string() if self.skip("@") else ""
        self.end_line()
        outputs = tuple(Value(t) for t in types)
        scope.update((token.text, value) for token, value in zip(names, outputs, strict=True))
        return Op(op_name, inputs, outputs, attrs, loc)

    # --- the program

    def program(self) -> Program:
        self.need("program")
        name = self.name()
        self.end_line()
        config = self.config()
        said = self.uses_of_modules()
        scope: Scope = {}
        inputs, params = self.inputs(scope)
        ops = self.ops(scope)
        outputs: list[Output] = []
        results: list[Value] = []
        while self.skip("output"):
            results.append(self.use(scope))
            outputs.append(self.output())
        self.take(END, "an op, an output or the end of the text")
        program = Program(name, config, inputs, tuple(outputs), Block(params, ops, tuple(results)))
        require_said(program, said)
        return program

    def uses_of_modules(self) -> dict[str, Origin]:
        """The ops from outside the package, each as this process has it."""
        found: dict[str, Origin] = {}
        while self.skip("uses"):
            name = self.take(WORD, "the name of an op").text
            self.need("from")
            found[name] = Origin(self.string(), self.string())
            self.end_line()
            require_same(name, found[name])
        return found

    def config(self) -> Config:
        line = self.now.line
        self.need("config")
        found: dict[str, Attr] = {}
        for key, default in Config().header():
            self.need(key)
            self.need("=")
            found[key] = self.setting(default)
        self.end_line()
        try:
            return Config(**found)
        except ConfigError as fault:
            raise refuse(line, f"expected a configuration that is possible: {fault.what}") from fault

    def setting(self, default: object) -> Attr:
        """A value of the kind of a default."""
        if isinstance(default, str):
            return self.string()
        return (
            float(self.take(FLOAT, "a number with a point or an exponent").text)
            if isinstance(default, float)
            else self.integer()
        )

    def inputs(self, scope: Scope) -> tuple[tuple[Input, ...], tuple[Value, ...]]:
        inputs: list[Input] = []
        params: list[Value] = []
        while self.skip("input"):
            name = self.fresh().text
            path = self.string()
            owner = self.string() if self.skip("from") else ""
            self.need(":")
            scope[name] = Value(self.value_type())
            self.end_line()
            inputs.append(Input(path, owner))
            params.append(scope[name])
        return tuple(inputs), tuple(params)

    def output(self) -> Output:
        path = self.string()
        self.need("to")
        receiver = self.string()
        dtype = self.name()
        self.end_line()
        return Output(path, receiver, dtype)
