"""What check mode must know of a walk: which equation gave which secret value, and how bodies were gone through.

What goes in: the walk, which writes down one decision an equation. What comes out: `Record`s, by which the same jaxpr
can be followed in plain JAX, value by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc.ir.program import Value


@dataclass(frozen=True, eq=False)
class Note:
    """A secret value and the equation that gave it. constant: the line of the constant beyond the number format that
    some of its elements stand for."""

    value: Value
    name: str
    loc: str
    constant: str = ""


@dataclass(frozen=True)
class Record:
    """A jaxpr as it was walked. decisions: of each equation, None where its body was walked in its place, whose
    decisions follow; otherwise which of its results are secret: their notes, in order."""

    notes: list[Note] = field(default_factory=list[Note])
    decisions: list[Noted | None] = field(default_factory=list)


@dataclass(frozen=True)
class Noted:
    """results: the numbers of those that are secret.  inside: what was walked that has no value of its own outside."""

    results: tuple[int, ...] = ()
    inside: Repeated | Chosen | None = None


@dataclass(frozen=True)
class Repeated:
    """A loop. operands: which of the equation's go into it.  body: a `rules.scan.Loop`."""

    body: Any = field(repr=False)
    operands: Sequence[int]
    record: Record


@dataclass(frozen=True)
class Chosen:
    """A choice that is made at the call. branches: of each, its record."""

    branches: list[Record]
