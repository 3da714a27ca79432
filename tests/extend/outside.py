"""Ops from outside the package, for the tests of this folder: imported by `conftest.py` alone, which forgets them
again, so that tests that go through all ops of jmpc never see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc.config import Config
from jmpc.extend import Cost, Uniform, between, bit, integer, number, protocol, real
from jmpc.families.protocol import Held
from jmpc.families.replicated3.lowering.predict import element_bytes, even, plane_bytes
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import (
    BITS,
    combine,
    deal,
    dealt,
    masked,
    numbers,
    reshare,
    reveal_all,
)
from jmpc.ir.types import Type
from jmpc.ring import bits

Array = Any
Types = Sequence[Type]
Attrs = Mapping[str, Any]
SOURCE = "the walk of docs/extending.md"
WITHIN = number(form="split", within=lambda attrs: 2 ** (attrs["width"] - 1))


def one_hot(planes: Sequence[Array]) -> Array:
    """Row v says where the number is v."""
    found = [lax.full_like(planes[0], 2**64 - 1)]
    for plane in planes:
        found = [row & ~plane for row in found] + [row & plane for row in found]
    return lax.concatenate([lax.expand_dims(row, (0,)) for row in found], 0)


def look_up(here: Array, table: Array) -> Array:
    found = lax.full_like(table[0], 0)
    for n in range(table.shape[0]):
        found = found ^ (here[n] & table[n])
    return found


def equality_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    plane = plane_bytes(types[0].size)
    return Cost(2, (plane, plane, 2 ** attrs["width"] * plane))


@protocol(
    takes=[WITHIN],
    gives=[bit()],
    attrs={"width": between(1, lambda config: min(3, config.k))},
    plain=lambda x, *, width: x == 0,
    reference=lambda ring, x, *, width: x == 0,
    cost=equality_cost,
    source=SOURCE,
)
def small_is_zero(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    """One round deals the one-hot vector of -R, one combines what parties 0 and 1 find in it."""
    x = me.ring.reduce(lax.neg(held[0])) if me.index == 2 else held[0]
    here = one_hot(list(bits.planes(x, 0, attrs["width"])))
    half = dealt(me, deal(me, here if me.index == 2 else None, here.shape, BITS))
    found = look_up(here, half) if me.index < 2 else None
    return combine(me, found, here.shape[1:], BITS)


@protocol(
    takes=[real(within=64.0), real(within=64.0)],
    gives=[real(within=8192.0)],
    plain=lambda x, y: 2 * (x + y),
    reference=lambda ring, x, y: 2 * (x + y),
    cost=lambda types, attrs, config: even(1, element_bytes(types[0].size, config)),
    source="a reshare of a sum, for the tests",
)
def twice_the_sum(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    z = lax.mul(lax.add(held[0][0], held[1][0]), me.ring.full(held[0][0], 2))
    return reshare(me, z, numbers(me.ring))


@protocol(
    takes=[bit(), bit()],
    gives=[bit()],
    shape=lambda shapes, attrs: shapes[0][1:],
    at=lambda shape, attrs: [(2, *shape)] * 2,
    plain=lambda x, y: (x & y).any(0),
    reference=lambda ring, x, y: (x & y).any(0),
    source="an and of both, then one of two, for the tests",
)
def either_pair(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    """Not elementwise: whether x and y are set together at one of the two places of the first axis."""
    x, y = (_rows(h, types[0].shape) for h in held)
    products = and_planes(me, x, y)
    first, second = _at(products, 0), _at(products, 1)
    both = and_planes(me, first, second)
    return tuple(a ^ b ^ c for a, b, c in zip(first, second, both, strict=True))


def _rows(pair: Held, shape: tuple[int, ...]) -> Any:
    """Packed bits of shape (2, ...) as two rows, each of packed bits."""

    def apart(words: Array) -> Array:
        elements = bits.unpack(words, shape, "uint8")
        rows = [bits.pack(lax.index_in_dim(elements, n, 0, keepdims=False)) for n in (0, 1)]
        return lax.concatenate([lax.expand_dims(row, (0,)) for row in rows], 0)

    return tuple(map(apart, pair))


def _at(rows: Any, n: int) -> Any:
    return tuple(lax.index_in_dim(x, n, 0, keepdims=False) for x in rows)


@protocol(
    takes=[real()],
    gives=[real()],
    plain=lambda x: x,
    reference=lambda ring, x: x,
    cost=lambda types, attrs, config: even(1, element_bytes(types[0].size, config)),
    source="a comparison of what neighbours hold in common, for the tests",
)
def compared(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    """x as it is, once each party has shown the one before it the summand that both hold."""
    first, second = (numbers(me.ring).reduce(x) for x in held[0])
    again = me.exchange(to_prv=first, from_nxt=(types[0].shape, me.ring.dtype))
    me.verify(lax.eq(again, second))
    return first, second


@protocol(
    takes=[integer()],
    gives=[Uniform(integer())],
    source="a zero share of nothing: random words of neighbours, for the tests",
)
def random_like(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    """A random number for each: its summands are the words that neighbours draw."""
    shape, group = types[0].shape, numbers(me.ring)
    return masked(me, "prv", shape, group), masked(me, "nxt", shape, group)


@protocol(
    takes=[integer()],
    gives=[integer()],
    plain=lambda x: x,
    reference=lambda ring, x: x,
    opens="x itself, which it should not",
    source="a leak, for the tests",
)
def shown(me: Me, held: Sequence[Held], types: Types, attrs: Attrs) -> Held:
    value = reveal_all(me, held[0], numbers(me.ring))
    zeros = numbers(me.ring).zeros(types[0].shape)
    return ((zeros, value), (value, zeros), (zeros, zeros))[me.index]
