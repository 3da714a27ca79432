"""Shuffles that no party knows, opening what was shuffled, and moving values by a secret permutation.

How this works. A shuffle is three permutations in turn, each drawn by one pair of parties from its own key, so that
each party lacks one. Two parties, `first` and `second`, hold the halves of what is shuffled. They apply the permutation
that both know; `first` goes on with that of (first, third), hands its half to `second`, and `third` takes over from
`second`; the halves end at `second` and `third`, which apply the last one. Every half that is handed on is masked by a
word that its receiver lacks. What is opened afterwards is in an order that is uniform to everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import Group, combine, each, masked, narrow, narrow_spec, numbers, widen
from jmpc.families.replicated3.table import protocol
from jmpc.ir.types import BOOL, Type
from jmpc.ring import bits
from jmpc.ring.bits import WORD
from jmpc.ring.element import Ring
from jmpc.ring.positions import positions

INDEX = np.dtype(np.int32)
BYTES = Group(np.dtype(np.uint8), 8, xor=True)


@dataclass(frozen=True)
class Roles:
    """The halves start at `first` and `second`, and end at `second` and `third`."""

    first: int
    second: int
    third: int


TOWARD_0 = Roles(
    2, 1, 0
)  # the halves of shares start as x_2 + x_0 at party 2, x_1 at party 1, and end where `combine` wants


def side(me: Me, other: int) -> str:
    """Where party `other` is, seen from this one."""
    return "nxt" if (other - me.index) % 3 == 1 else "prv"


def position_group(n: int, ring: Ring) -> Group:
    """Residues that tell positions below n apart, in which places are shared; in a tiny ring as few as it has."""
    dtype = positions(n)
    return Group(dtype, min(8 * dtype.itemsize, ring.k))


def secret_permutation(me: Me, other: int, shape: tuple[int, ...]) -> Array:
    """A permutation of the last axis for every row, known to this party and `other`: the order of words of their key.

    The number of a word takes the place of its low bits, so that one array is sorted and no other moved with it. Where
    two words agree above these, their own low bits toss a coin: so the permutation is uniform unless three of the n
    words agree in 64 - log2 n bits, which happens with probability below n^5 2^-128."""
    words, n = me.mask(side(me, other), shape, WORD), shape[-1]
    low = WORD.type((1 << (n - 1).bit_length()) - 1)
    axis = len(shape) - 1
    number = _typed.broadcasted_iota(WORD, shape, axis)
    ordered = lax.sort(
        lax.bitwise_or(lax.bitwise_and(words, _full(words, ~low)), number), dimension=axis, is_stable=False
    )
    for start in (0, 1):
        ordered = _tossed(ordered, words, start, low)
    return lax.convert_element_type(lax.bitwise_and(ordered, _full(ordered, low)), INDEX)


def _full(like: Array, value: np.number) -> Array:
    return lax.full(like.shape, value, like.dtype)


def _tossed(ordered: Array, words: Array, start: int, low: np.number) -> Array:
    """The neighbours (start, start + 1), (start + 2, ...), ... that tie change places where a bit of `words` says so. A
    tie of two stands in one of the pairings, alone."""
    axis, n = ordered.ndim - 1, ordered.shape[-1]
    pairs = (n - start) // 2
    if not pairs:
        return ordered
    left, right = (lax.slice_in_dim(ordered, start + k, start + k + 2 * pairs - 1, 2, axis) for k in (0, 1))
    gap = lax.bitwise_xor(left, right)
    coin = lax.slice_in_dim(words, start, start + 2 * pairs - 1, 2, axis)
    one = _full(coin, coin.dtype.type(1))
    swap = lax.bitwise_and(lax.le(gap, _full(gap, low)), lax.eq(lax.bitwise_and(coin, one), one))
    flip = lax.select(swap, gap, _full(gap, gap.dtype.type(0)))
    wide = _typed.broadcast_in_dim(flip, (*flip.shape, 2), tuple(range(flip.ndim)))
    wide = lax.reshape(wide, (*flip.shape[:-1], 2 * pairs))
    ends = [(0, 0, 0)] * axis + [(start, n - start - 2 * pairs, 0)]
    return lax.bitwise_xor(ordered, lax.pad(wide, wide.dtype.type(0), ends))


# --- moving rows in the clear


def flat_index(index: Array) -> Array:
    """Indices along the last axis of rows, as places in the flat array."""
    size, n = index.size, index.shape[-1]
    index = lax.convert_element_type(lax.reshape(index, (size // n, n)), INDEX)
    row = _typed.broadcasted_iota(INDEX, index.shape, 0)
    return lax.reshape(lax.add(index, lax.mul(row, lax.full(row.shape, INDEX.type(n), INDEX))), (size,))


def taken(x: Array, places: Array) -> Array:
    """Elements of x, read flat, in the shape of `places`."""
    dims = lax.GatherDimensionNumbers((), (0,), (0,))
    column = lax.reshape(places, (places.size, 1))
    found = _typed.gather(lax.reshape(x, (x.size,)), column, dims, (1,), "promise_in_bounds")
    return lax.reshape(found, places.shape)


def reordered(x: Array, places: Array) -> Array:
    """Element e of the flat array from `places`[e]; where x has an axis more than there are places, what is along it
    moves as one."""
    if x.size == places.size:
        return lax.reshape(taken(x, places), x.shape)
    whole = lax.reshape(x, (places.size, x.size // places.size))
    dims = lax.GatherDimensionNumbers((1,), (0,), (0,))
    column = lax.reshape(places, (places.size, 1))
    found = _typed.gather(whole, column, dims, (1, whole.shape[1]), "promise_in_bounds")
    return lax.reshape(found, x.shape)


def inverse(places: Array) -> Array:
    """The inverse of a permutation of a flat array."""
    dims = lax.ScatterDimensionNumbers((), (0,), (0,))
    zero, line = lax.full((places.size,), INDEX.type(0), INDEX), lax.iota(INDEX, places.size)
    column = lax.reshape(places, (places.size, 1))
    return lax.scatter(zero, column, line, dims, unique_indices=True, mode="promise_in_bounds")


# --- shuffles


def shuffle(
    me: Me, roles: Roles, halves: Sequence[Array] | None, shape: tuple[int, ...], groups: Sequence[Group],
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> list[Array] | None:  # fmt: skip
    """Shuffle rows of several words along the last axis of `shape`. halves: at `first` and `second`, one array a group;
    what comes out is so at `second` and `third`. shapes: of these arrays, `shape` and maybe an axis more, along which
    all moves as one. `1 round; one row from first and from second`.

    Security: `second` sees a half under a mask of first and third, `third` one under a mask of first and second; each
    party lacks one of the three permutations."""
    all_shapes = list(shapes or [shape] * len(groups))
    if me.index == roles.first:
        assert halves is not None
        return _go_on(me, roles, halves, shape, groups)
    if me.index == roles.second:
        assert halves is not None
        return _hand_over(me, roles, halves, shape, groups)
    return _take_over(me, roles, shape, groups, all_shapes)


def _moved(me: Me, other: int, arrays: Sequence[Array], shape: tuple[int, ...]) -> list[Array]:
    places = flat_index(secret_permutation(me, other, shape))
    return [reordered(x, places) for x in arrays]


def _masks(me: Me, other: int, arrays: Sequence[Array], groups: Sequence[Group]) -> list[Array]:
    return [masked(me, side(me, other), x.shape, g) for x, g in zip(arrays, groups, strict=True)]


def _go_on(me: Me, roles: Roles, halves: Sequence[Array], shape: tuple[int, ...], groups: Sequence[Group]) -> None:
    arrays = list(halves)
    for other in (roles.second, roles.third):
        arrays = _moved(me, other, arrays, shape)
        arrays = [g.sub(x, m) for g, x, m in zip(groups, arrays, _masks(me, other, arrays, groups), strict=True)]
    for group, x in zip(groups, arrays, strict=True):
        me.exchange_with({side(me, roles.second): narrow(group.reduce(x), group)}, {})


def _hand_over(
    me: Me, roles: Roles, halves: Sequence[Array], shape: tuple[int, ...], groups: Sequence[Group]
) -> list[Array]:
    mine = _moved(me, roles.first, halves, shape)
    mine = [g.add(x, m) for g, x, m in zip(groups, mine, _masks(me, roles.first, mine, groups), strict=True)]
    got: list[Array] = []
    to, come = side(me, roles.third), side(me, roles.first)
    for group, x in zip(groups, mine, strict=True):
        message = me.exchange_with({to: narrow(group.reduce(x), group)}, {come: narrow_spec(x.shape, group)})
        got.append(widen(message, group))
    return _moved(me, roles.third, got, shape)


def _take_over(
    me: Me, roles: Roles, shape: tuple[int, ...], groups: Sequence[Group], shapes: Sequence[tuple[int, ...]]
) -> list[Array]:
    come = side(me, roles.second)
    specs = [narrow_spec(s, g) for s, g in zip(shapes, groups, strict=True)]
    got = [widen(me.exchange_with({}, {come: spec}), g) for spec, g in zip(specs, groups, strict=True)]
    mine = _moved(me, roles.first, got, shape)
    mine = [g.add(x, m) for g, x, m in zip(groups, mine, _masks(me, roles.first, mine, groups), strict=True)]
    return _moved(me, roles.second, mine, shape)


def open_halves(me: Me, roles: Roles, half: Array | None, shape: tuple[int, ...], group: Group) -> Array:
    """To all: the sum of the halves at `second` and `third`. `1 round; two elements from each of the two`.

    Security: `first` knows what second's half was before the last permutation, so it gets both halves under a mask of
    second and third; they tell it no more than their sum. The two see each other's half, which the sum determines."""
    ways = {n: side(me, n) for n in range(3) if n != me.index}
    if me.index == roles.first:
        spec = narrow_spec(shape, group)
        got = me.exchange(from_nxt=spec, from_prv=spec)
        return group.reduce(group.add(widen(got[0], group), widen(got[1], group)))
    assert half is not None, "second and third hold a half each"
    other = roles.third if me.index == roles.second else roles.second
    cover = masked(me, ways[other], shape, group)
    hidden = group.add(half, cover) if me.index == roles.second else group.sub(half, cover)
    sends = {
        ways[other]: narrow(group.reduce(half), group),
        ways[roles.first]: narrow(group.reduce(hidden), group),
    }
    got = me.exchange_with(sends, {ways[other]: narrow_spec(shape, group)})
    return group.reduce(group.add(half, widen(got, group)))


