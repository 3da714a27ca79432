"""The shares of one array, chunk by chunk: so that memory stays bounded, and that an upload can go on where it broke.

In: the array's form, and its elements piece by piece. Out: what each party gets of a chunk, always the same for the
same elements: the words that they are shared with are those of a stream under one fresh key, each at the place of its
element. One key serves one array of one upload, and a place of its stream hides one element: a chunk that is shared
again after a link was lost must hold what it held, or the difference of two secrets would show.
"""

from __future__ import annotations

import hashlib
import itertools
import os

import numpy as np

from jmpc import families
from jmpc.client.forms import Form
from jmpc.errors import ArgumentError
from jmpc.executors.masks import Stream
from jmpc.families import sharing
from jmpc.ring import bits
from jmpc.ring.element import Ring
from jmpc.runtime.requests import CHUNK_BYTES

KEY_BYTES = 16
STEP_WORDS = 1 << 9  # chunks begin at multiples of it, so on a block of every stream


class Sharer:
    """units: how many ring elements each summand has, or packed words.  bytes: of each summand.  step: units of a
    chunk.  most: bytes of a chunk."""

    def __init__(self, form: Form, most: int = CHUNK_BYTES) -> None:
        self.form, self._ring = form, Ring(form.config.k)
        self._family = families.of(form.config)
        (self.units, *_), self.dtype = _flat(self._family.spec(form.type, self._ring))
        self.bytes = self.units * self.dtype.itemsize
        step = most // self.dtype.itemsize // STEP_WORDS * STEP_WORDS
        self.step = max(step, STEP_WORDS)
        self._words = -(-self.bytes // 8)  # of each summand's part of the stream
        held = self._family.forms[form.type.form]
        self._stream = Stream(os.urandom(KEY_BYTES), self._words * (held.summands - 1))
        self._seen: dict[int, bytes] = {}

    def share(self, start: int, values: np.ndarray) -> list[list[np.ndarray]]:
        """By party, its summands of the units from `start` on. values: a flat array of the caller's numbers; for packed
        bits those of the units, by lane (`lanes`). Raises RangeError; ArgumentError where the chunk was another one."""
        elements = self.form.encoded(values)
        self._check_same(start, elements)
        count = elements.size // bits.LANES if self.form.type.packed else elements.size
        numbers = itertools.count()

        def draw(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            at = next(numbers) * self._words + start * self.dtype.itemsize // 8
            words = -(-count * self.dtype.itemsize // 8)
            return self._stream.words(at, words).view(dtype)[:count].reshape(shape)

        chunk = self.form.type.with_(shape=elements.shape)
        return sharing.share(elements, chunk, self._family.forms[chunk.form], self._ring, draw)

    def _check_same(self, start: int, elements: np.ndarray) -> None:
        digest = hashlib.blake2b(np.ascontiguousarray(elements).view(np.uint8).data, digest_size=16).digest()
        if self._seen.setdefault(start, digest) != digest:
            raise ArgumentError(
                f"{self.form.path or 'the array'} has changed while it was stored",
                where=self.form.path,
                why="a link was lost, and what came again is not what came first; it would be stored half and half",
                todo="leave the array as it is until it is stored; have a function of batches give the same each time",
            )


def lanes(flat: np.ndarray, units: int, start: int, stop: int) -> np.ndarray:
    """Of a flat array of bools, those that words `start` to `stop` of its packed form hold, as a flat array that packs
    to these words."""
    rows = np.zeros((bits.LANES, stop - start), bool)
    for lane, row in enumerate(rows):
        found = flat[lane * units + start : lane * units + stop]
        row[: found.size] = found
    return rows.reshape(-1)


def _flat(spec: tuple[tuple[int, ...], np.dtype]) -> tuple[tuple[int], np.dtype]:
    shape, dtype = spec
    return (int(np.prod(shape, dtype=np.int64)),), dtype
