"""Randomness for the ends of a program: words of which an owner's shares are made, keyed by the operating system.

An owner may send a party the key of a summand rather than the summand: 16 bytes for all inputs of a form, at both ends
the words that `layout` says. A key serves one call and one summand of one form, and each of its words one element.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from jmpc.executors.masks import Stream
from jmpc.families.family import Family, Spec
from jmpc.families.sharing import Draw
from jmpc.ir.types import PUBLIC, Type
from jmpc.ring.aligned import ALIGN_BYTES
from jmpc.ring.element import Ring
from jmpc.ring.keys import MASK_KEY_BYTES

_LINE_WORDS = ALIGN_BYTES // 8

Summand = tuple[str, int]  # a form, and the number of a summand of it


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Words of a stream that nobody else has, and that is used for nothing else."""
    words = _words(shape, dtype)
    return _array(Stream(os.urandom(MASK_KEY_BYTES), words), 0, shape, dtype)


def layout(family: Family, ring: Ring, types: Sequence[Type]) -> tuple[list[int], dict[str, int]]:
    """Where the words of each input begin in the streams of its form, and by form how many there are. Each begins where
    XLA reads it without a copy. types: as inputs arrive; public ones are not drawn, and take none."""
    starts, words = list[int](), dict[str, int]()
    for t in types:
        at = words.get(t.form, 0)
        starts.append(at)
        if t.visibility != PUBLIC:
            words[t.form] = at + -(-_words(*family.spec(t, ring)) // _LINE_WORDS) * _LINE_WORDS
    return starts, words


class Seeds:
    """The streams of summands that are drawn. keys: of each.  words: how many it has, by form."""

    def __init__(self, keys: Mapping[Summand, bytes], words: Mapping[str, int]) -> None:
        self.keys = keys
        self._streams = {which: Stream(key, words[which[0]]) for which, key in keys.items()}

    @classmethod
    def fresh(cls, family: Family, words: Mapping[str, int]) -> Seeds:
        """Of all summands but the last of each form, which is what is left of the value."""
        drawn = [(form, n) for form in words for n in range(family.forms[form].summands - 1)]
        return cls({which: os.urandom(MASK_KEY_BYTES) for which in drawn}, words)

    def array(self, which: Summand, start: int, spec: Spec) -> np.ndarray:
        """The words of an array that begins at `start`."""
        return _array(self._streams[which], start, *spec)

    def draw(self, form: str, start: int) -> Draw[np.ndarray]:
        """For `families.sharing.share`, of an input whose words begin at `start`: one summand after the other."""
        summands = itertools.count()

        def drawn(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            return self.array((form, next(summands)), start, (shape, dtype))

        return drawn

    def __contains__(self, which: Summand) -> bool:
        return which in self._streams

    def __repr__(self) -> str:
        return f"Seeds(of {sorted(self._streams)})"


def _array(stream: Stream, start: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    return stream.words(start, _words(shape, dtype)).view(dtype)[:count].reshape(shape)


def _words(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return -(-int(np.prod(shape, dtype=np.int64)) * dtype.itemsize // 8)
