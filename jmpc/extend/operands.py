"""What an op of your own takes and gives: kinds, forms and ranges of its operands, values of its attributes.

What goes in: plain Python numbers and functions. What comes out: values that the op's record, and the checks of
`jmpc.testing`, are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.ops.record import Attribute, Operand
from jmpc.ir.types import ARITH, ASSUMED, BITS, BOOL, FIXED, INFERRED, INT, SPLIT, SUM3, Type, weakest

Attrs = Mapping[str, Any]
Within = float | int | Callable[[Attrs], float | int] | None
NUMBERS = (ARITH, SPLIT, SUM3)


@dataclass(frozen=True)
class Takes:
    """An operand, or a result. kinds: that it may have.  form: how parties hold it.  within: its largest magnitude, as
    the number that it stands for, or as a ring element where it may be of several kinds; None: whatever the format
    allows."""

    kinds: tuple[str, ...]
    form: str
    within: Within = None

    @property
    def operand(self) -> Operand:
        return Operand(self.kinds, (self.form,))

    def limit(self, scale: int, kind: str, attrs: Attrs, config: Config) -> int:
        """The largest magnitude, in units of 2^-scale, that the ring holds and `within` allows."""
        if kind == BOOL:
            return 1
        most = ops.whole(config) if kind == INT else (1 << max(config.k - 2, 0)) - 1
        told = self.within(attrs) if callable(self.within) else self.within
        return most if told is None else max(min(math.floor(told * 2 ** self.point(scale)), most), 0)

    def point(self, scale: int) -> int:
        """The fraction bits of `within`."""
        return scale if len(self.kinds) == 1 else 0

    def as_operand(self, shape: tuple[int, ...], kind: str, attrs: Attrs, config: Config) -> Type:
        """The widest type that this operand may have, for the checks."""
        if kind == BOOL:
            return Type(shape, BOOL, form=BITS)
        scale = config.f if kind == FIXED else 0
        limit = self.limit(scale, kind, attrs, config)
        if self.within is None and kind == FIXED:
            limit = min(limit, ops.contract(scale, config))
        return Type(shape, kind, scale, limit, INFERRED, form=self.form)

    def as_result(self, shape: tuple[int, ...], types: Sequence[Type], attrs: Attrs, config: Config) -> Type:
        first = next((t for t in types if t.kind != BOOL), None)
        kind = self.kinds[0] if len(self.kinds) == 1 or first is None else first.kind
        if kind == BOOL:
            return Type(shape, BOOL, form=BITS)
        scale = 0 if kind == INT else first.scale if first is not None else config.f
        if self.within is None and kind == FIXED:
            return Type(shape, kind, scale, ops.contract(scale, config), ASSUMED, form=ARITH)
        origin = weakest(*(t.origin for t in types))
        return Type(shape, kind, scale, self.limit(scale, kind, attrs, config), origin, form=ARITH)


@dataclass(frozen=True)
class Uniform:
    """A result that is random, uniform over all that it can be, and known to no party. It has no plain meaning."""

    of: Takes


Gives = Takes | Uniform


def real(*, form: str = ARITH, within: Within = None) -> Takes:
    """Fixed-point numbers."""
    return Takes((FIXED,), _form(form), within)


def integer(*, form: str = ARITH, within: Within = None) -> Takes:
    """Integers, which wrap with the ring."""
    return Takes((INT,), _form(form), within)


def number(*, form: str = ARITH, within: Within = None) -> Takes:
    """Fixed-point numbers or integers: the protocol works on ring elements and does not ask; `within` is one of those,
    2^f for the number 1."""
    return Takes((FIXED, INT), _form(form), within)


def bit() -> Takes:
    """Bools: packed bits, shared by exclusive or."""
    return Takes((BOOL,), BITS)


def _form(form: str) -> str:
    if form not in NUMBERS:
        raise ValueError(f"a number of form {form!r}: one of {', '.join(NUMBERS)}")
    return form


# --- attributes


@dataclass(frozen=True)
class Range:
    """Integers from `low` to `high`; `high` may depend on the configuration."""

    low: int
    high: int | Callable[[Config], int]

    def top(self, config: Config) -> int:
        return self.high(config) if callable(self.high) else self.high

    def holds(self, value: Any, config: Config) -> bool:
        return type(value) is int and self.low <= value <= self.top(config)

    def tried(self, config: Config) -> list[int]:
        """Values for the checks: both ends, what is beside them, the middle."""
        low, high = self.low, self.top(config)
        found = {low, low + 1, (low + high) // 2, high - 1, high}
        return sorted(v for v in found if low <= v <= high)

    @property
    def wanted(self) -> str:
        return f"an integer from {self.low}" + ("" if callable(self.high) else f" to {self.high}")


@dataclass(frozen=True)
class Choice:
    """One of some values: integers, bools, texts, tuples of these."""

    values: tuple[Any, ...]

    def holds(self, value: Any, config: Config) -> bool:
        return any(type(value) is type(v) and value == v for v in self.values)

    def tried(self, config: Config) -> list[Any]:
        return list(self.values)

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"


ATTRIBUTE = Range | Choice


def between(low: int, high: int | Callable[[Config], int]) -> Range:
    return Range(low, high)


def one_of(*values: Any) -> Choice:
    return Choice(values)


def attribute(of: Range | Choice) -> Attribute:
    return Attribute(of.wanted, lambda v, types, config: of.holds(v, config))
