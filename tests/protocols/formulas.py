"""What each protocol should cost: rounds, bytes by party, and mask words by pair of parties, by hand.

The library counts costs in what protocols are traced to; these formulas say independently what it should find. What a
choice of the lowering predicts (`lowering/predict.py`) is taken from there, to be compared too.

What goes in: the types of a protocol's operands, its attributes, the configuration. What comes out: a `Cost`; words of
64 bits, of the keys of parties 0 and 1, 1 and 2, 2 and 0. A mask drawn in vain is time lost, one forgotten is a leak.
Each draw starts a word of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jmpc.config import Config
from jmpc.families.protocol import Cost, CostRule
from jmpc.families.replicated3.lowering.predict import (
    FREE,
    PREDICTED,
    blocks_of,
    carry_ands,
    carry_cost,
    dealt,
    element_bytes,
    even,
    move_cost,
    msb_cost,
    pairs_of,
    plane_bytes,
    planes_cost,
    zero_cost,
)
from jmpc.families.replicated3.protocols.bits import Layout, byte_runs, layout
from jmpc.families.replicated3.protocols.counts import Columns, adders, halves
from jmpc.families.replicated3.protocols.exponent import leaves_of, top_leaf
from jmpc.families.replicated3.protocols.pairs import key_attrs
from jmpc.families.replicated3.protocols.row_words import rows_of
from jmpc.families.replicated3.protocols.share import Group, numbers
from jmpc.families.replicated3.protocols.shuffle import BYTES, position_group
from jmpc.ir.types import BOOL, Type, secret_bits
from jmpc.ring.bits import words
from jmpc.ring.element import Ring

Words = tuple[int, int, int]
Attrs = Mapping[str, Any]
Types = Sequence[Type]
MaskRule = Callable[[Types, Attrs, Config], Words]


# --- what the parts of protocols draw


def drawn(deals: int = 0, combines: int = 0, zero_shares: int = 0) -> Words:
    """Words of what is dealt by party 2, combined from parties 0 and 1, and masked by zero shares."""
    return zero_shares, zero_shares + combines, zero_shares + combines + deals


def both(*found: Words) -> Words:
    """One and the other."""
    a, b, c = (sum(column) for column in zip(*found, strict=True))
    return a, b, c


def elements(size: int, config: Config) -> int:
    """Words of one draw of ring elements."""
    return words_of(size, numbers(Ring(config.k)))


def words_of(count: int, group: Group) -> int:
    """Words of one draw of so many elements of a group."""
    return -(-count * group.dtype.itemsize // 8)


def of_numbers(deals: int = 0, combines: int = 0, zero_shares: int = 0) -> MaskRule:
    """So many draws of the first operand's size."""

    def rule(types: Types, attrs: Attrs, config: Config) -> Words:
        n = elements(types[0].size, config)
        return drawn(deals * n, combines * n, zero_shares * n)

    return rule


def of_each(count: int) -> Words:
    """As many of every pair's key."""
    return count, count, count


def no_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return FREE


# --- forms, numbers and bits


def reshare_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return even(1, element_bytes(types[0].size, config))


def open_split_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return dealt(1, element_bytes(types[0].size, config), 0)


