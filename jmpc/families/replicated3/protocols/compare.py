"""Sign and zero test of x = C + R (C at parties 0 and 1, R at party 2), on bit planes: 64 elements a word.

How this works. Cut the low bits into blocks. For a block with value r in R, party 2 deals the one-hot vector of r;
parties 0 and 1 know the block's value c in C, and read off it, each locally on its half of the shares, whether the
block makes a carry (r >= 2^b - c) or hands one on (r = 2^b - 1 - c). `combine` makes these replicated bits, a tree of
ands joins the blocks, and the top bits of C and R complete the sign. A block of one bit is ABY3's carry tree; larger
blocks save levels of the tree for more dealt bits. Where the bits do not fill the lowest block, zeros do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import BITS, combine, deal, dealt, each, on_second
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCK, FLAG, SHIFT, WIDTH
from jmpc.ir.ops.comparing import negative, zero
from jmpc.ir.ops.operands import SPLIT_NUMBER
from jmpc.ir.ops.record import BOUNDED, UNSIGNED
from jmpc.ir.types import Type, secret_bits
from jmpc.ring import bits

MAX_BLOCK = 5


def stacked(parts: list[Array]) -> Array:
    """Concatenate planes, leaving out empty parts: XLA:CPU 0.10 can crash on a fusion with an empty operand."""
    parts = [p for p in parts if p.shape[0]] or parts[:1]
    return lax.concatenate(parts, 0) if len(parts) > 1 else parts[0]


def stacked_pairs(*pairs: Pair) -> Pair:
    return stacked([x[0] for x in pairs]), stacked([x[1] for x in pairs])


def rows_from(x: Pair, start: int, stop: int) -> Pair:
    """Of the leading axis."""
    return each(lambda v: lax.slice_in_dim(v, start, stop), x)


def _blocks(bit_count: int, block: int) -> int:
    return -(-bit_count // block)


def _bit_type(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> tuple[Type, ...]:
    if attrs["width"] + attrs.get("drop", 0) > config.k:
        raise ProgramError(f"{attrs['width']} bits above {attrs['drop']} of a ring of {config.k}")
    return (secret_bits(types[0].shape),)


@protocol(
    "msb",
    takes=(SPLIT_NUMBER,),
    attrs={"drop": SHIFT, "width": WIDTH, "block": BLOCK, "coarse?": FLAG},
    gives=_bit_type,
    means=negative,
    traits=(BOUNDED,),
    source="Mohassel, Rindal, CCS 2018 (ABY3), section 5.3; dealt one-hot blocks in place of the first levels",
)
def msb(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Sign of x; with `drop`, of ceil(C / 2^drop) + floor(R / 2^drop), bit for bit the number to which truncations by
    as many bits round x, so that all readers of a truncated number agree on its sign; with `coarse` too, of the sum of
    both floors, which is floor(x / 2^drop) or one less.

    Security: party 1 sees dealt shares, uniform under the key of 2 and 0; parties 0 and 1 see each other's masked
    halves in `combine`; ands as in `logic`. Needs: the number whose sign it is fits `width` bits.
    Error: none; if `coarse`, x from 0 up to 2^drop may count as negative.
    Cost: 2 + ceil(log2 blocks) rounds; 2^block - 1 bits a block from party 2, two from parties 0 and 1;
    and the ands."""
    width, block, drop = attrs["width"], attrs["block"], attrs["drop"]
    part = held[0]
    if me.index < 2 and drop and not attrs.get("coarse"):
        part = me.ring.reduce(lax.add(part, me.ring.full(part, (1 << drop) - 1)))
    mine = bits.planes(part, drop, width)
    top = lax.slice_in_dim(mine, width - 1, width)
    digits = in_blocks(lax.slice_in_dim(mine, 0, width - 1), block) if width > 1 else None
    half, top_share = _deal_hot(me, digits, top, mine.shape[1])
    zeros = BITS.zeros(top.shape)
    known_top = on_second(me, top, zeros) if me.index < 2 else (zeros, zeros)
    result = [lax.bitwise_xor(a, b) for a, b in zip(top_share, known_top, strict=True)]
    if digits is not None:
        planes = combine(me, _carries(me, digits, half), (2 * digits.shape[0] - 1, mine.shape[1]), BITS)
        carry = _carry(me, planes, digits.shape[0])
        result = [lax.bitwise_xor(a, b) for a, b in zip(result, carry, strict=True)]
    return lax.reshape(result[0], top.shape[1:]), lax.reshape(result[1], top.shape[1:])


