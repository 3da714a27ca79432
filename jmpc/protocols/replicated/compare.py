"""Sign and zero test of x = C + R (C at parties 0 and 1, R at party 2), on bit planes: 64 elements a word.

How this works. Cut the low bits into blocks. For a block with value r in R, party 2 deals the one-hot vector of r;
parties 0 and 1 know the block's value c in C, and read off it, each locally on its half of the shares, whether the
block makes a carry (r >= 2^b - c) or hands one on (r = 2^b - 1 - c). `combine` makes these replicated bits, a tree of
ands joins the blocks, and the top bits of C and R complete the sign. A block of one bit is ABY3's carry tree; larger
blocks save levels of the tree for more dealt bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc.config import Config
from jmpc.ir.types import Type
from jmpc.protocols.registry import Cost, Me, plane_bytes, protocol
from jmpc.protocols.replicated.logic import and_planes
from jmpc.protocols.replicated.share import BITS, combine, deal, dealt, on_second
from jmpc.ring import bits

Array = Any
Pair = tuple[Array, Array]
MAX_BLOCK = 5


def stacked(parts: list[Array]) -> Array:
    """Concatenate planes, leaving out empty parts: XLA:CPU 0.10 can crash on a fusion with an empty operand."""
    parts = [p for p in parts if p.shape[0]] or parts[:1]
    return lax.concatenate(parts, 0) if len(parts) > 1 else parts[0]


def block_sizes(low_bits: int, block: int) -> tuple[int, int]:
    """(number of full blocks, bits of the lowest block, 0 to block - 1)."""
    return low_bits // block, low_bits % block


def _levels(leaves: int) -> int:
    return max(leaves - 1, 0).bit_length()


def msb_cost(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    full, rest = block_sizes(attrs["width"] - 1, attrs["block"])
    leaves = full + bool(rest)
    plane = plane_bytes(types[0].size)
    onehot = full * ((1 << attrs["block"]) - 1) + (1 << rest) - 1
    ands, n = 0, leaves
    while n > 1:
        ands += 2 * (n // 2) - 1
        n -= n // 2
    both = max(2 * leaves - 1, 0) + ands
    rounds = 1 + bool(leaves) + _levels(leaves)
    return Cost(rounds, (both * plane, both * plane, (onehot + 1 + ands) * plane))


@protocol(
    "msb",
    source="Mohassel, Rindal, CCS 2018 (ABY3), section 5.3; dealt one-hot blocks in place of the first levels",
    cost=msb_cost,
)
def msb(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Sign of x, or of floor(x / 2^drop) less a possible 1 where `drop` low bits of C and R are left out.

    Security: party 1 sees dealt shares, uniform under the key of 2 and 0; parties 0 and 1 see each other's masked
    halves in `combine`; ands as in `logic`. Needs: the value fits `width` bits; after a drop, one less does as well.
    Error: none; with `drop`, 0 may count as negative (one unit in the last place).
    Cost: 2 + ceil(log2 blocks) rounds; see `msb_cost` for the bits."""
    width, drop, block = attrs["width"], attrs["drop"], attrs["block"]
    mine = bits.planes(held[0], drop, width)
    top, low = lax.index_in_dim(mine, width - 1, 0, keepdims=False), lax.slice_in_dim(mine, 0, width - 1)
    full, rest = block_sizes(width - 1, block)
    cut = [(lax.slice_in_dim(low, 0, rest), rest)] if rest else []
    cut += [(lax.slice_in_dim(low, rest, width - 1), block)] if full else []
    shares, top_share = _deal_blocks(me, cut, top, mine.shape[1])
    zeros = BITS.zeros(top.shape)
    known_top = on_second(me, top, zeros) if me.index < 2 else (zeros, zeros)
    result = (lax.bitwise_xor(top_share[0], known_top[0]), lax.bitwise_xor(top_share[1], known_top[1]))
    if not cut:
        return result
    carry = _carry(me, _read_blocks(me, cut, shares, mine.shape[1]), full + bool(rest))
    return lax.bitwise_xor(result[0], carry[0]), lax.bitwise_xor(result[1], carry[1])


