"""What a client sends of its inputs with a `join`: arrays, and keys from which this party draws the others itself.

In: a program, which of its inputs come, the keys of summands. Out: how many bytes the arrays take, how many of them
come over the link; then the arrays, input by input. A key counts for the summands that this party holds alone: what it
could draw besides would be a summand that hides an input from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from jmpc.errors import ArgumentError
from jmpc.executors.sharing import Seeds, Summand, layout
from jmpc.families import sharing
from jmpc.families.family import Spec
from jmpc.ir.types import Type
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.service.library import Ready


@dataclass(frozen=True)
class Part:
    """One array of an input at this party. start: where its words begin in the stream of its summand, if drawn."""

    spec: Spec
    summand: Summand
    start: int
    type: Type

    @property
    def bytes(self) -> int:
        shape, dtype = self.spec
        return math.prod(shape) * dtype.itemsize


@dataclass(frozen=True)
class Parts:
    """What follows from the program and from which of its inputs come. drawn: the summands that may come as a key, all
    but the last of a form.  words: of their streams, by form.  bytes: of all arrays, also of those that are drawn."""

    inputs: Mapping[int, Sequence[Part]]
    drawn: Set[Summand]
    words: Mapping[str, int]
    bytes: int

    @classmethod
    def of(cls, ready: Ready, sent: Sequence[int]) -> Parts:
        """Kept for the next call. Raises ArgumentError."""
        found = ready.parts.get(tuple(sent))
        if found is None:
            found = _parts(ready, sent)
            ready.parts.put(tuple(sent), found)
        return found


def _parts(ready: Ready, sent: Sequence[int]) -> Parts:
    if len(set(sent)) != len(sent) or any(n >= len(ready.inputs) for n in sent):
        raise ArgumentError("an input comes twice, or is none of the program", where="sent")
    types = [input_type(ready.program.body.params[n].type) for n in sent]
    starts, words = layout(ready.family, Ring(ready.program.config.k), types)
    found, drawn = dict[int, list[Part]](), set[Summand]()
    for number, t, start in zip(sent, types, starts, strict=True):
        form = ready.family.form(t)
        summands = [(t.form, n) for n in form.holds[ready.party]]
        drawn |= {(name, n) for name, n in summands if n < form.summands - 1}
        specs = zip(ready.inputs[number], summands, strict=True)
        found[number] = [Part(spec, summand, start, t) for spec, summand in specs]
    return Parts(found, drawn, words, sum(part.bytes for parts in found.values() for part in parts))


class Inputs:
    """sent: inputs of the program.  keys: of summands, by form and number.  size: of the arrays that follow, in bytes.
    Raises ArgumentError where these are not as the program has them."""

    def __init__(self, ready: Ready, sent: Sequence[int], keys: Sequence[tuple[str, int, bytes]], size: int) -> None:
        self._ready, self._parts = ready, Parts.of(ready, sent)
        given = {(form, number): key for form, number, key in keys}
        if len(given) != len(keys) or not given.keys() <= self._parts.drawn:
            raise ArgumentError("a key comes twice, or is of no summand that this party draws", where="keys")
        self._seeds = Seeds(given, self._parts.words)
        each = (part for parts in self._parts.inputs.values() for part in parts)
        if sum(part.bytes for part in each if part.summand not in given) != size:
            raise ArgumentError("the arrays are not of the sizes that the program takes", where="bytes")

    @property
    def bytes(self) -> int:
        """Of all arrays, also of those that are drawn."""
        return self._parts.bytes

    def take(self, read: Callable[[tuple[int, ...], np.dtype], np.ndarray]) -> dict[int, list[np.ndarray]]:
        """By input. read: the next array off the link."""
        return {n: [self._array(part, read) for part in parts] for n, parts in self._parts.inputs.items()}

    def _array(self, part: Part, read: Callable[..., np.ndarray]) -> np.ndarray:
        if part.summand not in self._seeds:
            return read(*part.spec)
        words = self._seeds.array(part.summand, part.start, part.spec)
        ring = Ring(self._ready.program.config.k)
        return sharing.drawn(words, part.type, self._ready.family.form(part.type), ring)