def carry_out(me: Me, mine: Array, width: int, block: int) -> Pair:
    """The carry of C + R out of the low `width` bits, packed; mine: what this party holds of the two, C or R.

    Security: as `msb`.  Cost: 2 + ceil(log2 blocks) rounds."""
    digits = in_blocks(bits.planes(mine, 0, width), block)
    words = digits.shape[2]
    half, _ = _deal_hot(me, digits, None, words)
    planes = combine(me, _carries(me, digits, half), (2 * digits.shape[0] - 1, words), BITS)
    found = _carry(me, planes, digits.shape[0])
    return lax.reshape(found[0], (words,)), lax.reshape(found[1], (words,))


def in_blocks(low: Array, block: int) -> Array:
    """Planes cut into blocks, lowest first: (blocks, block, W)."""
    blocks = _blocks(low.shape[0], block)
    spare = blocks * block - low.shape[0]
    low = lax.pad(low, bits.WORD.type(0), [(spare, 0, 0), (0, 0, 0)]) if spare else low
    return lax.reshape(low, (blocks, block, low.shape[1]))


def _deal_hot(me: Me, digits: Array | None, top: Array | None, width: int) -> tuple[Any, Any]:
    """Deal, in one message, the one-hot planes of each block of R and, if given, one more plane. Returns the half that
    party 0 or 1 holds of the one-hot planes, (blocks, 2^b - 1, W), and the shares of the last plane."""
    blocks, block = digits.shape[:2] if digits is not None else (0, 1)
    hot_planes = blocks * ((1 << block) - 1)
    value = None
    if me.index == 2:
        hot = [lax.reshape(one_hot(digits), (hot_planes, width))] if digits is not None else []
        value = stacked(hot + ([top] if top is not None else []))
    count = hot_planes + (top is not None)
    pair = deal(me, value, (count, width), BITS)
    last = tuple(lax.slice_in_dim(p, hot_planes, count) for p in pair) if top is not None else None
    half = dealt(me, pair)
    if half is None or digits is None:
        return None, last
    return lax.reshape(lax.slice_in_dim(half, 0, hot_planes), (blocks, (1 << block) - 1, width)), last


def second_axis(x: Array) -> list[Array]:
    """The planes along the second axis. XLA fuses work on a list of them into one loop over words."""
    return [lax.index_in_dim(x, n, 1, keepdims=False) for n in range(x.shape[1])]


def one_hot(digits: Array) -> Array:
    """Planes [r = 1], ..., [r = 2^b - 1] of each block: (blocks, 2^b - 1, W)."""
    first, *others = second_axis(digits)
    hot = [lax.bitwise_not(first), first]
    for bit in others:
        high = [lax.bitwise_and(h, bit) for h in hot]
        hot = [lax.bitwise_xor(h, x) for h, x in zip(hot, high, strict=True)] + high
    return lax.concatenate([lax.expand_dims(h, (1,)) for h in hot[1:]], 1)


def select(digits: list[Array], options: list[Array]) -> Array:
    """options[c], where bit d of c is the d-th digit plane: a tree of multiplexers."""
    for bit in digits:
        options = [
            lax.bitwise_xor(x, lax.bitwise_and(bit, lax.bitwise_xor(x, y)))
            for x, y in zip(options[::2], options[1::2], strict=True)
        ]
    (only,) = options
    return only


def running_xor(planes: list[Array]) -> list[Array]:
    """Exclusive or of the planes up to each."""
    sums = planes[:1]
    for x in planes[1:]:
        sums.append(lax.bitwise_xor(sums[-1], x))
    return sums


def none_of(me: Me, total: Array) -> Array:
    """The share of [r = 0], given that of the sum of the others: the one is added by party 0."""
    return lax.bitwise_not(total) if me.index == 0 else total


