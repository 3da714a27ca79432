"""A scope of the program that is emitted, as those see it who only look at its values and add to them.

What goes in: nothing. What comes out: types. `walk.Walker` is the scope; what it needs of integers, of bounds and of
saturation is written for a `Scope`, so that it does not have to know the walker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from jmpc.config import Config
from jmpc.frontend.facts import Facts
from jmpc.frontend.known import Known
from jmpc.frontend.place import Place
from jmpc.ir.program import Builder, Value

T = TypeVar("T")
Operand = Known | Value
Results = Operand | Sequence[Operand]  # of an equation: the only one, or all


def listed(outs: Results) -> list[Operand]:
    """All results of an equation."""
    return [outs] if isinstance(outs, Known | Value) else list(outs)


def in_clear(x: Operand) -> Known:
    """An operand of which the caller knows that it is in the clear."""
    assert isinstance(x, Known)
    return x


@dataclass
class Shared:
    """What the scopes of one program have in common. program: the jaxpr of the function. facts: of its values.
    warnings: by the innermost line; warned: where that line was walked."""

    config: Config
    missing: dict[tuple[str, str], str]
    program: Any = field(default=None, repr=False)
    facts: Facts = field(default_factory=Facts)
    warnings: dict[str, str] = field(default_factory=dict[str, str])
    warned: dict[str, Place] = field(default_factory=dict[str, Place])
    draws: int = 0
    place: Place = field(default_factory=Place)

    def warn(self, loc: str, text: str) -> None:
        """Once for a line."""
        self.warnings.setdefault(loc, text)
        if loc == self.place.loc:
            self.warned.setdefault(loc, self.place)


class Scope(Protocol):
    """The function, or the body of a loop. inside: while a function stands for a primitive."""

    config: Config
    shared: Shared
    facts: Facts
    build: Builder
    inside: bool

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        """The first result of an op."""
        ...

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under this key before, or is made now. A key begins with the name of what is made."""
        ...

    def secret(self, x: Operand, exact: bool = False) -> Value:
        """As a secret value; a known value is shared by its owner."""
        ...
