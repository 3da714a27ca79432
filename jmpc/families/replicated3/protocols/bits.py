"""All bits of x = C + R (C at parties 0 and 1, R at party 2), and back to a number.

How this works. As in `compare.py`, party 2 deals one-hot vectors of the blocks of R, and parties 0 and 1 read off them
what they need; here that is, for every bit position and not for the block alone, whether a carry comes out of the
positions of its block below it (g), and whether they hand one on (p). A prefix network (Sklansky) over the blocks
completes the carries, and a bit of x is the exclusive or of those of C, of R and the carry. Everything works on bit
planes, 64 elements a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.compare import (
    in_blocks,
    none_of,
    one_hot,
    running_xor,
    second_axis,
    select,
    stacked,
)
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import (
    BITS,
    combine,
    deal,
    dealt,
    each,
    known_part,
    numbers,
    on_second,
    residues,
)
from jmpc.families.replicated3.table import protocol
from jmpc.ir import ops
from jmpc.ir.ops.attributes import BLOCK, SHIFT, WIDTH
from jmpc.ir.ops.bits import planes, planes_type
from jmpc.ir.ops.operands import SPLIT_NUMBER
from jmpc.ir.ops.record import SOME_BITS
from jmpc.ir.types import Type
from jmpc.ring import bits


@dataclass(frozen=True)
class Layout:
    """Which carries are made. rows[B]: of block B, the lengths of the runs of positions, from its lowest, of which g
    (and p, but for the lowest block) is needed; the whole block comes last. spare: zeros below the lowest bit."""

    blocks: int
    block: int
    spare: int
    start: int
    rows: tuple[tuple[int, ...], ...]

    def joins(self, level: int) -> list[tuple[int, int, bool]]:
        """(block, the block whose carry it takes, whether it still hands on) of one level of the network."""
        half = 1 << level
        return [(b, (b & -half) - 1, b >= 2 * half) for b in range(self.blocks) if b & half and self.rows[b]]

    @property
    def levels(self) -> int:
        waiting = self.blocks - 1 if self.rows[-1] else self.blocks - 2
        return max(waiting, 0).bit_length()

    def runs(self) -> list[tuple[str, int, int, int]]:
        """What parties 0 and 1 read off, in order: (g or p, length of the run, first block, last block + 1)."""
        found: list[tuple[str, int, int, int]] = []
        for kind, least in (("g", 0), ("p", 1)):
            for n in range(1, self.block + 1):
                blocks = [b for b in range(least, self.blocks) if n in self.rows[b]]
                if blocks:
                    found.append((kind, n, blocks[0], blocks[-1] + 1))
        return found

    @property
    def read(self) -> int:
        """Planes that parties 0 and 1 read off the dealt ones."""
        return sum(stop - start for _, _, start, stop in self.runs())

    @property
    def ands(self) -> int:
        joins = [one for level in range(self.levels) for one in self.joins(level)]
        return sum(len(self.rows[b]) * (1 + on) for b, _, on in joins)


@lru_cache(maxsize=1024)
def layout(start: int, width: int, block: int) -> Layout:
    top = start + width
    blocks = -(-top // block)
    spare = blocks * block - top

    def rows(b: int) -> tuple[int, ...]:
        """A run of length n is the carry into position b * block + n - spare of x."""
        inner = [n for n in range(1, block) if start <= b * block + n - spare < top]
        return (*inner, block) if b < blocks - 1 else tuple(inner)

    return Layout(blocks, block, spare, start, tuple(rows(b) for b in range(blocks)))


def sum_planes(me: Me, mine: Array, start: int, width: int, block: int) -> Pair:
    """Bits start .. start + width - 1 of C + R as replicated planes, (width, W), lowest first. mine: planes 0 .. of C
    or R. Rounds: 2 + ceil(log2 blocks)."""
    made = layout(start, width, block)
    digits = in_blocks(lax.slice_in_dim(mine, 0, start + width), block)
    count, words = (1 << block) - 1, mine.shape[1]
    value = lax.reshape(one_hot(digits), (made.blocks * count, words)) if me.index == 2 else None
    dealt_hot = deal(me, value, (made.blocks * count, words), BITS)
    hot = each(lambda h: lax.reshape(h, (made.blocks, count, words)), dealt_hot)
    bare = _without_carries(me, mine, hot, made, width)
    if not made.read:
        return bare
    half = dealt(me, hot)
    own = None if half is None else _read(me, digits, half, made)
    planes = combine(me, own, (made.read, words), BITS)
    carries = _complete(me, planes, made, width)
    return lax.bitwise_xor(bare[0], carries[0]), lax.bitwise_xor(bare[1], carries[1])


def _without_carries(me: Me, mine: Array, hot: Pair, made: Layout, width: int) -> Pair:
    """The exclusive or of the bits of C and R: those of R are sums of one-hot planes."""

    def of_r(h: Array) -> Array:
        rows = second_axis(h)
        planes = [running_xor([r for v, r in enumerate(rows, 1) if v >> d & 1])[-1] for d in range(made.block)]
        merged = lax.concatenate([lax.expand_dims(p, (1,)) for p in planes], 1)
        flat = lax.reshape(merged, (made.blocks * made.block, h.shape[2]))
        return lax.slice_in_dim(flat, made.spare + made.start, made.spare + made.start + width)

    r = of_r(hot[0]), of_r(hot[1])
    zeros = BITS.zeros(r[0].shape)
    c = on_second(me, lax.slice_in_dim(mine, made.start, made.start + width), zeros) if me.index < 2 else (zeros, zeros)
    return lax.bitwise_xor(r[0], c[0]), lax.bitwise_xor(r[1], c[1])


def _read(me: Me, digits: Array, half: Array, made: Layout) -> Array:
    """This party's half of [g of every row, then p of every row but those of the lowest block]."""
    bit_planes = second_axis(digits)
    g: dict[int, Array] = {}
    p: dict[int, Array] = {}
    rows = second_axis(half)  # [r = 1], ..., of the low n bits of r, n falling
    for n in range(made.block, 0, -1):
        falling = rows[::-1]
        sums = running_xor(falling)
        g[n] = select(bit_planes[:n], [BITS.zeros(sums[0].shape), *sums])
        p[n] = select(bit_planes[:n], [*falling, none_of(me, sums[-1])])
        keep = (1 << (n - 1)) - 1
        rows = [lax.bitwise_xor(low, high) for low, high in zip(rows[:keep], rows[keep + 1 :], strict=True)]
    return stacked(
        [lax.slice_in_dim(g[n] if kind == "g" else p[n], start, stop) for kind, n, start, stop in made.runs()]
    )


