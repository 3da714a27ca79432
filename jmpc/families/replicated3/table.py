"""The table of this family's protocols, and what their cost formulas share. The files of `protocols/` fill it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.families.protocol import Cost, Table
from jmpc.ir.types import Type
from jmpc.ring.bits import LANES, words
from jmpc.ring.element import Ring

PROTOCOLS = Table("aby3")
protocol = PROTOCOLS.protocol
FREE = Cost(0, (0, 0, 0))


def free(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    return FREE


def even(rounds: int, bytes_each: int) -> Cost:
    return Cost(rounds, (bytes_each, bytes_each, bytes_each))


def element_bytes(size: int, config: Config) -> int:
    return size * Ring(config.k).element_bytes


def plane_bytes(size: int) -> int:
    """One packed bit for each of `size` elements."""
    return words(size) * LANES // 8
