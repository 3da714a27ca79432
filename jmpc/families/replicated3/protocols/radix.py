"""The rank of every element of a row, from the bits of the keys: a radix sort that nobody can follow.

How this works. A pass sorts by `digit` bits, stably, the lowest first; a row word holds the bits of the key that are
left and the number that the element had at first. The digit is c ^ u, c known to parties 0 and 1, u to party 2: party 2
deals the one-hot vector of u, and parties 0 and 1 turn it by c, which gives the one-hot h of the digit, in halves. The
place of an element is the sum over v of h_v times the number of elements that come before a v, a linear function L of
all h: one product, with a mask a for h whose own product party 2 deals (Beaver 1991), so that parties 0 and 1 get h - a
in the clear and the places in halves. Places and row words are shuffled, the places opened, the words put there; and
party 2, which has known its part since the shuffle, deals for the next pass in that same round: three rounds a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.row_words import Rows, next_digit, row_words, rows_of, settled
from jmpc.families.replicated3.protocols.share import Group, deal, dealt, masked
from jmpc.families.replicated3.protocols.shuffle import (
    INDEX,
    Roles,
    cut,
    flat_index,
    halves_of,
    inverse,
    move,
    open_halves,
    position_group,
    reordered,
    shuffle,
    taken,
)
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCK, GROUPS, ROWS
from jmpc.ir.ops.operands import SECRET_BIT
from jmpc.ir.ops.order import placed
from jmpc.ir.ops.record import OPENS, SOME_BITS
from jmpc.ir.types import Type, secret_places

PASS = Roles(0, 1, 2)


def _places_type(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> tuple[Type, ...]:
    """`rank` of keys given as bits, lowest first: the first `width` of (bits, *shape). A bit in `turned` counts the
    other way."""
    (x,), width, turned = types, attrs["width"], attrs["turned"]
    if len(x.shape) < 2 or 0 in x.shape or width > x.shape[0]:
        raise ProgramError(f"radix_rank: bits of keys in rows are wanted, not {x.shape}")
    if len(set(turned)) < len(turned) or any(n >= width for n in turned):
        raise ProgramError(f"radix_rank: bits {turned} of {width} are turned")
    return (secret_places(x.shape[1:]),)


def _placed(frame: Any, op: Any, bits: np.ndarray) -> np.ndarray:
    order = range(op.attrs["width"] - 1, -1, -1)
    return placed(frame, op, *(bits[n] ^ (n in op.attrs["turned"]) for n in order))


@protocol(
    "radix_rank",
    takes=(SECRET_BIT,),
    attrs={"digit": BLOCK, "width": GROUPS, "turned": ROWS},
    gives=_places_type,
    means=_placed,
    traits=(SOME_BITS, OPENS),
    source="Chida, Hamada, Ikarashi, Kikuchi, Kiribuchi, Pinkas 2019/695; digits by dealt one-hot, derived here",
    opens="the places of shuffled elements, in each pass",
)
def radix_rank(me: Me, held: list[Pair], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """The place of every element in the stable order of its row, by keys given as bits, lowest first: (bits, *, n).

    What it opens, and what comes out, are permutations whatever the bits are: a pass counts, of each digit, those
    before, so that it puts every element on a place of its own; and the numbers that the elements had at first stand
    in bits that no key reaches (`row_words`).

    Security: party 1 sees dealt shares under the key of 2 and 0; parties 0 and 1 each other's half of h less its mask;
    shuffles and what is opened as in `shuffle.py`, with fresh permutations in every pass; party 0 and party 1 get row
    words under a key that they lack. Needs: nothing.  Error: none.
    Cost: 3 rounds a pass and 3."""
    rows = rows_of(types[0], attrs)
    words = row_words(me, held[0], types[0].shape[0], rows, attrs["turned"])
    order = lax.iota(INDEX, rows.size)
    dealt_part = _deal_digit(me, rows, words)
    for step in range(rows.passes):
        places = _places(me, rows, words, dealt_part, order)
        halves = shuffle(me, PASS, _halves(me, places, words), (rows.batch, rows.n), _groups(rows))
        words = next_digit(rows, settled(me, rows, halves))
        if step < rows.passes - 1:
            dealt_part = _deal_digit(me, rows, words)
        place_half = None if halves is None else halves[0]
        opened = open_halves(me, PASS, place_half, (rows.batch, rows.n), rows.place)
        order = inverse(flat_index(opened))
        words = [(reordered(a, order), reordered(b, order)) for a, b in words]
    found = _placed_at_number(me, rows, words)
    shape = types[0].shape[1:]
    return lax.reshape(found[0], shape), lax.reshape(found[1], shape)


def _groups(rows: Rows) -> list[Group]:
    return [rows.place, *[rows.word] * rows.words]


def _halves(me: Me, places: Array | None, words: list[Pair]) -> list[Array] | None:
    """What parties 0 and 1 shuffle: their halves of the places, x_0 ^ x_1 and x_2 of the words."""
    if places is None:
        return None
    return [places, *(lax.bitwise_xor(*x) if me.index == 0 else x[1] for x in words)]


# --- one digit


@dataclass(frozen=True)
class Dealt:
    """At party 0 or 1. hot: its half of the one-hot vectors of u but for their first entry, (elements, values - 1).
    product: its half of the sum over v of a_v L(a)_v.  mask: its half of a but for a_0."""

    hot: Array
    product: Array
    mask: Array


def _deal_digit(me: Me, rows: Rows, words: list[Pair]) -> Dealt | None:
    """Party 2 deals its part of the digit and the product of the masks, in one message. `1 round`."""
    group, hot_size = rows.place, rows.size * (rows.values - 1)
    steps, batch, columns = rows.grid
    mask_shape = (steps, rows.values - 1, batch, columns)
    value, mask = None, None
    if me.index == 2:
        mask = group.add(masked(me, "nxt", mask_shape, group), masked(me, "prv", mask_shape, group))
        mask = _completed(mask, None)
        product = _sum_over_values(lax.mul(mask, _counts(mask)))
        hot = _one_hot(_digit(rows, lax.bitwise_xor(*words[0])), rows)
        value = lax.concatenate([lax.reshape(hot, (hot_size,)), lax.reshape(product, (product.size,))], 0)
    else:
        mask = masked(me, "prv" if me.index == 0 else "nxt", mask_shape, group)
    half = dealt(me, deal(me, value, (hot_size + steps * batch * columns,), group))
    if half is None:
        return None
    hot = lax.reshape(lax.slice_in_dim(half, 0, hot_size), (rows.size, rows.values - 1))
    product = lax.reshape(lax.slice_in_dim(half, hot_size, half.size), rows.grid)
    return Dealt(hot, product, mask)


def _digit(rows: Rows, word: Array) -> Array:
    return lax.bitwise_and(word, lax.full(word.shape, word.dtype.type(rows.values - 1), word.dtype))


def _one_hot(digits: Array, rows: Rows) -> Array:
    """[digit = 1], ..., [digit = 2^d - 1] of each element, in a row."""
    shape = (rows.size, rows.values - 1)
    spread = _typed.broadcast_in_dim(lax.reshape(digits, (rows.size,)), shape, (0,))
    entry = _typed.broadcasted_iota(digits.dtype, shape, 1)
    value = lax.add(entry, lax.full(shape, digits.dtype.type(1), digits.dtype))
    return lax.convert_element_type(lax.eq(spread, value), rows.place.dtype)


def _completed(x: Array, total: int | None) -> Array:
    """With the entry of v = 0 put in front: what is missing to `total` (None: to 0)."""
    rest = lax.neg(_sum_over_values(x))
    if total:
        rest = lax.add(rest, lax.full(rest.shape, rest.dtype.type(total), rest.dtype))
    return lax.concatenate([lax.expand_dims(rest, (1,)), x], 1)


def _sum_over_values(x: Array) -> Array:
    return lax.reduce(x, x.dtype.type(0), lax.add, (1,))


def _counts(x: Array) -> Array:
    """L: for each entry, the sum of the entries before it, smaller values first, then earlier elements of its row."""
    values, batch, columns = x.shape[1:]

    def step(total: Array, row: Array) -> tuple[Array, Array]:
        return lax.add(total, row), total

    zero = lax.full((values, batch, columns), x.dtype.type(0), x.dtype)
    totals, before = lax.scan(step, zero, x)
    flat = lax.reshape(lax.transpose(totals, (1, 0, 2)), (batch, values * columns))
    earlier = lax.sub(lax.cumsum(flat, axis=1), flat)
    earlier = lax.transpose(lax.reshape(earlier, (batch, values, columns)), (1, 0, 2))
    return lax.add(before, _typed.broadcast_in_dim(earlier, x.shape, (1, 2, 3)))


def _on_grid(x: Array, rows: Rows, fill: int) -> Array:
    """(batch, n) -> (steps, batch, columns); what is beyond n gets `fill`."""
    steps, batch, columns = rows.grid
    x = lax.reshape(x, (batch, rows.n))
    x = lax.pad(x, x.dtype.type(fill), [(0, 0, 0), (0, steps * columns - rows.n, 0)])
    return lax.transpose(lax.reshape(x, (batch, columns, steps)), (2, 0, 1))


def _off_grid(x: Array, rows: Rows) -> Array:
    steps, batch, columns = rows.grid
    flat = lax.reshape(lax.transpose(x, (1, 2, 0)), (batch, columns * steps))
    return lax.slice_in_dim(flat, 0, rows.n, axis=1)


def _places(me: Me, rows: Rows, words: list[Pair], part: Dealt | None, order: Array) -> Array | None:
    """The halves of parties 0 and 1 of the place that each element takes by its digit. order: for each element, where
    it stood when party 2 dealt. `1 round; values - 1 elements from parties 0 and 1`.

    Beyond the end of a row stand elements of the largest digit, so that they move nothing."""
    if part is None:
        me.exchange()
        return None
    group, way = rows.place, "nxt" if me.index == 0 else "prv"
    known = words[0][1 if me.index == 0 else 0]
    hot = _turned(
        me, rows, part.hot, _on_grid(_digit(rows, known), rows, rows.values - 1), _on_grid(order, rows, rows.size)
    )
    mine = group.sub(lax.slice_in_dim(hot, 1, rows.values, axis=1), part.mask)
    got = me.exchange_with({way: mine}, {way: (mine.shape, group.dtype)})
    opened = _completed(group.add(mine, got), 1)
    mask = _completed(part.mask, None)
    counted, own = _counts(opened), _counts(mask)
    beside = lax.add(own, counted) if me.index == 0 else own
    terms = lax.add(lax.mul(opened, beside), lax.mul(mask, counted))
    return _off_grid(lax.add(_sum_over_values(terms), part.product), rows)


def _turned(me: Me, rows: Rows, hot: Array, digits: Array, order: Array) -> Array:
    """This party's half of [digit = v], (steps, values, batch, columns): entry v of c ^ u is entry v ^ c of u."""
    one = 1 if me.index == 0 else 0
    rest = lax.neg(lax.reduce(hot, hot.dtype.type(0), lax.add, (1,)))
    none = lax.add(rest, lax.full(rest.shape, rest.dtype.type(one), rest.dtype))
    table = lax.concatenate([lax.expand_dims(none, (1,)), hot], 1)
    table = lax.pad(table, table.dtype.type(0), [(0, 1, 0), (0, 0, 0)])
    if one:  # of the elements beyond the end, u = 0
        table = lax.concatenate([lax.slice_in_dim(table, 0, rows.size), _unit(rows)], 0)
    steps, batch, columns = rows.grid
    shape = (steps, rows.values, batch, columns)
    digits, order = (
        _typed.broadcast_in_dim(lax.convert_element_type(x, INDEX), shape, (0, 2, 3)) for x in (digits, order)
    )
    entry = lax.bitwise_xor(digits, _typed.broadcasted_iota(INDEX, shape, 1))
    return taken(table, lax.add(lax.mul(order, lax.full(shape, INDEX.type(rows.values), INDEX)), entry))


def _unit(rows: Rows) -> Array:
    entry = _typed.broadcasted_iota(INDEX, (1, rows.values), 1)
    return lax.convert_element_type(lax.eq(entry, lax.full(entry.shape, INDEX.type(0), INDEX)), rows.place.dtype)


def _placed_at_number(me: Me, rows: Rows, words: list[Pair]) -> Pair:
    """The place at which each element stands now, in the order that they had at first."""
    shape, place, group = (rows.batch, rows.n), rows.place, position_group(rows.n, me.ring)
    named = Group(place.dtype, place.bits, xor=True)
    halves = halves_of(me, [cut(words[0], named)], [named])
    if halves is not None:
        here = _typed.broadcasted_iota(group.dtype, shape, 1)
        halves = [*halves, here if me.index == 2 else group.zeros(shape)]
    return move(me, halves, named, shape, group)