def pick(planes: Array, rows: Sequence[int]) -> Array:
    """Rows of planes by a static list: one gather compiles much faster than a concatenation of slices."""
    return ops.apply("take", {"rows": tuple(rows)}, planes)


def _complete(me: Me, planes: Pair, made: Layout, width: int) -> Pair:
    """The carry into each position, (width, W), by the prefix network. Planes are kept in one array that grows by what
    a level makes; `at` says where the newest of each is."""
    at: dict[tuple[str, int, int], int] = {}
    for kind, n, start, stop in made.runs():
        at.update({(kind, b, n): len(at) + b - start for b in range(start, stop)})
    for level in range(made.levels):
        planes = _level(me, planes, at, made, level)
    zero = planes[0].shape[0]
    rows: list[int] = []
    for position in range(made.start + made.spare, made.start + made.spare + width):
        b, inner = divmod(position, made.block)
        rows.append(at.get(("g", b, inner) if inner else ("g", b - 1, made.block), zero))
    blank = BITS.zeros((1, planes[0].shape[1]))
    return pick(stacked([planes[0], blank]), rows), pick(stacked([planes[1], blank]), rows)


def _level(me: Me, planes: Pair, at: dict[tuple[str, int, int], int], made: Layout, level: int) -> Pair:
    """One level: the upper half of each group of blocks takes the carry of the lower half."""
    joins = made.joins(level)
    new = [("g", b, n, ref) for b, ref, _ in joins for n in made.rows[b]]
    count = len(new)
    new += [("p", b, n, ref) for b, ref, on in joins if on for n in made.rows[b]]
    hands = [at["p", b, n] for _, b, n, _ in new]
    below = [at[kind, ref, made.block] for kind, _, _, ref in new]
    own = [at["g", b, n] for _, b, n, _ in new[:count]]
    upper = pick(planes[0], hands), pick(planes[1], hands)
    products = and_planes(me, upper, (pick(planes[0], below), pick(planes[1], below)))
    at.update({(kind, b, n): planes[0].shape[0] + row for row, (kind, b, n, _) in enumerate(new)})

    def grown(n: int) -> Array:
        g = lax.bitwise_xor(pick(planes[n], own), lax.slice_in_dim(products[n], 0, count))
        return stacked([planes[n], g, lax.slice_in_dim(products[n], count, len(new))])

    return grown(0), grown(1)


