"""All linear relations of what is seen: which sums of numbers, times any factors, are the same in every run.

What goes in: numbers by run, on one input. What comes out: the relations that hold in all of these runs, as factors of
the columns: over bits (exclusive or; products of two bits are bits as well), and in Z_2^64 (sums mod 2^64; a number of
fewer bits is shifted up, so that its sums wrap where they do). A relation that holds on one input and not on another is
a leak, however many numbers it joins. Not here: whether it is one (`statistical.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

Array = np.ndarray
WORD = np.dtype(np.uint64)
LANES = (0, 1, 2, 63)  # of a word of packed bits, those that are looked at; of a number, its lowest bit is the first
MOST_BITS = 800
MOST_FACTORS = 28  # lowest bits of which all products of two are looked at as well
MOST_WORDS = 256
Places = list[tuple[int, ...]]


# --- over bits: a column is an integer, whose bit t is that of run t


def bit_columns(arrays: Sequence[Array], most: int = MOST_BITS) -> tuple[list[int], Places]:
    """Bits of arrays (runs, elements), and of which arrays each is made: the lowest bit of every element, then products
    of the lowest bits of first elements, then other lanes of words."""
    lowest = [(n, packed(column)) for n, array in enumerate(arrays) for column in array.T]
    firsts = [(n, packed(array[:, 0])) for n, array in enumerate(arrays) if array.shape[1]][:MOST_FACTORS]
    found = [((n,), column) for n, column in lowest[:most]]
    found += [((n, m), a & b) for (n, a), (m, b) in itertools.combinations(firsts, 2)]
    for lane in LANES[1:]:
        wide = [(n, array) for n, array in enumerate(arrays) if array.dtype == WORD and len(found) < most]
        found += [((n,), packed(column >> WORD.type(lane))) for n, array in wide for column in array.T]
    return [column for _, column in found[:most]], [place for place, _ in found[:most]]


def packed(bits: Array) -> int:
    """The lowest bits as one integer."""
    return int.from_bytes(np.packbits((bits & bits.dtype.type(1)).astype(bool), bitorder="little").tobytes(), "little")


def bit_relations(columns: Sequence[int]) -> list[int]:
    """A basis of all sets of columns whose exclusive or is zero in every run. A set has bit n for column n."""
    basis: dict[int, tuple[int, int]] = {}
    found = []
    for n, column in enumerate(columns):
        chosen = 1 << n
        while column:
            pivot = column & -column
            if pivot not in basis:
                basis[pivot] = column, chosen
                break
            column, chosen = column ^ basis[pivot][0], chosen ^ basis[pivot][1]
        else:
            found.append(chosen)
    return found


def bit_sum(columns: Sequence[int], chosen: int) -> int:
    """The exclusive or of a set of columns."""
    total = 0
    while chosen:
        low = chosen & -chosen
        total ^= columns[low.bit_length() - 1]
        chosen ^= low
    return total


# --- in Z_2^64


def word_columns(arrays: Sequence[Array], most: int = MOST_WORDS) -> tuple[Array, Places]:
    """Elements of arrays (runs, elements) as numbers mod 2^64, one a column, and the array of each. The first elements
    of all arrays come first."""
    order = sorted((element, n) for n, array in enumerate(arrays) for element in range(array.shape[1]))[:most]
    columns = [shifted(arrays[n][:, element]) for element, n in order]
    runs = arrays[0].shape[0] if arrays else 0
    table = np.stack(columns, 1) if columns else np.zeros((runs, 0), WORD)
    return table, [(n,) for _, n in order]


def shifted(x: Array) -> Array:
    """A number of b bits times 2^(64 - b)."""
    unsigned = x.view(f"u{x.dtype.itemsize}") if x.dtype.kind == "i" else x
    return unsigned.astype(WORD) << WORD.type(64 - 8 * x.dtype.itemsize)


def word_relations(table: Array) -> Array:
    """Generators of all factors whose sum of products with the columns is zero in every run, one a row.

    Columns are reduced run by run: one with the fewest factors of two in this run clears all others, and stays itself
    in the game with as many more factors of two as make it zero here."""
    runs, count = table.shape
    work = np.concatenate([table, np.eye(count, dtype=WORD)]).T.copy()  # a row is a column and what it was made of
    alive = np.ones(count, bool)
    with np.errstate(over="ignore"):
        for t in range(runs):
            entries = np.where(alive, work[:, t], 0)
            if not entries.any():
                continue
            powers = np.where(entries == 0, 64, twos(entries))
            pivot = int(powers.argmin())
            twice = int(powers[pivot])
            unit = inverse(int(entries[pivot]) >> twice)
            work[pivot] *= WORD.type(unit)
            others = np.flatnonzero((entries != 0) & (np.arange(count) != pivot))
            factors = entries[others] >> WORD.type(twice)
            work[others] -= factors[:, None] * work[pivot]
            if twice:
                work[pivot] <<= WORD.type(64 - twice)
            else:
                alive[pivot] = False
    return work[alive & work.any(1), runs:]


def twos(x: Array) -> Array:
    """How many factors of two there are in each number but zero."""
    low = x & (~x + WORD.type(1))
    return np.bitwise_count(low - WORD.type(1)).astype(int)


def inverse(odd: int) -> int:
    """1 / odd mod 2^64."""
    return pow(odd, -1, 1 << 64)


def word_sum(table: Array, factors: Array) -> Array:
    with np.errstate(over="ignore"):
        return (table * factors).sum(1, dtype=WORD)
