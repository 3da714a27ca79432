"""How each registered protocol is enumerated: its inputs on a tiny ring, and what is random in them.

A new protocol adds its case here. Where all of its runs are too many (over 2^23), narrow the ring; where that does not
do, name the `parts` that it is made of (tests/testing/test_privacy_parts.py), and say `why` their privacy is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc.config import Config
from jmpc.ir.program import Program
from jmpc.ir.types import ARITH, SPLIT, SUM3, Type, dabit_halves, secret_bits, secret_places
from jmpc.testing.build import number, one_op, program_of
from jmpc.testing.draw.ir_programs import conv_attrs

Shape = tuple[int, ...]
Types = Callable[[Shape], Sequence[Type]]


@dataclass(frozen=True)
class Case:
    """One use of a protocol, elementwise in `shape`. k: of the ring.  tied, unknown: see `check_private_exact`.
    local: it sends nothing and draws nothing; then it may have any shape.  opens: values that it opens."""

    inputs: Types = lambda shape: ()
    attrs: Mapping[str, Any] | Callable[[Shape], Mapping[str, Any]] = field(default_factory=dict)
    k: int = 3
    tied: Mapping[int, int] = field(default_factory=dict)
    unknown: Sequence[int] = ()
    local: bool = False
    parts: Sequence[str] = ()
    why: str = ""
    opens: int = 0

    def program(self, op: str, shape: Shape, config: Config) -> Program:
        """The op alone; a random input is made by the op that makes it."""
        types = list(self.inputs(shape))
        attrs = self.attrs(shape) if callable(self.attrs) else self.attrs
        if not self.tied:
            return one_op(op, types, config, **attrs)
        random = {*self.tied, *self.tied.values()}

        def make(emit: Any, *values: Any) -> Any:
            given, held = iter(values), iter(emit("dabit", shape=shape))
            return emit(op, *(next(held if n in random else given) for n in range(len(types))), **attrs)

        return program_of(make, [t for n, t in enumerate(types) if n not in random], config, "jmpc.SECRET")


def num(shape: Shape, form: str = ARITH, scale: int = 0) -> Type:
    return number(shape, 0, form, scale)


def same(count: int, form: str = ARITH, scale: int = 0) -> Types:
    return lambda shape: [num(shape, form, scale)] * count


def flags(count: int) -> Types:
    return lambda shape: [secret_bits(shape)] * count


def comparisons(name: str, *attrs: Mapping[str, Any]) -> list[Case]:
    return [Case(same(1, SPLIT), a, k=a["width"] + a.get("drop", 0)) for a in attrs]


OPENED_ORDER = "an order, shuffled and opened"
PADS = "all else is sealed by one-time pads, given what is opened (structural level)"
SHUFFLED = "all is sealed by one-time pads, and nothing is opened (structural level)"
MATRIX = (((1,), (0,)), ((), ()))

CASES: dict[str, list[Case]] = {
    "to_sum3": [Case(same(1), local=True)],
    "split": [Case(same(1), local=True)],
    "mul_sum3": [Case(same(2), local=True)],
    "dot_sum3": [Case(lambda shape: [num((2, 3)), num((3, 2))], {"dims": MATRIX}, local=True)],
    "conv_sum3": [Case(lambda shape: [num((1, 2, 3, 3)), num((1, 2, 2, 2))], conv_attrs(), local=True)],
    "reshare": [Case(same(1, SUM3))],
    "open_split": [Case(same(1, SUM3), k=4)],
    "and": [Case(flags(2))],
    "truncate_wrap": [
        Case(same(1, SPLIT, scale=1), {"bits": 1}, k=4),
        Case(same(1, SPLIT, scale=2), {"bits": 2}, k=4),
    ],
    "truncate_local": [Case(same(1, SPLIT, scale=2), {"bits": 2}, k=4)],
    "msb": comparisons(
        "msb",
        {"width": 1, "drop": 0, "block": 1},
        {"width": 3, "drop": 0, "block": 1},
        {"width": 3, "drop": 0, "block": 2},
        {"width": 2, "drop": 1, "block": 1},
    ),
    "zero_test": comparisons("zero_test", {"width": 2, "block": 1}, {"width": 3, "block": 2}, {"width": 3, "block": 3}),
    "periodic_sum3": [
        Case(same(1, SPLIT), {"rate": 1 << 46, "sin": (1 << 27,), "cos": (0,), "scale": 0, "known": 0}, k=3),
        Case(same(1, SPLIT), {"rate": 1 << 47, "sin": (0,), "cos": (1 << 27,), "scale": 0, "known": 0}, k=3),
    ],
    "power2_sum3": [
        Case(same(1, SPLIT), {"rate": 1 << 48, "top": 0, "high": 1, "low": 1, "scale": 0, "known": 0}, k=3)
    ],
    "bits_of": [
        Case(same(1, SPLIT), {"start": 0, "width": 2, "block": 1}, k=2),
        Case(same(1, SPLIT), {"start": 0, "width": 3, "block": 3}, k=3),
    ],
    "top_bit": [
        Case(same(1, SPLIT), {"width": 1, "digits": 5, "symmetric": False, "block": 1}, k=2),
        Case(same(1, SPLIT), {"width": 1, "digits": 4, "symmetric": True, "block": 2}, k=2),
    ],
    "lookup": [Case(flags(1), {"tables": ((1, -1), (1, 0)), "scales": (0, 0)}, k=3)],
    "from_bits": [Case(lambda shape: [secret_bits((1, *shape))], {"signed": True}, k=3)],
    "bit_test": [Case(same(1, SPLIT), {"bits": 2, "block": 1}), Case(same(1, SPLIT), {"bits": 3, "block": 2})],
    "low_bits": [Case(same(1, SPLIT), {"bits": 2, "block": 2}), Case(same(1, SPLIT), {"bits": 1, "block": 1})],
    "low_zero": [Case(same(1, SPLIT), {"bits": 2, "block": 1}), Case(same(1, SPLIT), {"bits": 2, "block": 2})],
    "bit_to_arith": [Case(flags(1), k=4)],
    "inject": [Case(lambda shape: [secret_bits(shape), num(shape)], k=2)],
    "dabit": [Case(attrs=lambda shape: {"shape": shape}, k=4, unknown=(0, 1))],
    "random_bits": [Case(attrs=lambda shape: {"shape": shape}, unknown=(0,))],
    "random_count": [
        Case(
            attrs=lambda shape: {"shape": shape, "thresholds": (1, 3), "trials": 2, "bits": 2},
            unknown=(0,),
            parts=["random_bits", "and"],
            why="it is made of random bits, public choices and ands alone",
        )
    ],
    "random_chances": [
        Case(
            attrs=lambda shape: {"shape": shape, "thresholds": (1, 3), "bits": 2},
            unknown=(0,),
            parts=["random_bits", "and"],
            why="it is made of random bits, public choices and ands alone",
        )
    ],
    "random_shuffle": [Case(lambda s: [num((1, 3, 2)), secret_bits((1, 3))], parts=[OPENED_ORDER], why=SHUFFLED)],
    "random_words": [Case(attrs=lambda shape: {"shape": shape}, unknown=(0,))],
    "bit_to_arith_dabit": [Case(lambda s: [*flags(1)(s), *dabit_halves(s)], k=4, tied={1: 2})],
    "inject_dabit": [Case(lambda s: [*flags(1)(s), *dabit_halves(s), num(s)], k=2, tied={1: 2})],
    "deal_one_hot": [Case(same(1, SPLIT), {"size": 2, "bits": 1, "wraps": False}, k=2)],
    "bit_words": [
        Case(same(1, SPLIT), {"width": 2, "block": 1}, parts=["bits_of"], why="the same messages, another layout")
    ],
    "deal_hot_digits": [
        Case(
            same(1, SPLIT),
            {"low": 1, "bits": 2},
            parts=["deal_one_hot"],
            why="the same two messages, of two vectors and a sum of entries",
        )
    ],
    "pair_rank": [
        Case(lambda s: [num((*s, 2), SPLIT)], {"widths": (1,), "blocks": (1,)}, k=1),
        Case(
            lambda s: [num((*s, 3), SPLIT), secret_bits((*s, 3)), num((*s, 3), SPLIT)],
            {"widths": (5, 1, 3), "blocks": (2, 1, 1)},
            parts=["msb", "zero_test", "and", "dabit", "bit_to_arith_dabit"],
            why="it is made of these alone",
        ),
    ],
    "permute": [
        Case(lambda s: [secret_places((*s, 3)), num((*s, 3))], parts=[OPENED_ORDER], why=PADS, opens=1),
        Case(lambda s: [secret_places((*s, 3)), secret_bits((*s, 3))], parts=[OPENED_ORDER], why=PADS, opens=1),
    ],
    "radix_rank": [
        Case(
            lambda s: [secret_bits((3, *s, 4))],
            {"digit": 2, "width": 3, "turned": (2,)},
            parts=[OPENED_ORDER],
            why=PADS,
            opens=3,
        )
    ],
}