def _carries(me: Me, digits: Array, hot: Array | None) -> Array | None:
    """Of this party's half: [carry of each block, lowest first; propagate of each block but the lowest]."""
    if hot is None:
        return None
    falling = second_axis(hot)[::-1]  # [r = 2^b - 1], ..., [r = 1]
    sums = running_xor(falling)  # at c - 1: [r >= 2^b - c]
    bit_planes = second_axis(digits)
    carries = select(bit_planes, [BITS.zeros(sums[0].shape), *sums])
    hands = select(bit_planes, [*falling, none_of(me, sums[-1])])
    return stacked([carries, lax.slice_in_dim(hands, 1, digits.shape[0])])


def _carry(me: Me, planes: Pair, leaves: int) -> Pair:
    """Carry out of the highest block, (1, W), by a tree: (g, p) o (g', p') = (g ^ p g', p p')."""
    g, p = rows_from(planes, 0, leaves), rows_from(planes, leaves, 2 * leaves - 1)  # p[i] belongs to block i + 1
    while leaves > 1:
        g, p, leaves = _join(me, g, p, leaves)
    return g


def _join(me: Me, g: Pair, p: Pair, leaves: int) -> tuple[Pair, Pair, int]:
    """One level: neighbours (0, 1), (2, 3), ... are joined; an odd highest block waits."""
    pairs = leaves // 2

    def every_second(x: Pair, start: int, count: int) -> Pair:
        stop = start + 2 * count - 1 if count else start
        return each(lambda v: lax.slice_in_dim(v, start, stop, 2), x)

    high_p = every_second(p, 0, pairs)  # of blocks 1, 3, 5, ...
    low_g, high_g = every_second(g, 0, pairs), every_second(g, 1, pairs)
    low_p = every_second(p, 1, pairs - 1)  # of blocks 2, 4, ...
    products = and_planes(me, stacked_pairs(high_p, rows_from(high_p, 1, pairs)), stacked_pairs(low_g, low_p))
    g_new = each(lambda high, both: lax.bitwise_xor(high, lax.slice_in_dim(both, 0, pairs)), high_g, products)
    p_new = rows_from(products, pairs, 2 * pairs - 1)
    if leaves % 2:
        g_new = stacked_pairs(g_new, rows_from(g, leaves - 1, leaves))
        p_new = stacked_pairs(p_new, rows_from(p, leaves - 2, leaves - 1))
    return g_new, p_new, leaves - pairs


@protocol(
    "zero_test",
    takes=(SPLIT_NUMBER,),
    attrs={"width": WIDTH, "block": BLOCK},
    gives=_bit_type,
    means=zero,
    traits=(UNSIGNED, BOUNDED),
    source="equality of C and -R by dealt one-hot blocks and a tree of ands, derived here",
)
def zero_test(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """Whether x = 0. C + R = 0 iff each block of C equals that of -R, which party 2 deals as a one-hot vector.

    Security: as `msb`. Needs: |x| < 2^width.  Error: none.
    Cost: 2 + ceil(log2 blocks) rounds; 2^block - 1 bits a block from party 2, one from parties 0 and 1;
    and the ands."""
    mine = me.ring.reduce(lax.neg(held[0])) if me.index == 2 else held[0]
    planes = bits.planes(mine, 0, attrs["width"])
    digits = in_blocks(planes, attrs["block"])
    hot, _ = _deal_hot(me, digits, None, planes.shape[1])
    equal = None
    if hot is not None:
        planes_hot = second_axis(hot)
        none = none_of(me, running_xor(planes_hot)[-1])
        equal = select(second_axis(digits), [none, *planes_hot])
    return all_planes(me, combine(me, equal, (digits.shape[0], planes.shape[1]), BITS))


def all_planes(me: Me, x: Pair) -> Pair:
    """And over the leading axis, by a tree."""
    while (n := x[0].shape[0]) > 1:
        pairs = n // 2
        joined = and_planes(me, rows_from(x, 0, pairs), rows_from(x, pairs, 2 * pairs))
        x = stacked_pairs(joined, rows_from(x, 2 * pairs, n))
    return lax.index_in_dim(x[0], 0, 0, keepdims=False), lax.index_in_dim(x[1], 0, 0, keepdims=False)
