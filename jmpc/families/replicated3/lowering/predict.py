"""What protocols will cost, by formula: for choices among them, which are made before anything is traced.

What goes in: what a choice is between: types of the operands, attributes, the configuration. What comes out: a `Cost`.
Tests hold each formula to what tracing counts (`party/cost.py`), for every size and attribute that they draw.

Why not traced: a choice asks for each of five block sizes, or six digits of a sort, and builds one. To trace a
comparison at three parties takes 50 ms of CPU, a bit decomposition 300, a radix sort up to 2 s: twice the time in which
a whole transformer block is lowered and planned. What is reported to users is never predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.families.protocol import Cost, CostRule
from jmpc.families.replicated3.protocols.bits import layout
from jmpc.families.replicated3.protocols.pairs import key_attrs
from jmpc.families.replicated3.protocols.row_words import rows_of
from jmpc.families.replicated3.protocols.shuffle import position_group
from jmpc.ir.types import BOOL, Type
from jmpc.ring.bits import WORD, words
from jmpc.ring.element import Ring

Attrs = Mapping[str, Any]
FREE = Cost(0, (0, 0, 0))


def even(rounds: int, bytes_each: int) -> Cost:
    return Cost(rounds, (bytes_each, bytes_each, bytes_each))


def dealt(rounds: int, combined: int, by_dealer: int) -> Cost:
    """Bytes from parties 0 and 1 each, and from party 2."""
    return Cost(rounds, (combined, combined, by_dealer))


def element_bytes(size: int, config: Config) -> int:
    return size * Ring(config.k).element_bytes


def plane_bytes(size: int) -> int:
    """One packed bit for each of `size` elements."""
    return words(size) * WORD.itemsize


# --- bits and numbers


def and_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    return even(1, plane_bytes(types[0].size))


def dabit_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    return even(2, element_bytes(math.prod(attrs["shape"]), config))


def inject_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    """Party 2 deals two elements, then `combine`."""
    one = element_bytes(types[0].size, config)
    return dealt(2, one, 2 * one)


def inject_dabit_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    return even(1, element_bytes(types[0].size, config) + plane_bytes(types[0].size))


# --- comparisons and bits


def blocks_of(bits: int, block: int) -> int:
    return -(-bits // block)


def levels_of(leaves: int) -> int:
    """Of a tree that joins so many."""
    return max(leaves - 1, 0).bit_length()


def carry_ands(leaves: int) -> int:
    """Two for a join of two blocks, one where nothing is below."""
    ands = 0
    while leaves > 1:
        ands += 2 * (leaves // 2) - 1
        leaves -= leaves // 2
    return ands


def carry_cost(size: int, width: int, block: int) -> Cost:
    """Of the carry out of the low `width` bits."""
    leaves, plane = blocks_of(width, block), plane_bytes(size)
    ands = carry_ands(leaves)
    read = max(2 * leaves - 1, 0)
    rounds = 2 + levels_of(leaves) if leaves else 0
    return dealt(rounds, (read + ands) * plane, (leaves * ((1 << block) - 1) + ands) * plane)


def msb_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    """That of the carry out of the lower bits, and one dealt bit."""
    size = types[0].size
    carry = carry_cost(size, attrs["width"] - 1, attrs["block"])
    return Cost(max(carry.rounds, 1), (0, 0, plane_bytes(size))) + Cost(0, carry.bytes_sent)


def zero_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    leaves, plane = blocks_of(attrs["width"], attrs["block"]), plane_bytes(types[0].size)
    hot, ands = leaves * ((1 << attrs["block"]) - 1), leaves - 1
    return dealt(2 + levels_of(leaves), (leaves + ands) * plane, (hot + ands) * plane)


def planes_cost(size: int, start: int, width: int, block: int) -> Cost:
    """Of bits start .. start + width - 1."""
    made, plane = layout(start, width, block), plane_bytes(size)
    hot = made.blocks * ((1 << block) - 1)
    rounds = 1 + bool(made.read) + made.levels
    return dealt(rounds, (made.read + made.ands) * plane, (hot + made.ands) * plane)


def bits_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    return planes_cost(types[0].size, attrs["start"], attrs["width"], attrs["block"])


# --- order


def pair_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    """The last key is compared first; each before it selects by one more and. The opening travels with the last and:
    what a party sends it knows before that round. The dabit is made beside."""
    count = pairs_of(types[0])
    if not count:
        return FREE
    plane, rounds, sent = plane_bytes(count), 0, FREE
    for number, (t, key) in enumerate(zip(types[::-1], key_attrs(attrs)[::-1], strict=True)):
        less, equal = _key_cost(t, key, number > 0, config)
        sent = sent + less + equal + (even(0, plane) if number else FREE)
        rounds = max(less.rounds, max(equal.rounds, rounds) + 1 if number else 0)
    place = -(-position_group(types[0].shape[-1], Ring(config.k)).bits // 8)
    made = even(2, count * place)
    return Cost(max(rounds, made.rounds), (sent + made + even(1, plane)).bytes_sent)


def pairs_of(t: Type) -> int:
    """How many pairs there are in all rows."""
    return t.size * (t.shape[-1] - 1) // 2


def _key_cost(t: Type, key: Mapping[str, int], equal: bool, config: Config) -> tuple[Cost, Cost]:
    """Of [j before i], and of equality if it is asked."""
    pairs = t.with_(shape=(pairs_of(t),))
    one = even(1, plane_bytes(pairs.size))
    if t.kind == BOOL:
        return one, FREE
    found, signs = (msb_cost([of], key, config) for of in (pairs, t))
    test = zero_cost([pairs], key, config) if equal else FREE
    both = Cost(max(found.rounds, signs.rounds), (found + signs).bytes_sent)
    return both + one, test


def radix_cost(types: Sequence[Type], attrs: Attrs, config: Config) -> Cost:
    """Three rounds a pass: a digit is dealt, places are opened to two, rows are shuffled."""
    rows, ring = rows_of(types[0], attrs), Ring(config.k)
    n, place, word = rows.size, rows.place.dtype.itemsize, rows.words * rows.word.dtype.itemsize
    cells = rows.steps * rows.batch * rows.columns
    masked_hot = (rows.values - 1) * cells * place
    hot = ((rows.values - 1) * n + cells) * place
    row = n * (place + word)
    one = Cost(3, (masked_hot + row, masked_hot + row + 2 * n * place + n * word, hot + 2 * n * place + n * word))
    total = Cost(1, (0, 0, 0))
    for _ in range(rows.passes):
        total = total + one
    return total + move_cost(rows.n, n, -(-position_group(rows.n, ring).bits // 8), Ring(64))


def move_cost(n: int, size: int, payload: int, ring: Ring) -> Cost:
    """Of elements put at secret places below n. payload: bytes of an element that is moved."""
    key = size * -(-position_group(n, ring).bits // 8)
    row = key + size * payload
    return Cost(2, (2 * key + size * payload, row + 2 * key + size * payload, row))


PREDICTED: dict[str, CostRule] = {
    "and": and_cost,
    "dabit": dabit_cost,
    "inject": inject_cost,
    "inject_dabit": inject_dabit_cost,
    "msb": msb_cost,
    "zero_test": zero_cost,
    "bits_of": bits_cost,
    "pair_rank": pair_cost,
    "radix_rank": radix_cost,
}
