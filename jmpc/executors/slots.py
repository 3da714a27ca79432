"""Slots: how one SPMD program holds the values of three parties, whose shapes need not be the same.

A slot is one array of the SPMD program: at each party it holds a value of that party, or nothing. Where the three
values are alike, the slot has their shape and dtype; else it is flat, 64-bit words padded to the longest. What goes
in: numbers and specs of values, by party. What comes out: rows (which values share a slot), places, packed arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from jax import lax

from jmpc._types import Array
from jmpc.ir.plan import Spec

WORD = np.dtype(np.uint64)
BYTE = np.dtype(np.uint8)
BOOL = np.dtype(np.bool_)


@dataclass(frozen=True)
class Place:
    """Where a party holds a value. start: its first word in a flat slot; None where the slot has the value's shape."""

    slot: int
    start: int | None
    spec: Spec

    def read(self, arrays: Mapping[int, Array]) -> Array:
        array = arrays[self.slot]
        return array if self.start is None else from_words(array, self.start, self.spec)


@dataclass(frozen=True)
class Row:
    """The values that share a slot: a number and a spec by party, None for a party without. words: 0 where they are
    alike."""

    values: tuple[tuple[int, Spec] | None, ...]
    words: int

    def pack(self, party: int, held: Mapping[int, Array]) -> Array:
        """The slot's array at a party."""
        value = self.values[party]
        if not self.words:
            assert value is not None
            return held[value[0]]
        return flat([held[value[0]]] if value else [], self.words)

    def place(self, party: int, slot: int) -> tuple[int, Place] | None:
        value = self.values[party]
        return value and (value[0], Place(slot, 0 if self.words else None, value[1]))


def rows(values: Sequence[Sequence[tuple[int, Spec]]]) -> list[Row]:
    """Values by party, put together: alike with alike first, then by size."""
    pools: list[dict[Spec, list[tuple[int, Spec]]]] = [defaultdict(list) for _ in values]
    for pool, party_values in zip(pools, values, strict=True):
        for value in party_values:
            pool[value[1]].append(value)
    alike = list[Row]()
    rest: list[list[tuple[int, Spec]]] = [[] for _ in values]
    for spec in dict.fromkeys(s for pool in pools for s in pool):
        groups = [pool.get(spec, []) for pool in pools]
        common = min(map(len, groups))
        alike += [Row(row, 0) for row in zip(*(g[:common] for g in groups), strict=True)]
        for left, group in zip(rest, groups, strict=True):
            left += group[common:]
    ordered = [sorted(left, key=lambda v: -words_of(v[1])) for left in rest]
    return alike + [Row(row, max(words_of(v[1]) for v in row if v)) for row in zip_longest(*ordered)]


def words_of(spec: Spec) -> int:
    """Words of 64 bits that hold a value; at least one, so that no slot is empty."""
    shape, dtype = spec
    return max(1, -(-int(np.prod(shape, dtype=np.int64)) * dtype.itemsize // WORD.itemsize))


def flat(arrays: Sequence[Array], total: int) -> Array:
    """Arrays one after the other as words, each from a word of its own, with zeros up to `total` words."""
    parts = [_to_words(a) for a in arrays]
    missing = total - sum(p.shape[0] for p in parts)
    if missing:
        parts.append(lax.full((missing,), 0, WORD))
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, 0)


def _to_words(array: Array) -> Array:
    dtype = np.dtype(array.dtype)
    if dtype == BOOL:
        array, dtype = lax.convert_element_type(array, BYTE), BYTE
    each, words = WORD.itemsize // dtype.itemsize, words_of((array.shape, dtype))
    line = lax.pad(lax.reshape(array, (array.size,)), dtype.type(0), [(0, each * words - array.size, 0)])
    if dtype == WORD:
        return line
    return lax.bitcast_convert_type(line if each == 1 else lax.reshape(line, (words, each)), WORD)


def from_words(words: Array, start: int, spec: Spec) -> Array:
    """The value that lies in a flat array from word `start`."""
    shape, dtype = spec
    stored = BYTE if dtype == BOOL else dtype
    line = lax.slice_in_dim(words, start, start + words_of(spec))
    if stored != WORD:
        line = lax.bitcast_convert_type(line, stored)
        line = lax.reshape(line, (line.size,))
    value = lax.reshape(lax.slice_in_dim(line, 0, int(np.prod(shape, dtype=np.int64))), shape)
    return lax.convert_element_type(value, dtype) if dtype == BOOL else value
