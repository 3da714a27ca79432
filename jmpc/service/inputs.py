"""What a client sends of its inputs with a `join`: arrays, and keys from which this party draws the others itself.

In: a program, which of its inputs come, the keys of summands. Out: how many bytes the arrays take, how many of them
come over the link; then the arrays, input by input. A key counts for the summands that this party holds alone: what it
could draw besides would be a summand that hides an input from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from jmpc.errors import ArgumentError
from jmpc.executors.sharing import Seeds, Summand, layout
from jmpc.families import sharing
from jmpc.families.family import Spec
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.service.library import Ready


class Inputs:
    """sent: inputs of the program.  keys: of summands, by form and number.  bytes: of the arrays that follow.
    Raises ArgumentError where these are not as the program has them."""

    def __init__(
        self, ready: Ready, sent: Sequence[int], keys: Sequence[tuple[str, int, bytes]], size: int, party: int
    ) -> None:
        if len(set(sent)) != len(sent) or any(n >= len(ready.inputs) for n in sent):
            raise ArgumentError("an input comes twice, or is none of the program", where="sent")
        self._ready, self._ring = ready, Ring(ready.program.config.k)
        types = [input_type(ready.program.body.params[n].type) for n in sent]
        starts, words = layout(ready.family, self._ring, types)
        holds = [ready.family.form(t).holds[party] for t in types]
        self._inputs = dict(zip(sent, zip(types, starts, holds, strict=True), strict=True))
        given = {(form, number): key for form, number, key in keys}
        if len(given) != len(keys) or not given.keys() <= self._drawn():
            raise ArgumentError("a key comes twice, or is of no summand that this party draws", where="keys")
        self._seeds = Seeds(given, words)
        coming = sum(_bytes(spec) for n in sent for spec, which in self._arrays(n) if which not in self._seeds)
        if coming != size:
            raise ArgumentError("the arrays are not of the sizes that the program takes", where="bytes")

    @property
    def bytes(self) -> int:
        """Of all arrays, those among them that are drawn."""
        return sum(_bytes(spec) for n in self._inputs for spec, _ in self._arrays(n))

    def take(self, read: Callable[[tuple[int, ...], np.dtype], np.ndarray]) -> dict[int, list[np.ndarray]]:
        """By input. read: the next array off the link."""
        return {n: [self._array(n, spec, which, read) for spec, which in self._arrays(n)] for n in self._inputs}

    def _array(self, number: int, spec: Spec, which: Summand, read: Callable[..., np.ndarray]) -> np.ndarray:
        if which not in self._seeds:
            return read(*spec)
        t, start, _ = self._inputs[number]
        words = self._seeds.array(which, start, spec)
        return sharing.drawn(words, t, self._ready.family.form(t), self._ring)

    def _arrays(self, number: int) -> list[tuple[Spec, Summand]]:
        """Of an input, each array of this party, and which summand it is."""
        t, _, holds = self._inputs[number]
        return list(zip(self._ready.inputs[number], [(t.form, n) for n in holds], strict=True))

    def _drawn(self) -> set[Summand]:
        """The summands of this party that may come as a key: all but the last of a form."""
        forms = [(t.form, holds, self._ready.family.form(t).summands - 1) for t, _, holds in self._inputs.values()]
        return {(form, n) for form, holds, last in forms for n in holds if n < last}


def _bytes(spec: Spec) -> int:
    shape, dtype = spec
    return math.prod(shape) * dtype.itemsize
