"""The one-hot vector of a secret index, dealt: what turns a secret index into a product.

How this works. i = c + r, c known to parties 0 and 1, r to party 2, all mod 2^b. Party 2 deals the one-hot vector of r,
2^b - 1 words (the first is what is missing to one); parties 0 and 1 turn it by c, each its own half, keep the entries
that are wanted, and `combine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import combine, deal, dealt, each, numbers
from jmpc.families.replicated3.protocols.shuffle import INDEX, taken
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import FLAG, GROUPS, RESIDUE
from jmpc.ir.ops.operands import SPLIT_INT
from jmpc.ir.ops.order import hot, hot_type, two_hot, two_hot_type
from jmpc.ir.types import INT, Type


def _digits_type(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> tuple[Type, ...]:
    """As `hot_digits`, the high digit before the carry of the low one, and that carry."""
    return (*two_hot_type(types, attrs, config), Type(types[0].shape, INT, 0, 1))


@protocol(
    "deal_one_hot",
    takes=(SPLIT_INT,),
    attrs={"size": GROUPS, "bits": RESIDUE, "wraps": FLAG},
    gives=hot_type,
    means=hot,
    source="SPU's OramOneHot in the two-party view, dealt in place of a DPF",
)
def deal_one_hot(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """[i mod 2^bits = v] for v < size; with `wraps`, also of i = v - size, an index that counts from the end.

    Security: party 1 sees dealt shares, uniform under the key of 2 and 0; parties 0 and 1 each other's masked half.
    Needs: size at most 2^bits, half of it with `wraps`.  Error: none; zeros where the residue is that of no position.
    Cost: 2 rounds; 2^bits - 1 words from party 2, `size` words from parties 0 and 1, for each index."""
    group, size = numbers(me.ring), attrs["size"]
    count, residues = types[0].size, 1 << attrs["bits"]
    low = lax.reshape(lax.bitwise_and(held[0], me.ring.full(held[0], residues - 1)), (count,))
    spread = (count, residues - 1)
    value = None
    if me.index == 2:
        value = _hot_of(low, residues - 1, group.dtype)
    half = dealt(me, deal(me, value, spread, group))
    shape = (*types[0].shape, size)
    if half is None:
        return combine(me, None, shape, group)
    mine = _turned(me, half, low, 0, size)
    if attrs["wraps"]:
        mine = lax.add(mine, _turned(me, half, low, residues - size, size))
    return combine(me, lax.reshape(mine, shape), shape, group)


@protocol(
    "deal_hot_digits",
    takes=(SPLIT_INT,),
    attrs={"low": RESIDUE, "bits": RESIDUE},
    gives=_digits_type,
    means=two_hot,
    source="as `deal_one_hot`; the carry read off the low digit",
)
def deal_hot_digits(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> tuple[Pair, ...]:
    """One-hot vectors of the two digits of c + r mod 2^bits, the high one before the low one's carry, and that carry.

    Idea: the high digit is that of c and of r, and one more where the low digits of c and r make a carry, which is the
    sum of the entries of r's low one-hot vector from 2^low - c on. Two short vectors stand for one of 2^bits entries.
    Security: as `deal_one_hot`.  Needs: nothing.  Error: none.
    Cost: 2 rounds; the entries of both vectors less two from party 2, and one more than them from parties 0 and 1."""
    group, low, high = numbers(me.ring), attrs["low"], attrs["bits"] - attrs["low"]
    count, shape = types[0].size, types[0].shape
    mine = lax.reshape(held[0], (count,))
    digits = [_low_bits(me, mine, low), _low_bits(me, me.ring.shift_right(mine, low), high)]
    ends = [(1 << low) - 1, (1 << high) - 1]
    value = lax.concatenate([_hot_of(d, end, group.dtype) for d, end in zip(digits, ends, strict=True)], 1)
    half = dealt(me, deal(me, value if me.index == 2 else None, (count, sum(ends)), group))
    kept = None
    if half is not None:
        parts = lax.slice_in_dim(half, 0, ends[0], axis=1), lax.slice_in_dim(half, ends[0], sum(ends), axis=1)
        turned = [_turned(me, p, d, 0, end + 1) for p, d, end in zip(parts, digits, ends, strict=True)]
        kept = lax.concatenate([*turned, _carry(parts[0], digits[0])], 1)
    found = combine(me, kept, (count, sum(ends) + 3), group)

    def columns(first: int, last: int, to: tuple[int, ...]) -> Pair:
        return each(lambda x: lax.reshape(lax.slice_in_dim(x, first, last, axis=1), to), found)

    low_digit = columns(0, 1 << low, (*shape, 1 << low))
    high_digit = columns(1 << low, sum(ends) + 2, (*shape, 1 << high))
    return low_digit, high_digit, columns(sum(ends) + 2, sum(ends) + 3, shape)


def _low_bits(me: Me, x: Array, bits: int) -> Array:
    return lax.bitwise_and(me.ring.reduce(x), me.ring.full(x, (1 << bits) - 1))


def _hot_of(digit: Array, end: int, dtype: Any) -> Array:
    """[digit = 1], ..., [digit = end] in a row."""
    spread = (digit.shape[0], end)
    entry = lax.add(_typed.broadcasted_iota(digit.dtype, spread, 1), lax.full(spread, digit.dtype.type(1), digit.dtype))
    return lax.convert_element_type(lax.eq(_typed.broadcast_in_dim(digit, spread, (0,)), entry), dtype)


def _carry(half: Array, c: Array) -> Array:
    """The sum of the entries of r from 2^low - c on. half: without entry 0, which makes no carry."""
    entry = _typed.broadcasted_iota(c.dtype, half.shape, 1)
    least = lax.sub(lax.full(c.shape, c.dtype.type(half.shape[1]), c.dtype), c)
    above = lax.ge(entry, _typed.broadcast_in_dim(least, half.shape, (0,)))
    zero = lax.full(half.shape, half.dtype.type(0), half.dtype)
    total = lax.reduce(lax.select(above, half, zero), half.dtype.type(0), lax.add, (1,))
    return lax.expand_dims(total, (1,))


def _turned(me: Me, half: Array, c: Array, start: int, size: int) -> Array:
    """Entries start .. start + size - 1 of i: entry v is entry v - c of r. half: without entry 0."""
    count, residues = half.shape[0], half.shape[1] + 1
    rest = lax.neg(lax.reduce(half, half.dtype.type(0), lax.add, (1,)))
    none = lax.add(rest, me.ring.full(rest, 1)) if me.index == 0 else rest
    table = lax.concatenate([lax.expand_dims(none, (1,)), half], 1)
    shape = (count, size)
    turn = _typed.broadcast_in_dim(lax.convert_element_type(c, INDEX), shape, (0,))
    entry = lax.sub(lax.add(_typed.broadcasted_iota(INDEX, shape, 1), lax.full(shape, INDEX.type(start), INDEX)), turn)
    entry = lax.bitwise_and(entry, lax.full(shape, INDEX.type(residues - 1), INDEX))
    row = lax.mul(_typed.broadcasted_iota(INDEX, shape, 0), lax.full(shape, INDEX.type(residues), INDEX))
    return taken(table, lax.add(row, entry))
