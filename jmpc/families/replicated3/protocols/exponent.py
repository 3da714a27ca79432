"""Where the top bit of a number stands, as bits; and tables of numbers looked up by secret bits.

How this works. `sum_planes` gives the bits of x on planes. Each plane is a leaf of a binary tree; a node knows whether
any of its leaves is one, and the place of the highest that is, in bits. Joining two nodes is one `and` of a single
plane with all that the lower node knows: a lower half is forgotten where the upper half is not zero. The place is an
index into public tables; `lookup` turns it into numbers, so that whatever depends on the exponent alone (a scale, a
root of it, its logarithm) costs one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.bits import pick, sum_planes
from jmpc.families.replicated3.protocols.compare import one_hot, stacked
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import BITS, combine, deal, dealt, known_part, numbers
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCK, EXPONENT
from jmpc.ir.ops.bits import FIRST, MINUS_ONE, negative_index, place_type, top_place
from jmpc.ir.ops.operands import SPLIT_NUMBER
from jmpc.ir.ops.record import BOUNDED, UNSIGNED
from jmpc.ir.types import Type
from jmpc.ring import bits
from jmpc.ring.bits import unpack

Join = Callable[[list[tuple[Any, Any, Any]]], list[Any]]


@dataclass(frozen=True)
class Waiting:
    """In place of what the next join makes."""

    at: int


@dataclass
class Node:
    """some: whether any leaf is one.  place: bits of the place of the highest that is, lowest first; None where it is
    zero for certain. Both are zero where no leaf is one."""

    some: Any
    place: list[Any]


def top_leaf(leaves: Mapping[int, Any], digits: int, join: Join) -> list[Any]:
    """The bits of the number of the highest leaf that is one. join: for (upper, lower, own) gives own if upper is one,
    else lower, where own is zero (or None for zero) unless upper is one; one call a level."""
    nodes = {n: Node(leaf, []) for n, leaf in leaves.items()}
    for level in range(digits):
        waiting: list[tuple[Any, Any, Any]] = []
        parents: dict[int, Node] = {}
        for n in sorted({n >> 1 for n in nodes}):
            low, high = nodes.get(2 * n), nodes.get(2 * n + 1)
            parents[n] = _parent(low, high, waiting, level == digits - 1)
        made = join(waiting) if waiting else []
        nodes = {n: _filled(node, made) for n, node in parents.items()}
    return nodes[0].place


def _parent(low: Node | None, high: Node | None, waiting: list[Any], last: bool) -> Node:
    if high is None:
        assert low is not None
        return Node(low.some, [*low.place, None])
    if low is None:
        return Node(high.some, [*high.place, high.some])

    def joined(below: Any, own: Any) -> Any:
        if below is None:
            return own
        waiting.append((high.some, below, own))
        return Waiting(len(waiting) - 1)

    place = [joined(a, b) for a, b in zip(low.place, high.place, strict=True)]
    return Node(None if last else joined(low.some, high.some), [*place, high.some])


def _filled(node: Node, made: list[Any]) -> Node:
    def one(x: Any) -> Any:
        return made[x.at] if isinstance(x, Waiting) else x

    return Node(one(node.some), [one(x) for x in node.place])


def leaves_of(width: int, digits: int, symmetric: bool) -> list[int]:
    """The leaf of each of the planes (bits 0 .. width - 1, sign)."""
    return [*range(FIRST, FIRST + width), MINUS_ONE if symmetric else negative_index(digits)]


@protocol(
    "top_bit",
    takes=(SPLIT_NUMBER,),
    attrs={**EXPONENT, "block": BLOCK},
    gives=place_type,
    means=top_place,
    traits=(UNSIGNED, BOUNDED),
    source="top bit as in Catrina, Saxena, FC 2010 (Norm), on bit planes; a tree that carries the place, derived here",
)
def top_bit(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> list[Pair]:
    """The place of the top bit of |x|, as `digits` packed bits, lowest first: 0 for x = 0, else FIRST + the place.
    symmetric: the magnitude of x < 0 is -x - 1/2, so -2^n counts as just below it, and -1 gives MINUS_ONE; and the sign
    is one more result. Else all of x < 0 gives `negative_index(digits)`.

    Security: `sum_planes`, and ands as in `logic`.  Needs: |x| <= 2^width, reached only by -2^width.  Error: none.
    Cost: those of `sum_planes` and at most `digits` rounds of ands more."""
    width, digits, symmetric = attrs["width"], attrs["digits"], attrs["symmetric"]
    planes = sum_planes(me, bits.planes(held[0], 0, width + 1), 0, width + 1, attrs["block"])
    if symmetric:
        planes = _one_complement(planes[0]), _one_complement(planes[1])
    zero = BITS.zeros((1, planes[0].shape[1]))
    file = File(me, (stacked([planes[0], zero]), stacked([planes[1], zero])), width + 1)
    leaves = dict(zip(leaves_of(width, digits, symmetric), range(width + 1), strict=True))
    place = [file.zero if row is None else row for row in top_leaf(leaves, digits, file.join)]
    rows = [*place, width] if symmetric else place
    return [(_row(file.planes[0], n), _row(file.planes[1], n)) for n in rows]


def _one_complement(planes: Array) -> Array:
    """All but the sign, xor the sign."""
    last = planes.shape[0] - 1
    sign = lax.slice_in_dim(planes, last, last + 1)
    rest = lax.slice_in_dim(planes, 0, last)
    return lax.concatenate([lax.bitwise_xor(rest, _typed.broadcast_in_dim(sign, rest.shape, (0, 1))), sign], 0)


@dataclass
class File:
    """Planes in one array that grows by what a join makes; a plane is known by its row. zero: the row of a zero."""

    me: Me
    planes: Pair
    zero: int

    def join(self, items: list[tuple[int, int, int | None]]) -> list[int]:
        """own ^ lower ^ (upper and lower)."""

        def rows(column: int) -> Pair:
            wanted = [self.zero if (row := item[column]) is None else row for item in items]
            return pick(self.planes[0], wanted), pick(self.planes[1], wanted)

        lower, own, first = rows(1), rows(2), self.planes[0].shape[0]
        both = and_planes(self.me, rows(0), lower)
        made = [lax.bitwise_xor(lax.bitwise_xor(lower[n], both[n]), own[n]) for n in (0, 1)]
        self.planes = stacked([self.planes[0], made[0]]), stacked([self.planes[1], made[1]])
        return list(range(first, first + len(items)))


def _row(planes: Array, n: int) -> Array:
    return lax.index_in_dim(planes, n, 0, keepdims=False)


# --- tables


@protocol("lookup", source="dealt one-hot vector, rotated by the known part; as `bit_to_arith` for one bit")
def lookup(me: Me, held: list[Pair], types: Sequence[Type], attrs: Mapping[str, Any]) -> list[Pair]:
    """tables[t][v] for each table, v the number that the n bits make (lowest first).

    Idea: v = c ^ u, c at parties 0 and 1, u at party 2, which deals the one-hot vector of u as numbers, but for its
    first entry, one minus the others. Parties 0 and 1 reorder their halves by c, which makes them halves of the
    one-hot vector of v, add up each table's entries, and `combine`.
    Security: party 1 sees dealt numbers, uniform under the key of 2 and 0; parties 0 and 1 each other's masked halves.
    Needs: few bits, for it takes 2^n - 1 dealt numbers.  Error: none.
    Cost: 2 rounds; k bits a table from parties 0 and 1, (2^n - 1) k from party 2."""
    ring, group, shape = me.ring, numbers(me.ring), types[0].shape
    count, tables = 1 << len(held), attrs["tables"]
    known = [known_part(me, b, BITS) for b in held]
    value = _one_hot_numbers(me, known, shape) if me.index == 2 else None
    half = dealt(me, deal(me, value, (count - 1, *shape), group))
    mine = None
    if half is not None:
        entries = _reordered(me, half, [unpack(c, shape, ring.dtype) for c in known])
        mine = lax.concatenate([lax.expand_dims(_weighed(me, entries, table), (0,)) for table in tables], 0)
    both = combine(me, mine, (len(tables), *shape), group)
    return [(_row(both[0], n), _row(both[1], n)) for n in range(len(tables))]


def _one_hot_numbers(me: Me, planes: list[Array], shape: tuple[int, ...]) -> Array:
    digit = lax.concatenate([lax.expand_dims(p, (0, 1)) for p in planes], 1)
    hot = one_hot(digit)
    rows = [
        unpack(lax.index_in_dim(hot, n, 1, keepdims=False)[0], (1, *shape), me.ring.dtype) for n in range(hot.shape[1])
    ]
    return lax.concatenate(rows, 0)


def _reordered(me: Me, half: Array, known: list[Array]) -> list[Array]:
    """Entry v of the result is entry v ^ c of the one-hot vector: swaps where a bit of c is one."""
    rows = [_row(half, n) for n in range(half.shape[0])]
    total = rows[0]
    for row in rows[1:]:
        total = lax.add(total, row)
    first = lax.neg(total)
    entries = [lax.add(first, me.ring.full(first, 1)) if me.index == 0 else first, *rows]
    for d, c in enumerate(known):
        mask = lax.neg(c)
        for low in (n for n in range(len(entries)) if not n >> d & 1):
            high = low | 1 << d
            swap = lax.bitwise_and(lax.bitwise_xor(entries[low], entries[high]), mask)
            entries[low], entries[high] = (lax.bitwise_xor(entries[n], swap) for n in (low, high))
    return entries


def _weighed(me: Me, entries: list[Array], table: Sequence[int]) -> Array:
    total = me.ring.full(entries[0], 0)
    for entry, weight in zip(entries, table, strict=True):
        total = lax.add(total, me.ring.scale(entry, weight)) if weight else total
    return total