def _deal_blocks(me: Me, cut: list[tuple[Array, int]], top: Array, width: int) -> tuple[list[Array], Pair]:
    """Deal, in one message, the one-hot planes of each block of R and its top plane."""
    counts = [(low.shape[0] // b) * ((1 << b) - 1) for low, b in cut]
    value = None
    if me.index == 2:
        hots = [lax.reshape(one_hot(low, b), (n, width)) for (low, b), n in zip(cut, counts, strict=True)]
        value = lax.concatenate([*hots, lax.expand_dims(top, (0,))], 0)
    pair = deal(me, value, (sum(counts) + 1, width), BITS)
    last = sum(counts)
    top_share = tuple(lax.index_in_dim(p, last, 0, keepdims=False) for p in pair)
    half = dealt(me, pair)
    if half is None:
        return [None] * len(cut), top_share  # pyright: ignore[reportReturnType]
    parts, start = [], 0
    for (low, b), n in zip(cut, counts, strict=True):
        part = lax.slice_in_dim(half, start, start + n)
        parts.append(lax.reshape(part, (low.shape[0] // b, (1 << b) - 1, width)))
        start += n
    return parts, top_share  # pyright: ignore[reportReturnType]


def one_hot(low: Array, block: int) -> Array:
    """Planes [r = 1], ..., [r = 2^b - 1] of each block of b planes: (blocks, 2^b - 1, W)."""
    digits = lax.reshape(low, (low.shape[0] // block, block, low.shape[1]))
    hot = None
    for d in range(block):
        bit = lax.index_in_dim(digits, d, 1)
        both = [lax.bitwise_not(bit), bit]
        hot = both if hot is None else [lax.bitwise_and(h, x) for x in both for h in hot]
    assert hot is not None
    return lax.concatenate(hot[1:], 1)


def _select(digits: Array, options: list[Array]) -> Array:
    """options[c], where bit d of c is plane d of the block: a tree of multiplexers."""
    for d in range(digits.shape[1]):
        bit = lax.index_in_dim(digits, d, 1, keepdims=False)
        options = [
            lax.bitwise_xor(a, lax.bitwise_and(bit, lax.bitwise_xor(a, b)))
            for a, b in zip(options[::2], options[1::2], strict=True)
        ]
    (only,) = options
    return only


def _read_blocks(me: Me, cut: list[tuple[Array, int]], shares: list[Array], width: int) -> Pair:
    """Replicated planes [carry of each block, lowest first; propagate of each block but the lowest]."""
    blocks = sum(low.shape[0] // b for low, b in cut)
    if me.index == 2:
        return combine(me, None, (2 * blocks - 1, width), BITS)
    carries, hands = [], []
    for (low, b), share in zip(cut, shares, strict=True):
        digits = lax.reshape(low, (low.shape[0] // b, b, width))
        hot = [lax.index_in_dim(share, j, 1, keepdims=False) for j in range((1 << b) - 1)]  # [r = j + 1]
        carries.append(_select(digits, _at_least(hot)))
        hands.append(_select(digits, [*reversed(hot), _none_of(me, hot)]))
    hand = lax.concatenate(hands, 0)
    planes = stacked([*carries, lax.slice_in_dim(hand, 1, hand.shape[0])])
    return combine(me, planes, planes.shape, BITS)


def _at_least(hot: list[Array]) -> list[Array]:
    """By c: the share of [r >= 2^b - c]; at c = 0, zero."""
    sums = [BITS.zeros(hot[0].shape)]
    for h in reversed(hot):
        sums.append(lax.bitwise_xor(sums[-1], h))
    return sums


def _none_of(me: Me, hot: list[Array]) -> Array:
    """The share of [r = 0]: one minus the sum of the others, the one added by party 0."""
    total = hot[0]
    for h in hot[1:]:
        total = lax.bitwise_xor(total, h)
    return lax.bitwise_not(total) if me.index == 0 else total


def _carry(me: Me, planes: Pair, leaves: int) -> Pair:
    """Carry out of the highest block, by a tree: (g, p) o (g', p') = (g ^ p g', p p')."""

    def part(start: int, stop: int) -> Pair:
        return lax.slice_in_dim(planes[0], start, stop), lax.slice_in_dim(planes[1], start, stop)

    g, p = part(0, leaves), part(leaves, 2 * leaves - 1)  # p[i] belongs to block i + 1
    while leaves > 1:
        g, p, leaves = _join(me, g, p, leaves)
    return lax.index_in_dim(g[0], 0, 0, keepdims=False), lax.index_in_dim(g[1], 0, 0, keepdims=False)


def _join(me: Me, g: Pair, p: Pair, leaves: int) -> tuple[Pair, Pair, int]:
    """One level: neighbours (0, 1), (2, 3), ... are joined; an odd highest block waits."""
    pairs = leaves // 2

    def every_second(x: Pair, start: int, count: int) -> Pair:
        stop = start + 2 * count - 1 if count else start
        return tuple(lax.slice_in_dim(v, start, stop, 2) for v in x)  # pyright: ignore[reportReturnType]

    def joined(*xs: Pair) -> Pair:
        return stacked([x[0] for x in xs]), stacked([x[1] for x in xs])

    high_p = every_second(p, 0, pairs)  # of blocks 1, 3, 5, ...
    low_g, high_g = every_second(g, 0, pairs), every_second(g, 1, pairs)
    low_p = every_second(p, 1, pairs - 1)  # of blocks 2, 4, ...
    upper = tuple(lax.slice_in_dim(v, 1, pairs) for v in high_p)
    products = and_planes(me, joined(high_p, upper), joined(low_g, low_p))  # pyright: ignore[reportArgumentType]
    g_new: Pair = tuple(  # pyright: ignore[reportAssignmentType]
        lax.bitwise_xor(high_g[n], lax.slice_in_dim(products[n], 0, pairs)) for n in (0, 1)
    )
    p_new: Pair = tuple(  # pyright: ignore[reportAssignmentType]
        lax.slice_in_dim(products[n], pairs, 2 * pairs - 1) for n in (0, 1)
    )
    if leaves % 2:
        g_new = joined(g_new, tuple(lax.slice_in_dim(v, leaves - 1, leaves) for v in g))  # pyright: ignore[reportArgumentType]
        p_new = joined(p_new, tuple(lax.slice_in_dim(v, leaves - 2, leaves - 1) for v in p))  # pyright: ignore[reportArgumentType]
    return g_new, p_new, leaves - pairs


def zero_cost(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Cost:
    full, rest = block_sizes(attrs["width"], attrs["block"])
    leaves = full + bool(rest)
    plane = plane_bytes(types[0].size)
    onehot = full * ((1 << attrs["block"]) - 1) + (1 << rest) - 1
    both = 2 * leaves - 1
    return Cost(2 + _levels(leaves), (both * plane, both * plane, (onehot + leaves - 1) * plane))


@protocol("zero_test", source="equality of C and -R by dealt one-hot blocks and a tree of ands", cost=zero_cost)
def zero_test(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Whether x = 0. C + R = 0 iff each block of C equals that of -R, which party 2 deals as a one-hot vector.

    Security: as `msb`. Needs: |x| < 2^width.  Error: none.
    Cost: 2 + ceil(log2 blocks) rounds; see `zero_cost` for the bits."""
    width, block = attrs["width"], attrs["block"]
    mine = bits.planes(me.ring.reduce(lax.neg(held[0])) if me.index == 2 else held[0], 0, width)
    full, rest = block_sizes(width, block)
    cut = [(lax.slice_in_dim(mine, 0, rest), rest)] if rest else []
    cut += [(lax.slice_in_dim(mine, rest, width), block)] if full else []
    counts = [(low.shape[0] // b) * ((1 << b) - 1) for low, b in cut]
    words, value = mine.shape[1], None
    if me.index == 2:
        value = lax.concatenate(
            [lax.reshape(one_hot(low, b), (n, words)) for (low, b), n in zip(cut, counts, strict=True)], 0
        )
    half = dealt(me, deal(me, value, (sum(counts), words), BITS))
    leaves = full + bool(rest)
    equal = None
    if half is not None:
        found, start = [], 0
        for (low, b), n in zip(cut, counts, strict=True):
            share = lax.reshape(lax.slice_in_dim(half, start, start + n), (low.shape[0] // b, (1 << b) - 1, words))
            hot = [lax.index_in_dim(share, j, 1, keepdims=False) for j in range((1 << b) - 1)]
            found.append(_select(lax.reshape(low, (low.shape[0] // b, b, words)), [_none_of(me, hot), *hot]))
            start += n
        equal = lax.concatenate(found, 0)
    return all_planes(me, combine(me, equal, (leaves, words), BITS))


def all_planes(me: Me, x: Pair) -> Pair:
    """And over the leading axis, by a tree."""
    while (n := x[0].shape[0]) > 1:
        pairs = n // 2
        low: Any = tuple(lax.slice_in_dim(v, 0, pairs) for v in x)
        high: Any = tuple(lax.slice_in_dim(v, pairs, 2 * pairs) for v in x)
        joined = and_planes(me, low, high)
        rest = [lax.slice_in_dim(v, 2 * pairs, n) for v in x]
        x = stacked([joined[0], rest[0]]), stacked([joined[1], rest[1]])
    return lax.index_in_dim(x[0], 0, 0, keepdims=False), lax.index_in_dim(x[1], 0, 0, keepdims=False)
