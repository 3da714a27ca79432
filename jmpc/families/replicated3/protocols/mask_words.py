"""What each protocol draws: words of 64 bits from the stream of each pair of parties' key. Stated here, counted by the
tests (`jmpc.testing.check_protocol`), since a mask drawn in vain is time lost and one forgotten is a leak.

What goes in: the types of a protocol's inputs, its attributes, the configuration, as for its cost. What comes out:
words by pair: of parties 0 and 1, 1 and 2, 2 and 0. Each draw starts a word of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.families.replicated3.protocols import bits, pairs, radix, shuffle
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import BOOL, Type, secret_bits
from jmpc.ring.bits import words
from jmpc.ring.element import Ring

Words = tuple[int, int, int]
Attrs = Mapping[str, Any]
MaskRule = Callable[[Sequence[Type], Attrs, Config], Words]


def drawn(deals: int = 0, combines: int = 0, zero_shares: int = 0) -> Words:
    """Words of what is dealt by party 2, combined from parties 0 and 1, and masked by zero shares."""
    return zero_shares, zero_shares + combines, zero_shares + combines + deals


def elements(size: int, config: Config) -> int:
    """Words of one draw of ring elements."""
    return -(-size * Ring(config.k).element_bytes // 8)


def _of_numbers(deals: int = 0, combines: int = 0, zero_shares: int = 0) -> MaskRule:
    """So many draws of the first operand's size."""

    def rule(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
        n = elements(types[0].size, config)
        return drawn(deals * n, combines * n, zero_shares * n)

    return rule


def _dabit(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    """A random bit of each pair, then a bit to a number."""
    size = math.prod(attrs["shape"])
    made = drawn(elements(size, config), elements(size, config))
    return made[0] + words(size), made[1] + words(size), made[2] + words(size)


def _one_plane(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    return drawn(zero_shares=words(types[0].size))


def _on_planes(op: str, combined: Callable[[Attrs], int]) -> MaskRule:
    """Of a protocol on bit planes: party 0 sends what is combined and what is anded, party 2 what is dealt and what is
    anded, and on the wire these are as long as their masks. combined: planes."""

    def rule(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
        sent, both = PROTOCOLS[op].cost(types, attrs, config).bytes_sent, combined(attrs) * words(types[0].size)
        anded = sent[0] // 8 - both
        return drawn(sent[2] // 8 - anded, both, anded)

    return rule


def _carries(width: str, off: int = 0) -> Callable[[Attrs], int]:
    """A carry of each block of so many bits, and what each but the lowest hands on."""
    return lambda attrs: max(2 * -(-(attrs[width] - off) // attrs["block"]) - 1, 0)


def _blocks(width: str) -> Callable[[Attrs], int]:
    return lambda attrs: -(-attrs[width] // attrs["block"])


def _low_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    """A number dealt, and a carry."""
    n = elements(types[0].size, config)
    sent = PROTOCOLS["low_bits"].cost(types, attrs, config).bytes_sent
    both = _carries("bits")(attrs) * words(types[0].size)
    anded = sent[0] // 8 - both
    planes = (sent[2] - types[0].size * Ring(config.k).element_bytes) // 8
    return drawn(planes - anded + n, both, anded)


def _lookup(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    size = types[0].size
    return drawn(elements(((1 << len(types)) - 1) * size, config), elements(len(attrs["tables"]) * size, config))


def _dealt_table(entries: Callable[[Attrs], int]) -> MaskRule:
    """So many elements dealt for each of the operand."""
    return lambda types, attrs, config: drawn(elements(entries(attrs) * types[0].size, config))


def _one_hot(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    count, residues = types[0].size, 1 << attrs["bits"]
    return drawn(elements((residues - 1) * count, config), elements(attrs["size"] * count, config))


def _hot_digits(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    count, entries = types[0].size, (1 << attrs["low"]) + (1 << attrs["bits"] - attrs["low"])
    return drawn(elements((entries - 2) * count, config), elements((entries + 1) * count, config))


def _from_bits(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    width = types[0].shape[0]
    size = types[0].size // max(width, 1)
    dealt = sum(elements((stop - first) * size, config) for first, stop in bits._groups(width, config.k))
    return drawn(dealt, elements(size, config))


def _pair_rank(types: Sequence[Type], attrs: Attrs, config: Config) -> Words:
    """Of each key its comparisons, of the last no test of equality; of each but the last an and; and a dabit."""
    t = types[0]
    pairs_type, group = secret_bits((pairs.pairs_of(t),)), shuffle.position_group(t.shape[-1], Ring(config.k))
    if not pairs_type.size:
        return drawn()
    random, place = words(pairs_type.size), shuffle.words_of(pairs_type.size, group)
    found = [drawn(place, place), (random, random, random)]
    for number, (key_type, key) in enumerate(zip(types[::-1], pairs.key_attrs(attrs)[::-1], strict=True)):
        found += [_one_plane([pairs_type], key, config)] * (2 if number else 1)
        if key_type.kind != BOOL:
            found += [MASK_WORDS["msb"]([one], key, config) for one in (pairs_type, t)]
            found += [MASK_WORDS["zero_test"]([pairs_type], key, config)] if number else []
    return tuple(map(sum, zip(*found, strict=True)))  # pyright: ignore[reportReturnType]


NONE = _of_numbers()
MASK_WORDS: dict[str, MaskRule] = {
    **dict.fromkeys(("to_sum3", "split", "mul_sum3", "dot_sum3", "conv_sum3", "bit_to_arith_dabit"), NONE),
    "reshare": _of_numbers(zero_shares=1),
    "open_split": _of_numbers(combines=1),
    "truncate_wrap": _of_numbers(deals=2, combines=1),
    "truncate_local": _of_numbers(deals=1),
    "bit_to_arith": _of_numbers(deals=1, combines=1),
    "inject": _of_numbers(deals=2, combines=1),
    "inject_dabit": _of_numbers(zero_shares=1),
    "dabit": _dabit,
    "and": _one_plane,
    "msb": _on_planes("msb", _carries("width", 1)),
    "bit_test": _on_planes("bit_test", _carries("bits", 1)),
    "zero_test": _on_planes("zero_test", _blocks("width")),
    "low_zero": _on_planes("low_zero", _blocks("bits")),
    "low_bits": _low_bits,
    "bits_of": _on_planes("bits_of", lambda a: bits.layout(a["start"], a["width"], a["block"]).read),
    "bit_words": _on_planes("bit_words", lambda a: bits.layout(0, a["width"], a["block"]).read),
    "top_bit": _on_planes("top_bit", lambda a: bits.layout(0, a["width"] + 1, a["block"]).read),
    "from_bits": _from_bits,
    "lookup": _lookup,
    "power2_sum3": _dealt_table(lambda a: 1 << a["high"]),
    "periodic_sum3": _dealt_table(lambda a: 2 * len(a["sin"])),
    "deal_one_hot": _one_hot,
    "deal_hot_digits": _hot_digits,
    "pair_rank": _pair_rank,
    "permute": shuffle.permute_words,
    "radix_rank": radix.radix_words,
    "random_shuffle": shuffle.random_shuffle_words,
}
