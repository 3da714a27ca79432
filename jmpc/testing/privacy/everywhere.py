"""A protocol at many sizes and ring widths: a leak may be one of odd sizes alone, or of one width.

What goes in: a function that makes a program for a shape and a configuration. What comes out: what each check found, or
its `PrivacyError`. Inputs are anywhere in the ring, and the two that are compared differ in every element.

    check_private_everywhere(lambda shape, config: one_op("and", [secret_bits(shape)] * 2, config))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.ir.program import Program
from jmpc.ir.types import MASK, PLACES, Type
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of
from jmpc.testing.privacy.statistical import Statistical, check_private_statistical
from jmpc.testing.privacy.structural import Structural, check_private_structural

Array = np.ndarray
Shape = tuple[int, ...]
ProgramAt = Callable[[Shape, Config], Program]
NARROW = config_of(4, 1)  # what happens once in 2^k runs happens here
WIDTHS = (Config(), Config(k=32, f=8), config_of(13, 2), NARROW)
SHAPES: tuple[Shape, ...] = ((), (3,), (70,))
RUNS = 8192


@dataclass(frozen=True)
class Place:
    """Where views are compared. complement: whether the second input is that of the first, or another one.  times:
    so many times more runs than elsewhere."""

    shape: Shape
    config: Config
    complement: bool
    times: int = 1


COMPARED = (
    Place((3,), WIDTHS[0], True),
    Place((4,), WIDTHS[1], False),
    Place((), WIDTHS[2], True),
    Place((3,), NARROW, True, 2),
)


@dataclass(frozen=True)
class Everywhere:
    """What was found, by place: structural at each of `SHAPES` and `WIDTHS`, statistical at each of `COMPARED`."""

    structural: list[Structural]
    statistical: list[Statistical]


def check_private_everywhere(
    program_at: ProgramAt, *, protocols: Mapping[str, Any] | None = None, error: float = 1e-6
) -> Everywhere:
    """Prove the program of each shape and width private, and compare views where they are quickly run. error: of each
    comparison. Raises PrivacyError."""
    return Everywhere(proved(program_at, protocols), compared(program_at, protocols, error))


def proved(program_at: ProgramAt, protocols: Mapping[str, Any] | None = None) -> list[Structural]:
    """The structural level at each shape and width."""
    places = [(shape, config) for shape in SHAPES for config in WIDTHS]
    return [check_private_structural(program_at(*place), protocols=protocols) for place in places]


def compared(
    program_at: ProgramAt, protocols: Mapping[str, Any] | None = None, error: float = 1e-6, most_sums: int = 600
) -> list[Statistical]:
    """The statistical level at some of them."""
    found: list[Statistical] = []
    for n, place in enumerate(COMPARED):
        program = program_at(place.shape, place.config)
        mine, theirs = opposite_inputs(program, n, place.complement)
        runs = RUNS * place.times
        found.append(
            check_private_statistical(
                program, mine, theirs, protocols=protocols, runs=runs, error=error, most_sums=most_sums
            )
        )
    return found


def opposite_inputs(program: Program, seed: int = 0, complement: bool = True) -> tuple[list[Array], list[Array]]:
    """Two inputs anywhere in the ring. Where the second is the complement of the first, they differ in every bit; else
    they have nothing to do with each other, so that sums of their bits differ too. Public inputs are the same."""
    rng, ring = np.random.default_rng(seed), Ring(program.config.k)
    types = [input_type(p.type) for p in program.body.params]
    both = [_two(t, ring, rng, complement) for t in types]
    return [mine for mine, _ in both], [theirs for _, theirs in both]


def _two(t: Type, ring: Ring, rng: np.random.Generator, complement: bool) -> tuple[Array, Array]:
    if t.form == MASK:
        raise ValueError("a dabit is no input: let its op make it")
    if t.form == PLACES:
        order = np.argsort(rng.random(t.shape), -1)
        return order, t.shape[-1] - 1 - order
    if t.packed:
        mine, other = (rng.integers(0, 2, t.shape) == 1 for _ in range(2))
        return mine, np.logical_not(mine) if complement else other
    mine, other = (ring.reduce_host(rng.integers(0, 1 << ring.storage_bits, t.shape, ring.dtype)) for _ in range(2))
    mine, other = (np.asarray(x, ring.dtype) for x in (mine, other))
    return mine, mine if not t.secret else ring.reduce_host(~mine) if complement else other