# --- values moved by a secret permutation


@protocol("random_shuffle", source="Laur, Willemson, Zhang, ISC 2011 (three permutations, each known to two parties)")
def random_shuffle(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> list[Pair]:
    """Rows of the operands, along their second axis, in an order that nobody knows: the same one for all operands, a
    new one for each place of the first axis.

    Idea: `shuffle`, and nothing opened.
    Security: see `shuffle`; the halves it ends with are combined as in `combine`.
    Needs: nothing.  Error: none.  Cost: 2 rounds; two elements from party 1, one from the others."""
    shape = tuple(types[0].shape[:2])
    packed, groups = [t.kind == BOOL for t in types], [BYTES if t.kind == BOOL else numbers(me.ring) for t in types]
    shapes = [tuple(t.shape) for t in types]
    pairs = [_as_bytes(x, s) if bit else x for x, s, bit in zip(held, shapes, packed, strict=True)]
    found = shuffle(me, TOWARD_0, halves_of(me, pairs, groups), shape, groups, shapes)
    summands = [None] * len(types) if found is None else found
    made = [combine(me, x, s, g) for x, s, g in zip(summands, shapes, groups, strict=True)]
    return [(_low_bit(x[0]), _low_bit(x[1])) if bit else x for x, bit in zip(made, packed, strict=True)]


def _as_bytes(x: Pair, shape: tuple[int, ...]) -> Pair:
    return bits.unpack(x[0], shape, np.uint8), bits.unpack(x[1], shape, np.uint8)


def move(me: Me, key: Sequence[Array] | None, key_group: Group, shape: tuple[int, ...], group: Group) -> Pair:
    """What party 2 and party 1 hold as [half of places, half of elements] -> replicated elements, each at its place.

    Shuffle both, open the shuffled places, which are in a uniform order, and let everybody put the elements there."""
    halves = shuffle(me, TOWARD_0, key, shape, (key_group, group))
    places, elements = halves if halves is not None else (None, None)
    opened = flat_index(open_halves(me, TOWARD_0, places, shape, key_group))
    back = inverse(opened)
    pair = combine(me, elements, shape, group)
    return reordered(pair[0], back), reordered(pair[1], back)


def halves_of(me: Me, shares: Sequence[Pair], groups: Sequence[Group]) -> list[Array] | None:
    """Of replicated shares, the halves from which a shuffle toward party 0 starts: party 0 has none."""
    if me.index == 0:
        return None
    given = zip(shares, groups, strict=True)
    return [group.reduce(group.add(x[0], x[1]) if me.index == 2 else x[0]) for x, group in given]


def cut(x: Pair, group: Group) -> Pair:
    """Shares of the residue that `group` keeps."""
    return each(lambda part: lax.convert_element_type(part, group.dtype), x)


@protocol(
    "permute",
    source="Chida, Hamada, Ikarashi, Kikuchi, Kiribuchi, Pinkas 2019/695, section 4; SPU's PermAM",
    opens="the places of shuffled elements: the order times a uniform one",
)
def permute(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> Pair:
    """out[place[i]] = x[i] along the last axis, for every row.

    Idea: shuffle places and elements alike, open the places, put the elements there in the clear.
    Security: see `shuffle` and `open_halves`; opened is the permutation times a uniform one, so it says nothing.
    Needs: each row of `place` is a permutation of 0 .. n - 1, which its form says.  Error: none.
    Cost: 2 rounds; 2 places and an element from party 0, 3 and two from party 1, one and one from party 2."""
    place, x = held
    shape = types[0].shape
    key_group = position_group(shape[-1], me.ring)
    packed = types[1].kind == BOOL
    group = BYTES if packed else numbers(me.ring)
    x = _as_bytes(x, shape) if packed else x
    moved = move(me, halves_of(me, (place, x), (key_group, group)), key_group, shape, group)
    return (_low_bit(moved[0]), _low_bit(moved[1])) if packed else moved


def _low_bit(x: Array) -> Array:
    """Packed: a bit travels as a byte, whose other bits are zero in sum only."""
    return bits.pack(lax.bitwise_and(x, _full(x, x.dtype.type(1))))
