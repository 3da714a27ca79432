"""Moving between the forms of a sharing: zero shares, reshare, deal, combine, open.

Party i holds (x_i, x_{i+1}), written (a, b) in the code. A `Group` says what "plus" is: addition in Z_2^k for numbers,
exclusive or for packed bits. Parties 0 and 1 know c = x_1, and party 2 knows r = x_0 + x_2: that view of a sharing,
`split`, costs no message, and most protocols here start from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.operands import ARITH_NUMBER, SUM3_NUMBER
from jmpc.ir.ops.record import Infer
from jmpc.ir.ops.scaling import same
from jmpc.ir.types import ARITH, SECRET, SPLIT, SUM3
from jmpc.ring.bits import WORD
from jmpc.ring.element import Ring


@dataclass(frozen=True)
class Group:
    """(Z_2^bits, +) or, with `xor`, bit strings. dtype: how an element is stored."""

    dtype: np.dtype
    bits: int
    xor: bool = False

    def add(self, x: Array, y: Array) -> Array:
        return lax.bitwise_xor(x, y) if self.xor else lax.add(x, y)

    def sub(self, x: Array, y: Array) -> Array:
        return lax.bitwise_xor(x, y) if self.xor else lax.sub(x, y)

    def reduce(self, x: Array) -> Array:
        if self.xor or self.bits == 8 * self.dtype.itemsize:
            return x
        return lax.bitwise_and(x, lax.full(x.shape, self.dtype.type((1 << self.bits) - 1), self.dtype))

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return lax.full(tuple(shape), self.dtype.type(0), self.dtype)


# Of one summand of each of one, two or three pairs.
OfSummands = Callable[[Array], Array] | Callable[[Array, Array], Array] | Callable[[Array, Array, Array], Array]


def each(function: OfSummands, *pairs: Pair) -> Pair:
    """What a function makes of the first summands of pairs, and what it makes of the second ones. No message."""
    return function(*(p[0] for p in pairs)), function(*(p[1] for p in pairs))


def numbers(ring: Ring) -> Group:
    return Group(ring.dtype, ring.k)


def residues(ring: Ring, bits: int) -> Group:
    """Z_2^bits in the ring's own dtype; messages are narrowed to whole bytes."""
    return Group(ring.dtype, bits)


BITS = Group(WORD, 64, xor=True)


