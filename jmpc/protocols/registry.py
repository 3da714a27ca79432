"""Protocols by the share-level op that they carry out: the function each party runs, and what it costs.

What goes in: functions decorated with `@protocol`. What comes out: `PROTOCOLS`, a table that the party stage and the
cost report read. A new family is a new folder beside `replicated/` with a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jmpc.config import Config
from jmpc.ir.types import Type
from jmpc.ring.bits import LANES, words
from jmpc.ring.element import Ring

Array = Any
Held = Any  # what one party holds of a value: (x_i, x_{i+1}), one summand, C or R, or a public array


class Me(Protocol):
    """The party whose program is being traced (party/exchange.py)."""

    index: int
    ring: Ring

    def mask(self, neighbour: str, shape: tuple[int, ...], dtype: Any = None) -> Array: ...
    def exchange(self, **messages: Any) -> Any: ...


@dataclass(frozen=True)
class Cost:
    """rounds: of this op alone.  bytes_sent: by party 0, 1 and 2, exact."""

    rounds: int
    bytes_sent: tuple[int, int, int]

    def __add__(self, other: Cost) -> Cost:
        """Cost of one after the other."""
        sent = tuple(a + b for a, b in zip(self.bytes_sent, other.bytes_sent, strict=True))
        return Cost(self.rounds + other.rounds, sent)  # pyright: ignore[reportArgumentType]

    @property
    def busiest(self) -> int:
        return max(self.bytes_sent)


FREE = Cost(0, (0, 0, 0))
CostRule = Callable[[Sequence[Type], Mapping[str, Any], Config], Cost]


@dataclass(frozen=True)
class Entry:
    op: str
    run: Callable[..., Held]
    cost: CostRule
    source: str


PROTOCOLS: dict[str, Entry] = {}


def protocol(op: str, *, source: str, cost: CostRule) -> Callable[[Callable[..., Held]], Callable[..., Held]]:
    """Register `function(me, held inputs, types of the inputs, attrs)` as the protocol of share-level op `op`."""

    def register(function: Callable[..., Held]) -> Callable[..., Held]:
        if op in PROTOCOLS:
            raise ValueError(f"op {op} has a protocol already")
        PROTOCOLS[op] = Entry(op, function, cost, source)
        return function

    return register


def free(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    return FREE


def even(rounds: int, bytes_each: int) -> Cost:
    return Cost(rounds, (bytes_each, bytes_each, bytes_each))


def element_bytes(size: int, config: Config) -> int:
    return size * Ring(config.k).element_bytes


def plane_bytes(size: int) -> int:
    """One packed bit for each of `size` elements."""
    return words(size) * LANES // 8
