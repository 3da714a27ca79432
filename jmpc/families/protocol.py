"""A protocol: what each party runs for one share-level op. Families keep theirs in a `Table`.

What goes in: a function decorated with `@table.protocol`. What comes out: an `Entry` by op, which the party stage, the
lowering and the tests read. Nothing states what a protocol costs: that is counted where it is traced (`party/cost.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jmpc.config import Config
from jmpc.ir.ops.record import SHARE, Attribute, Infer, Meaning, Operand, Origin
from jmpc.ir.ops.record import op as enter_op
from jmpc.ir.types import Type

Held = Any  # what one party holds of a value: an array, or a tuple of them, as its form says
Attrs = Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """rounds: of this op alone.  bytes_sent: by party, exact."""

    rounds: int
    bytes_sent: tuple[int, ...]

    def __add__(self, other: Cost) -> Cost:
        """Cost of one after the other."""
        sent = tuple(a + b for a, b in zip(self.bytes_sent, other.bytes_sent, strict=True))
        return Cost(self.rounds + other.rounds, sent)

    @property
    def busiest(self) -> int:
        return max(self.bytes_sent)


CostRule = Callable[[Sequence[Type], Attrs, Config], Cost]  # a formula: for a choice, or to compare with
Run = Callable[..., Held]  # (party, what it holds of the operands, their types, attributes)


@dataclass(frozen=True)
class Entry:
    """source: the paper and section, or what the protocol is made of.  opens: what it shows all parties that no mask
    hides, and why that says nothing; mostly nothing."""

    op: str
    run: Run
    source: str
    opens: str = ""


class Table(dict[str, Entry]):
    """The protocols of a family, by op."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.family = family

    def protocol(
        self, op: str, *, source: str, opens: str = "", gives: Infer | None = None, **record: Any
    ) -> Callable[[Run], Run]:
        """Enter `function(me, held operands, their types, attrs)` as the protocol of op `op`.

        An op of the family's own is entered here too: `gives` is its inference rule, and `takes`, `attrs`, `means`,
        `more` and `traits` are as in `jmpc.ir.ops.record`. With `levels=COMMON` it is an op of the value level as well,
        which a lowering leaves as it is, but for the forms of its operands. Raises ValueError where the op has a
        protocol already.
        """
        if gives is not None:
            _own_op(op, self.family, gives, **record)

        def enter(function: Run) -> Run:
            if op in self:
                raise ValueError(f"op {op} has a protocol already")
            self[op] = Entry(op, function, source, opens)
            return function

        return enter


def _own_op(
    name: str,
    family: str,
    gives: Infer,
    *,
    takes: tuple[Operand, ...],
    means: Meaning,
    attrs: Mapping[str, Attribute] = MappingProxyType({}),
    more: Operand | None = None,
    traits: Sequence[str] = (),
    levels: str | tuple[str, ...] = SHARE,
    origin: Origin | None = None,
) -> None:
    enter_op(name, levels, takes, attrs, means=means, more=more, traits=traits, family=family, origin=origin)(gives)