@protocol(
    "bits_of",
    takes=(SPLIT_NUMBER,),
    attrs={"start": SHIFT, "width": WIDTH, "block": BLOCK},
    gives=planes_type,
    means=planes,
    traits=(SOME_BITS,),
    source="Mohassel, Rindal, CCS 2018 (ABY3), section 5.3; Sklansky 1960; dealt one-hot blocks",
)
def bits_of(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Bits start .. start + width - 1 of x in two's complement, lowest first: packed, (width, *shape).

    Security: party 1 sees dealt shares, uniform under the key of 2 and 0; parties 0 and 1 see each other's masked
    halves in `combine`; ands as in `logic`. Needs: start + width <= k.  Error: none.
    Cost: 2 + ceil(log2 blocks) rounds; 2^block - 1 bits a block from party 2, what is read off (`Layout`) from parties
    0 and 1, and the ands."""
    start, width = attrs["start"], attrs["width"]
    mine = bits.planes(held[0], 0, start + width)
    found = sum_planes(me, mine, start, width, attrs["block"])
    shape = types[0].shape
    return repacked(found[0], shape), repacked(found[1], shape)


def repacked(planes: Array, shape: tuple[int, ...]) -> Array:
    """Planes, each packed by itself, to one packed array of (planes, *shape)."""
    rows = [
        bits.unpack(lax.index_in_dim(planes, n, 0, keepdims=False), (1, *shape), np.uint8)
        for n in range(planes.shape[0])
    ]
    return bits.pack(lax.concatenate(rows, 0) if len(rows) > 1 else rows[0])


# --- back


def byte_runs(width: int, k: int) -> list[tuple[int, int]]:
    """Bit j is wanted mod 2^(k - j): runs (first, last + 1) of bits whose residues take as many bytes."""
    found: list[tuple[int, int]] = []
    for j in range(width):
        if found and -(-(k - j) // 8) == -(-(k - found[-1][0]) // 8):
            found[-1] = found[-1][0], j + 1
        else:
            found.append((j, j + 1))
    return found


@protocol("from_bits", source="two-party view of each bit, as `bit_to_arith`; summed before `combine`")
def from_bits(me: Me, held: list[Pair], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """The sum of 2^j b_j over the leading axis, the last with a minus sign if `signed`.

    Idea: b_j = c_j + (1 - 2 c_j) u_j, u_j known to party 2, which deals it only mod 2^(k-j); one `combine` of the sum.
    Security: as `bit_to_arith`.  Needs: at most k bits.  Error: none.
    Cost: 2 rounds, k bits from parties 0 and 1, the sum of k - j bits (in whole bytes) from party 2."""
    ring, (width, *shape) = me.ring, types[0].shape
    known = bits.unpack(known_part(me, held[0], BITS), types[0].shape, ring.dtype)
    total = lax.full(tuple(shape), ring.const(0), ring.dtype)
    for first, stop in byte_runs(width, ring.k):
        part = lax.slice_in_dim(known, first, stop)
        group = residues(ring, ring.k - first)
        half = dealt(me, deal(me, part if me.index == 2 else None, part.shape, group))
        if half is None:
            continue
        mine = lax.sub(half, ring.scale(lax.mul(part, half), 2))
        mine = lax.add(mine, part) if me.index == 0 else mine
        for n in range(first, stop):
            term = ring.shift_left(lax.index_in_dim(mine, n - first, 0, keepdims=False), n)
            minus = attrs["signed"] and n == width - 1
            total = lax.sub(total, term) if minus else lax.add(total, term)
    return combine(me, None if me.index == 2 else total, tuple(shape), numbers(ring))
