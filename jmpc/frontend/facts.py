"""What the front end knows of a value beyond its type.

What goes in: a value, and what is known of it. What comes out: the same, to whoever asks. A kind of fact is declared
once, with the type of what is known, in the file of its subject:

    ROOT: Fact[Argument] = Fact("what it is the root of")

    w.facts.note(ROOT, made, argument)
    w.facts.of(ROOT, made)  # Argument | None

A value is made once and never changes, so a fact that is noted of it stays true, in whatever scope it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jmpc.ir.program import Value

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Fact(Generic[T]):
    """A kind of fact. meaning: what is known of a value."""

    meaning: str


class Facts:
    """Of the values of one program."""

    def __init__(self) -> None:
        self._known: dict[Fact[Any], dict[Value, Any]] = {}

    def of(self, fact: Fact[T], value: object) -> T | None:
        """None where nothing is known, or where it is no value of a program."""
        return self._known.get(fact, {}).get(value)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def note(self, fact: Fact[T], value: Value, known: T) -> Value:
        """The value, of which this is known from now on."""
        self._known.setdefault(fact, {})[value] = known
        return value