def narrow(x: Array, group: Group) -> Array:
    """The low bytes that an element mod 2^bits needs, as a message: (n, bytes) of uint8, or x itself."""
    count = -(-group.bits // 8)
    if group.xor or count == group.dtype.itemsize:
        return group.reduce(x)
    as_bytes = lax.bitcast_convert_type(group.reduce(x), np.uint8)
    return lax.slice_in_dim(as_bytes, 0, count, axis=as_bytes.ndim - 1)


def narrow_spec(shape: tuple[int, ...], group: Group) -> tuple[tuple[int, ...], np.dtype]:
    count = -(-group.bits // 8)
    if group.xor or count == group.dtype.itemsize:
        return tuple(shape), group.dtype
    return (*shape, count), np.dtype(np.uint8)


def widen(message: Array, group: Group) -> Array:
    """The inverse of `narrow`."""
    if message.dtype == group.dtype:
        return message
    spare = group.dtype.itemsize - message.shape[-1]
    config = [(0, 0, 0)] * (message.ndim - 1) + [(0, spare, 0)]
    return lax.bitcast_convert_type(lax.pad(message, np.uint8(0), config), group.dtype)


def masked(me: Me, neighbour: str, shape: tuple[int, ...], group: Group) -> Array:
    return group.reduce(me.mask(neighbour, shape, group.dtype))


def zero_share(me: Me, shape: tuple[int, ...], group: Group) -> Array:
    """One summand a party, uniform with sum zero: F(K_{i,i+1}) - F(K_{i-1,i}) (Araki et al. 2016). No message."""
    return group.sub(masked(me, "nxt", shape, group), masked(me, "prv", shape, group))


def reshare(me: Me, z: Array, group: Group) -> Pair:
    """One summand a party -> replicated. Each masks its summand with a zero share and sends it to its previous party:
    `1 round; one element each`. A party sees a summand that is uniform given its own (Araki et al. 2016, 3.1)."""
    z = group.reduce(group.add(z, zero_share(me, z.shape, group)))
    return z, me.exchange(to_prv=z, from_nxt=(z.shape, group.dtype))


def deal(me: Me, value: Array | None, shape: tuple[int, ...], group: Group) -> Pair:
    """Party 2 shares a value that it knows: v_0 from the key of parties 2 and 0, v_1 = 0, v_2 = v - v_0 sent to
    party 1. `1 round; one element from party 2`. Party 1 sees v_2, uniform since v_0 is unknown to it."""
    if me.index == 0:
        me.exchange()
        return masked(me, "prv", shape, group), group.zeros(shape)
    if me.index == 1:
        got = me.exchange(from_nxt=narrow_spec(shape, group))
        return group.zeros(shape), widen(got, group)
    assert value is not None, "party 2 deals what it knows"
    v0 = masked(me, "nxt", shape, group)
    v2 = group.reduce(group.sub(value, v0))
    me.exchange(to_prv=narrow(v2, group))
    return v2, v0


def dealt(me: Me, pair: Pair) -> Array | None:
    """Of a dealt value: the summand that party 0 or party 1 holds of it (v = v_0 + v_2); None at party 2."""
    return None if me.index == 2 else own_half(me, pair)


def own_half(me: Me, pair: Pair) -> Array:
    """The same, where party 2 is elsewhere."""
    return pair[me.index]


def combine(me: Me, summand: Array | None, shape: tuple[int, ...], group: Group) -> Pair:
    """Parties 0 and 1 hold p and q -> replicated p + q. t_0 from the key of 2 and 0, t_1 from the key of 1 and 2;
    party 0 sends p - t_0 to party 1, which sends q - t_1 back; shares (t_0, p - t_0 + q - t_1, t_1).
    `1 round; one element from parties 0 and 1`. Each sees a message masked by a key that it does not have."""
    if me.index == 2:
        me.exchange()
        return masked(me, "prv", shape, group), masked(me, "nxt", shape, group)
    assert summand is not None, "parties 0 and 1 hold a summand each"
    key, way = ("prv", "nxt") if me.index == 0 else ("nxt", "prv")
    t = masked(me, key, shape, group)
    mine = group.reduce(group.sub(summand, t))
    got = me.exchange_with({way: narrow(mine, group)}, {way: narrow_spec(shape, group)})
    middle = group.reduce(group.add(mine, widen(got, group)))
    return (t, middle) if me.index == 0 else (middle, t)


def open_words(me: Me, x: Pair) -> Array:
    """Packed bits to all three parties: each sends its first component to the next. `1 round; one element each`."""
    missing = me.exchange(to_nxt=x[0], from_prv=(x[0].shape, x[0].dtype))
    return lax.bitwise_xor(lax.bitwise_xor(x[0], x[1]), missing)


def on_second(me: Me, value: Array, zeros: Array) -> Pair:
    """Replicated shares of a value that parties 0 and 1 know: all of it in x_1. No message."""
    return ((zeros, value), (value, zeros), (zeros, zeros))[me.index]


def known_part(me: Me, x: Pair, group: Group) -> Array:
    """The `split` view of replicated shares: c = x_1 at parties 0 and 1, r = x_2 + x_0 at party 2. No message."""
    return group.reduce((x[1], x[0])[me.index] if me.index < 2 else group.add(x[0], x[1]))


def in_form(form: str) -> Infer:
    """The same value in another form."""
    return lambda types, attrs, config: (types[0].with_(form=form, visibility=SECRET, owner=""),)


def unmasked(infer: Infer) -> Infer:
    """A result before its round: one summand at each party."""
    return lambda types, attrs, config: (infer(types, attrs, config)[0].with_(form=SUM3),)


@protocol("to_sum3", takes=(ARITH_NUMBER,), gives=in_form(SUM3), means=same, source="the first component of each party")
def to_sum3(me: Me, held: list[Pair], types: Any, attrs: Any) -> Array:
    return held[0][0]


@protocol("split", takes=(ARITH_NUMBER,), gives=in_form(SPLIT), means=same, source="protocols F1")
def split(me: Me, held: list[Pair], types: Any, attrs: Any) -> Array:
    return known_part(me, held[0], numbers(me.ring))


@protocol(
    "reshare",
    takes=(SUM3_NUMBER,),
    gives=in_form(ARITH),
    means=same,
    source="Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016, section 3.1",
)
def reshare_sum3(me: Me, held: list[Array], types: Any, attrs: Any) -> Pair:
    return reshare(me, me.ring.reduce(held[0]), numbers(me.ring))


@protocol(
    "open_split",
    takes=(SUM3_NUMBER,),
    gives=in_form(SPLIT),
    means=same,
    source="after a product, the two-party view of SPU's TruncAPr",
)
def open_split(me: Me, held: list[Array], types: Any, attrs: Any) -> Array:
    """Idea: parties 0 and 1 swap their summands, so C = z_0 + z_1 is known to both and R = z_2 to party 2.
    Security: z_0 is masked by the key of 2 and 0, z_1 by the key of 1 and 2; party 2 subtracts both, so each message
    is uniform to its receiver. Cost: 1 round, k bits from parties 0 and 1."""
    group, z = numbers(me.ring), held[0]
    if me.index == 2:
        me.exchange()
        both = group.add(masked(me, "nxt", z.shape, group), masked(me, "prv", z.shape, group))
        return group.reduce(group.sub(z, both))
    key, way = ("prv", "nxt") if me.index == 0 else ("nxt", "prv")
    mine = group.reduce(group.add(z, masked(me, key, z.shape, group)))
    got = me.exchange_with({way: mine}, {way: (z.shape, group.dtype)})
    return group.reduce(group.add(mine, got))


def reveal_all(me: Me, x: Pair, group: Group) -> Array:
    """All three learn the value. `1 round; one element each`."""
    missing = me.exchange(to_nxt=group.reduce(x[0]), from_prv=(x[0].shape, group.dtype))
    return group.reduce(group.add(group.add(x[0], x[1]), missing))
