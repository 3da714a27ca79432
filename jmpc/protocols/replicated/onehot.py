"""The one-hot vector of a secret index, dealt: what turns a secret index into a product.

How this works. i = c + r, c known to parties 0 and 1, r to party 2, all mod 2^b. Party 2 deals the one-hot vector of r,
2^b - 1 words (the first is what is missing to one); parties 0 and 1 turn it by c, each its own half, keep the entries
that are wanted, and `combine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc.config import Config
from jmpc.ir.types import Type
from jmpc.protocols.registry import Cost, Me, element_bytes, protocol
from jmpc.protocols.replicated.share import combine, deal, dealt, numbers
from jmpc.protocols.replicated.shuffle import INDEX, taken

Array = Any
Pair = tuple[Array, Array]


def one_hot_cost(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    count, size = types[0].size, attrs["size"]
    kept = element_bytes(count * size, config)
    return Cost(2, (kept, kept, element_bytes(count * ((1 << attrs["bits"]) - 1), config)))


@protocol("deal_one_hot", source="SPU's OramOneHot in the two-party view, dealt in place of a DPF", cost=one_hot_cost)
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
        entry = lax.add(lax.broadcasted_iota(low.dtype, spread, 1), lax.full(spread, low.dtype.type(1), low.dtype))
        value = lax.convert_element_type(lax.eq(lax.broadcast_in_dim(low, spread, (0,)), entry), group.dtype)
    half = dealt(me, deal(me, value, spread, group))
    shape = (*types[0].shape, size)
    if half is None:
        return combine(me, None, shape, group)
    mine = _turned(me, half, low, 0, size)
    if attrs["wraps"]:
        mine = lax.add(mine, _turned(me, half, low, residues - size, size))
    return combine(me, lax.reshape(mine, shape), shape, group)


def _turned(me: Me, half: Array, c: Array, start: int, size: int) -> Array:
    """Entries start .. start + size - 1 of i: entry v is entry v - c of r. half: without entry 0."""
    count, residues = half.shape[0], half.shape[1] + 1
    rest = lax.neg(lax.reduce(half, half.dtype.type(0), lax.add, (1,)))
    none = lax.add(rest, me.ring.full(rest, 1)) if me.index == 0 else rest
    table = lax.concatenate([lax.expand_dims(none, (1,)), half], 1)
    shape = (count, size)
    turn = lax.broadcast_in_dim(lax.convert_element_type(c, INDEX), shape, (0,))
    entry = lax.sub(lax.add(lax.broadcasted_iota(INDEX, shape, 1), lax.full(shape, INDEX.type(start), INDEX)), turn)
    entry = lax.bitwise_and(entry, lax.full(shape, INDEX.type(residues - 1), INDEX))
    row = lax.mul(lax.broadcasted_iota(INDEX, shape, 0), lax.full(shape, INDEX.type(residues), INDEX))
    return taken(table, lax.add(row, entry))
