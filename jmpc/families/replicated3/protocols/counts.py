"""How many public thresholds a random number that no party knows reaches, summed over trials: tables of distributions.

How this works. Each trial draws u of `bits` bits, packed, from the pairwise keys. [u < t] is a tree of ands over
(less, equal) of runs of bits, of all thresholds and trials at once; the bits [u >= t] are counted by full adders: three
bits of one weight become one of that weight and one of twice it. Everything works on bit planes, 64 elements a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.bits import repacked
from jmpc.families.replicated3.protocols.compare import rows_from, stacked, stacked_pairs
from jmpc.families.replicated3.protocols.logic import and_planes, not_planes, xor_planes
from jmpc.families.replicated3.protocols.share import each
from jmpc.families.replicated3.table import protocol
from jmpc.ring.bits import WORD, words

Columns = tuple[int, ...]


def halves(width: int) -> list[int]:
    """Runs that are joined at each level of the comparison."""
    found: list[int] = []
    while width > 1:
        found.append(width // 2)
        width -= width // 2
    return found


@lru_cache(maxsize=1024)
def adders(count: int) -> tuple[Columns, ...]:
    """Adders in each column, level by level, until every column holds one bit at most."""
    columns = [count]
    found: list[Columns] = []
    while max(columns) > 1:
        made = tuple(c // 3 if c > 2 else int(c == 2) for c in columns)
        kept = [n + c - 3 * n if c > 2 else min(c, 1) for c, n in zip(columns, made, strict=True)]
        columns = [a + b for a, b in zip([*kept, 0], [0, *made], strict=True)]
        columns = columns if columns[-1] else columns[:-1]
        found.append(made)
    return tuple(found)


@protocol(
    "random_count",
    source="pseudo-random sharing as `random_bits`; comparison tree and Wallace's adders (1964) on packed bits",
)
def random_count(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> Pair:
    """The sum over `trials` uniform numbers u of `bits` bits of how many `thresholds` are at most u, as packed bits.

    Security: the bits of u are pseudo-random to each single party, as in `random_bits`; ands as in `logic`.
    Needs: thresholds from 0 to 2^bits.  Error: none.
    Cost: ceil(log2 bits) + about log_1.5 (thresholds x trials) rounds of ands."""
    shape, width = tuple(attrs["shape"]), attrs["bits"]
    bits = (width, 1, attrs["trials"], words(math.prod(shape)))
    u: Pair = (me.mask("prv", bits, WORD), me.mask("nxt", bits, WORD))
    reached = not_planes(me, below(me, u, attrs["thresholds"]))
    planes = _counted(me, reached)
    return repacked(planes[0], shape), repacked(planes[1], shape)


def below(me: Me, u: Pair, thresholds: Sequence[int]) -> Pair:
    """[u < t] of bits (width, 1, trials, W): (thresholds * trials, W)."""
    width, _, trials, size = u[0].shape
    rows = len(thresholds)
    wanted = np.array([[t >> n & 1 for t in thresholds] for n in range(width)], WORD)
    ones = _typed.broadcast_in_dim(lax.neg(wanted), (width, rows, trials, size), (0, 1))
    wide = each(lambda x: _typed.broadcast_in_dim(x, ones.shape, (0, 1, 2, 3)), u)
    unlike = not_planes(me, wide)
    less = each(lambda x: lax.bitwise_and(x, ones), unlike)
    equal = each(lambda a, b: lax.select(lax.ne(ones, lax.full_like(ones, 0)), a, b), wide, unlike)
    for half in halves(width):
        less, equal = _joined(me, less, equal, half)
    flat = each(lambda x: lax.reshape(x, (rows * trials, size)), less)
    always = np.array([-(t >> width) % (1 << 64) for t in thresholds for _ in range(trials)], WORD)
    return _or_public(me, flat, _typed.broadcast_in_dim(always, (rows * trials, size), (0,)))


def _or_public(me: Me, x: Pair, known: Array) -> Pair:
    """x or a public value."""
    kept = each(lambda v: lax.bitwise_and(v, lax.bitwise_not(known)), x)
    if me.index == 2:
        return kept
    return (kept[0], lax.bitwise_xor(kept[1], known)) if me.index == 0 else (lax.bitwise_xor(kept[0], known), kept[1])


def _joined(me: Me, less: Pair, equal: Pair, half: int) -> tuple[Pair, Pair]:
    """Neighbours (0, 1), (2, 3), ... become one; an odd highest run waits. The lowest run needs no `equal`."""

    def every_second(x: Pair, start: int) -> Pair:
        return each(lambda v: lax.slice_in_dim(v, start, start + 2 * half - 1, 2), x)

    def rest(x: Pair) -> Pair:
        return rows_from(x, 2 * half, x[0].shape[0])

    high = every_second(equal, 1)
    upper = rows_from(high, 1, half)
    lower = rows_from(every_second(equal, 0), 1, half)
    left = stacked_pairs(high, upper)
    right = stacked_pairs(every_second(less, 0), lower)
    products = and_planes(me, left, right)
    first = rows_from(products, 0, half)
    both = rows_from(products, half, 2 * half - 1)
    unused = rows_from(equal, 0, 1)
    made = each(lambda a, b, c: stacked([lax.bitwise_xor(a, b), c]), every_second(less, 1), first, rest(less))
    return made, stacked_pairs(unused, both, rest(equal))


def _counted(me: Me, bits: Pair) -> Pair:
    """The number of rows that are one, as planes, lowest first."""
    columns = [bits]
    for made in adders(bits[0].shape[0]):
        columns = _level(me, columns, made)
    return stacked_pairs(*columns)


def _level(me: Me, columns: list[Pair], made: Columns) -> list[Pair]:
    """One level: carry = ((a ^ b) & (a ^ c)) ^ a, sum = a ^ b ^ c; of two bits a & b and a ^ b."""
    inputs = [_addends(column, n) for column, n in zip(columns, made, strict=True)]
    used = [i for i in inputs if i is not None]
    left = stacked_pairs(*(xor_planes(a, b) if c else b for a, b, c in used))
    right = stacked_pairs(*(xor_planes(a, c) if c else a for a, _, c in used))
    carries, at = and_planes(me, left, right), 0
    after: list[list[Pair]] = [[] for _ in range(len(columns) + 1)]
    for n, (column, given, count) in enumerate(zip(columns, inputs, made, strict=True)):
        taken = 0
        if given is not None:
            a, b, c = given
            carry = rows_from(carries, at, at + count)
            at, taken = at + count, count * (3 if c else 2)
            after[n].append(xor_planes(xor_planes(a, b), c) if c else xor_planes(a, b))
            after[n + 1].append(xor_planes(carry, a) if c else carry)
        if column[0].shape[0] > taken:
            after[n].append(rows_from(column, taken, column[0].shape[0]))
    return [stacked_pairs(*parts) for parts in after if parts]


def _addends(column: Pair, count: int) -> tuple[Pair, Pair, Pair | None] | None:
    if not count:
        return None
    parts = [rows_from(column, n * count, (n + 1) * count) for n in range(3 if column[0].shape[0] > 2 else 2)]
    return parts[0], parts[1], parts[2] if len(parts) > 2 else None
