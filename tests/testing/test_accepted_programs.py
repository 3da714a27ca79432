"""Whatever share-level op the verifier accepts, with whatever attributes, a party can trace, and its messages are
proved private: nobody who writes a program's text can have a protocol tell something by giving it odd attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from jmpc.config import Config
from jmpc.errors import BoundError, ProgramError
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir import ops
from jmpc.ir.ops.record import Operand
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.spec import verify
from jmpc.ir.types import ARITH, BITS, BOOL, FIXED, MASK, PLACES, SPLIT, SUM3, Type, secret_bits
from jmpc.roles import Role
from jmpc.testing.privacy.structural import check_private_structural

SHAPES = ((), (1,), (3,), (0,), (2, 4), (64, 2), (70,))
LIMITS = (1, 3, (1 << 20) + 1, (1 << 44) - 1, (1 << 62) - 1)
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 12, 18, 30, 31, 44, 45, 46, 47, 60, 61, 62, 63, 64, 1 << 46, 1 << 48)
INTEGERS = ((), (0,), (1,), (0, 1), (3,), (1, 1), (2, 1), (1 << 28,), (5, -(1 << 28)), (64,), (64, 1), (63, 64))
TABLES = (((1, 2),), ((3, -4, 5, 7), (1, 1, 1, 1)))
MATRIX = (((0,), (0,)), ((), ()))
MOST_BLOCK = 5  # larger blocks are legal, and slow
FEW, TRIES = 4, 1500


def candidates(key: str, shape: tuple[int, ...]) -> list[Any]:
    """Values that an attribute may have; which are legal its signature says."""
    blocks = key in ("block", "blocks", "digit", "high", "low")
    most = MOST_BLOCK if blocks else 9 if key == "bits" else 1 << 62
    numbers = [n for n in NUMBERS if n <= most]
    integers = [t for t in INTEGERS if not blocks or max(t, default=0) <= MOST_BLOCK]
    return [*numbers, *integers, *TABLES, MATRIX, shape, (5,), True, False]


class Writer:
    """Writes programs of one op with operands that some op makes."""

    def __init__(self, seed: int) -> None:
        self.draw, self.config = Random(seed), Config()

    def program(self, name: str) -> Program | None:
        """None where no attribute fits, or no type."""
        signature, shape = ops.OPS[name], self.draw.choice(SHAPES)
        count = len(signature.operands) + (self.draw.randint(0, 2) if signature.more else 0)
        self.build, self.inputs, self.dabit = Builder(), list[Value](), ()
        try:
            operands = [self.operand(signature.operand(n), shape) for n in range(count)]
            types = [v.type for v in operands]
            attrs = {}
            for key, wanted in signature.attrs.items():
                fits = [v for v in candidates(key.rstrip("?"), shape) if wanted.holds(v, types, self.config)]
                if not fits:
                    return None
                attrs[key.rstrip("?")] = self.draw.choice(fits)
            made = self.emit(name, operands, **attrs)
        except (ProgramError, BoundError):
            return None
        results = [v for v in made if v.type.form in (ARITH, BITS)]
        inputs = tuple(Input(f"x{n}", Role.SECRET) for n in range(len(self.inputs)))
        outputs = tuple(Output(f"y{n}", Role.SECRET, "float32") for n in range(len(results)))
        return Program(name, self.config, inputs, outputs, self.build.block(tuple(self.inputs), tuple(results)))

    def emit(self, name: str, operands: Sequence[Value], **attrs: Any) -> tuple[Value, ...]:
        types = ops.infer(name, [v.type for v in operands], attrs, self.config)
        return self.build.emit_many(name, tuple(operands), types, **attrs)

    def input(self, t: Type) -> Value:
        self.inputs.append(Value(t))
        return self.inputs[-1]

    def operand(self, wanted: Operand | None, shape: tuple[int, ...]) -> Value:
        """A value of a kind and a form that the op takes."""
        assert wanted is not None
        kind, forms = self.draw.choice(wanted.kinds), wanted.forms
        if MASK in forms:
            self.dabit = self.dabit or self.emit("dabit", (), shape=shape)
            return self.dabit[0 if kind == BOOL else 1]
        if PLACES in forms:
            bits = self.input(secret_bits((3, *(shape or (2,)))))
            return self.emit("radix_rank", (bits,), digit=2, width=3, turned=())[0]
        if kind == BOOL:
            return self.input(secret_bits(shape))
        t = Type(shape, kind, self.draw.choice((0, 18, 36)) if kind == FIXED else 0, self.draw.choice(LIMITS))
        made = {SPLIT: "split", SUM3: "to_sum3"}
        form = self.draw.choice([f for f in forms if f == ARITH or f in made])
        value = self.input(t)
        return value if form == ARITH else self.emit(made[form], (value,))[0]


def accepted(name: str, seed: int) -> Iterator[Program]:
    """A few programs of one op that a party accepts."""
    writer, found = Writer(seed), 0
    for _ in range(TRIES):
        program = writer.program(name)
        if program is not None and is_accepted(program):
            yield program
            found += 1
        if found == FEW:
            break


def is_accepted(program: Program) -> bool:
    try:
        verify(program, "share")
    except ProgramError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_what_is_accepted_is_proved(name: str) -> None:
    for program in accepted(name, len(name)):
        check_private_structural(program)


def test_of_most_ops_some_program_is_accepted() -> None:
    none = {name for name in PROTOCOLS if not any(accepted(name, len(name)))}
    assert none <= {"conv_sum3"}