def message_bytes(group_bits: int, ring: Ring) -> int:
    """Bytes of one element mod 2^group_bits on the wire."""
    return min(-(-group_bits // 8), ring.element_bytes)


def truncate_wrap_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    size = types[0].size
    narrow = size * message_bytes(attrs["bits"], Ring(config.k))
    return dealt(2, narrow, element_bytes(size, config) + narrow)


def truncate_local_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return dealt(1, 0, element_bytes(types[0].size, config))


def bit_to_arith_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return even(2, element_bytes(types[0].size, config))


def one_plane_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return even(1, plane_bytes(types[0].size))


def one_plane_words(types: Types, attrs: Attrs, config: Config) -> Words:
    return drawn(zero_shares=words(types[0].size))


def dabit_words(types: Types, attrs: Attrs, config: Config) -> Words:
    """A random bit of each pair, then a bit to a number."""
    size = math.prod(attrs["shape"])
    number = elements(size, config)
    return both(drawn(number, number), of_each(words(size)))


def from_bits_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    ring, width = Ring(config.k), types[0].shape[0]
    size = types[0].size // max(width, 1)
    sent = sum(
        size * (stop - first) * message_bytes(config.k - first, ring) for first, stop in byte_runs(width, config.k)
    )
    return dealt(2, size * ring.element_bytes, sent)


def from_bits_words(types: Types, attrs: Attrs, config: Config) -> Words:
    width = types[0].shape[0]
    size = types[0].size // max(width, 1)
    parts = sum(elements((stop - first) * size, config) for first, stop in byte_runs(width, config.k))
    return drawn(parts, elements(size, config))


# --- comparisons and bits


def on_planes(deals: int, combines: int, ands: int, size: int) -> Words:
    """Of so many planes dealt, combined and anded."""
    return drawn(*(n * words(size) for n in (deals, combines, ands)))


def hot(blocks: int, block: int) -> int:
    """Planes of one-hot vectors."""
    return blocks * ((1 << block) - 1)


def carry_words(size: int, width: int, block: int) -> Words:
    """A carry of each block of so many bits, and what each but the lowest hands on."""
    leaves = blocks_of(width, block)
    return on_planes(hot(leaves, block), max(2 * leaves - 1, 0), carry_ands(leaves), size)


def msb_words(types: Types, attrs: Attrs, config: Config) -> Words:
    size = types[0].size
    return both(carry_words(size, attrs["width"] - 1, attrs["block"]), drawn(words(size)))


def zero_words(types: Types, attrs: Attrs, config: Config) -> Words:
    leaves = blocks_of(attrs["width"], attrs["block"])
    return on_planes(hot(leaves, attrs["block"]), leaves, leaves - 1, types[0].size)


def of_low_bits(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule of all bits, of the low ones alone."""
    return lambda types, attrs, config: rule(types, {**attrs, "width": attrs["bits"]}, config)


def low_bits_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    """A number dealt, and a carry."""
    size = types[0].size
    return dealt(0, 0, element_bytes(size, config)) + carry_cost(size, attrs["bits"], attrs["block"])


def low_bits_words(types: Types, attrs: Attrs, config: Config) -> Words:
    size = types[0].size
    return both(drawn(elements(size, config)), carry_words(size, attrs["bits"], attrs["block"]))


def planes_words(made: Layout, size: int) -> Words:
    return on_planes(hot(made.blocks, made.block), made.read, made.ands, size)


def bits_words(types: Types, attrs: Attrs, config: Config) -> Words:
    return planes_words(layout(attrs["start"], attrs["width"], attrs["block"]), types[0].size)


def bit_words_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    return planes_cost(types[0].size, 0, attrs["width"], attrs["block"])


def bit_words_words(types: Types, attrs: Attrs, config: Config) -> Words:
    return planes_words(layout(0, attrs["width"], attrs["block"]), types[0].size)


@lru_cache(maxsize=256)
def tree_ands(width: int, digits: int, symmetric: bool) -> tuple[int, int]:
    """(rounds, ands) of the tree that finds the top bit."""
    counts: list[int] = []

    def join(items: list[Any]) -> list[Any]:
        counts.append(len(items))
        return [0] * len(items)

    top_leaf(dict.fromkeys(leaves_of(width, digits, symmetric), 0), digits, join)
    return len(counts), sum(counts)


def top_bit_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    size = types[0].size
    rounds, ands = tree_ands(attrs["width"], attrs["digits"], attrs["symmetric"])
    return planes_cost(size, 0, attrs["width"] + 1, attrs["block"]) + even(rounds, ands * plane_bytes(size))


def top_bit_words(types: Types, attrs: Attrs, config: Config) -> Words:
    size = types[0].size
    _, ands = tree_ands(attrs["width"], attrs["digits"], attrs["symmetric"])
    made = layout(0, attrs["width"] + 1, attrs["block"])
    return both(planes_words(made, size), on_planes(0, 0, ands, size))


# --- tables


def lookup_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    """Of tables that are all zero nothing dealt is read, and both messages go out together."""
    one = element_bytes(types[0].size, config)
    rounds = 2 if any(any(table) for table in attrs["tables"]) else 1
    return dealt(rounds, one * len(attrs["tables"]), one * ((1 << len(types)) - 1))


def lookup_words(types: Types, attrs: Attrs, config: Config) -> Words:
    size = types[0].size
    return drawn(elements(((1 << len(types)) - 1) * size, config), elements(len(attrs["tables"]) * size, config))


def table_cost(entries: Callable[[Attrs], int]) -> CostRule:
    """So many elements dealt for each of the operand."""
    return lambda types, attrs, config: dealt(1, 0, element_bytes(entries(attrs) * types[0].size, config))


def table_words(entries: Callable[[Attrs], int]) -> MaskRule:
    return lambda types, attrs, config: drawn(elements(entries(attrs) * types[0].size, config))


def powers(attrs: Attrs) -> int:
    return 1 << attrs["high"]


def harmonics(attrs: Attrs) -> int:
    return 2 * len(attrs["sin"])


def one_hot_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    count, residues = types[0].size, 1 << attrs["bits"]
    return dealt(2, element_bytes(count * attrs["size"], config), element_bytes(count * (residues - 1), config))


def one_hot_words(types: Types, attrs: Attrs, config: Config) -> Words:
    count, residues = types[0].size, 1 << attrs["bits"]
    return drawn(elements((residues - 1) * count, config), elements(attrs["size"] * count, config))


def digit_entries(attrs: Attrs) -> int:
    return (1 << attrs["low"]) + (1 << attrs["bits"] - attrs["low"])


def hot_digits_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    count, entries = types[0].size, digit_entries(attrs)
    return dealt(2, element_bytes(count * (entries + 1), config), element_bytes(count * (entries - 2), config))


def hot_digits_words(types: Types, attrs: Attrs, config: Config) -> Words:
    count, entries = types[0].size, digit_entries(attrs)
    return drawn(elements((entries - 2) * count, config), elements((entries + 1) * count, config))


# --- order


def pair_rank_words(types: Types, attrs: Attrs, config: Config) -> Words:
    """Of each key its comparisons, of the last no test of equality; of each but the last an and; and a dabit."""
    t = types[0]
    pairs, group = secret_bits((pairs_of(t),)), position_group(t.shape[-1], Ring(config.k))
    if not pairs.size:
        return drawn()
    place = words_of(pairs.size, group)
    found = [drawn(place, place), of_each(words(pairs.size))]
    for number, (key_type, key) in enumerate(zip(types[::-1], key_attrs(attrs)[::-1], strict=True)):
        found += [one_plane_words([pairs], key, config)] * (2 if number else 1)
        if key_type.kind != BOOL:
            found += [msb_words([of], key, config) for of in (pairs, t)]
            found += [zero_words([pairs], key, config)] if number else []
    return both(*found)


def shuffle_words(size: int, groups: Sequence[Group]) -> int:
    """What a shuffle draws from two of the three keys; from the other, `size` words."""
    return size + sum(words_of(size, g) for g in groups)


def random_shuffle_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    payload = sum(t.size * (1 if t.kind == BOOL else element_bytes(1, config)) for t in types)
    return Cost(2, (payload, 2 * payload, payload))


def random_shuffle_words(types: Types, attrs: Attrs, config: Config) -> Words:
    rows, ring = types[0].shape[0] * types[0].shape[1], Ring(config.k)
    masks = sum(words_of(t.size, BYTES if t.kind == BOOL else numbers(ring)) for t in types)
    return rows, rows + 2 * masks, rows + 2 * masks


def move_words(n: int, size: int, group: Group, ring: Ring) -> Words:
    """Of elements of a group put at secret places below n."""
    key = position_group(n, ring)
    row = shuffle_words(size, (key, group)) + words_of(size, group)
    return size + words_of(size, key), row, row


def permute_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    place, x = types
    payload = 1 if x.kind == BOOL else element_bytes(1, config)
    return move_cost(place.shape[-1], x.size, payload, Ring(config.k))


def permute_words(types: Types, attrs: Attrs, config: Config) -> Words:
    place, x = types
    ring = Ring(config.k)
    return move_words(place.shape[-1], x.size, BYTES if x.kind == BOOL else numbers(ring), ring)


def radix_words(types: Types, attrs: Attrs, config: Config) -> Words:
    rows, ring = rows_of(types[0], attrs), Ring(config.k)
    n, cells = rows.size, rows.steps * rows.batch * rows.columns
    row, place = shuffle_words(n, [rows.place, *[rows.word] * rows.words]), words_of(n, rows.place)
    mask = words_of((rows.values - 1) * cells, rows.place)
    digit = words_of((rows.values - 1) * n + cells, rows.place)
    word = rows.words * words_of(n, rows.word)
    one = (row, n + word + place + mask, row + word + mask + digit)
    return both(*[one] * rows.passes, move_words(rows.n, n, position_group(rows.n, ring), Ring(64)))


# --- randomness


def random_bits_words(types: Types, attrs: Attrs, config: Config) -> Words:
    """One summand of each pair of parties."""
    return of_each(words(math.prod(attrs["shape"])))


def random_words_words(types: Types, attrs: Attrs, config: Config) -> Words:
    return of_each(elements(math.prod(attrs["shape"]), config))


def below_ands(attrs: Attrs, rows: int) -> int:
    """Two ands a join of two runs of bits, one where nothing is below."""
    joins = halves(attrs["bits"])
    return (sum(2 * n for n in joins) - len(joins)) * rows


def chances_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    ands = below_ands(attrs, len(attrs["thresholds"]))
    return even(len(halves(attrs["bits"])), ands * plane_bytes(math.prod(attrs["shape"])))


def chances_words(types: Types, attrs: Attrs, config: Config) -> Words:
    """A number for each threshold, and the ands."""
    rows = len(attrs["thresholds"])
    return of_each((attrs["bits"] * rows + below_ands(attrs, rows)) * words(math.prod(attrs["shape"])))


def adder_rounds(levels: Sequence[Columns]) -> int:
    """A sum is local, so that a level waits only for the carries into the columns that it adds up."""
    depths = [0]
    for made in levels:
        sent = 1 + max(d for d, n in zip(depths, made, strict=True) if n)
        into = [0, *(sent if n else 0 for n in made)]
        depths = [max(a, b) for a, b in zip([*depths, 0], into, strict=True)]
        depths = depths if made[-1] else depths[:-1]
    return max(depths)


def count_ands(attrs: Attrs) -> int:
    """And one an adder."""
    rows = len(attrs["thresholds"]) * attrs["trials"]
    return below_ands(attrs, rows) + sum(map(sum, adders(rows)))


def count_cost(types: Types, attrs: Attrs, config: Config) -> Cost:
    levels = adders(len(attrs["thresholds"]) * attrs["trials"])
    rounds = len(halves(attrs["bits"])) + adder_rounds(levels)
    return even(rounds, count_ands(attrs) * plane_bytes(math.prod(attrs["shape"])))


def count_words(types: Types, attrs: Attrs, config: Config) -> Words:
    """A number for each trial, whatever the thresholds, and the ands."""
    return of_each((attrs["bits"] * attrs["trials"] + count_ands(attrs)) * words(math.prod(attrs["shape"])))


# --- all of them

LOCAL = ("to_sum3", "split", "mul_sum3", "dot_sum3", "conv_sum3")
RANDOM = ("random_bits", "random_words")
COSTS: dict[str, CostRule] = {
    **PREDICTED,
    **dict.fromkeys((*LOCAL, *RANDOM), no_cost),
    "reshare": reshare_cost,
    "open_split": open_split_cost,
    "truncate_wrap": truncate_wrap_cost,
    "truncate_local": truncate_local_cost,
    "bit_to_arith": bit_to_arith_cost,
    "bit_to_arith_dabit": one_plane_cost,
    "bit_test": of_low_bits(msb_cost),
    "low_zero": of_low_bits(zero_cost),
    "low_bits": low_bits_cost,
    "bit_words": bit_words_cost,
    "top_bit": top_bit_cost,
    "from_bits": from_bits_cost,
    "lookup": lookup_cost,
    "power2_sum3": table_cost(powers),
    "periodic_sum3": table_cost(harmonics),
    "deal_one_hot": one_hot_cost,
    "deal_hot_digits": hot_digits_cost,
    "permute": permute_cost,
    "random_shuffle": random_shuffle_cost,
    "random_chances": chances_cost,
    "random_count": count_cost,
}
MASK_WORDS: dict[str, MaskRule] = {
    **dict.fromkeys((*LOCAL, "bit_to_arith_dabit"), of_numbers()),
    "reshare": of_numbers(zero_shares=1),
    "open_split": of_numbers(combines=1),
    "truncate_wrap": of_numbers(deals=2, combines=1),
    "truncate_local": of_numbers(deals=1),
    "bit_to_arith": of_numbers(deals=1, combines=1),
    "inject": of_numbers(deals=2, combines=1),
    "inject_dabit": of_numbers(zero_shares=1),
    "dabit": dabit_words,
    "and": one_plane_words,
    "msb": msb_words,
    "bit_test": of_low_bits(msb_words),
    "zero_test": zero_words,
    "low_zero": of_low_bits(zero_words),
    "low_bits": low_bits_words,
    "bits_of": bits_words,
    "bit_words": bit_words_words,
    "top_bit": top_bit_words,
    "from_bits": from_bits_words,
    "lookup": lookup_words,
    "power2_sum3": table_words(powers),
    "periodic_sum3": table_words(harmonics),
    "deal_one_hot": one_hot_words,
    "deal_hot_digits": hot_digits_words,
    "pair_rank": pair_rank_words,
    "permute": permute_words,
    "radix_rank": radix_words,
    "random_shuffle": random_shuffle_words,
    "random_bits": random_bits_words,
    "random_words": random_words_words,
    "random_chances": chances_words,
    "random_count": count_words,
}
