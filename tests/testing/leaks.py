"""Planted leaks: each is a real protocol or program with one thing broken. What finds each is in docs/planted_leaks.md.

They are run at all sizes and ring widths of `jmpc.testing.privacy.everywhere`, on inputs anywhere in the ring.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.program import Program
from jmpc.ir.types import PLAIN, PUBLIC, SPLIT, Type, secret_bits
from jmpc.roles import Role
from jmpc.testing.build import number, one_op, program_of
from tests.testing import leaky_protocols as leaky
from tests.testing.leaky_protocols import added, altered, swapped, telling
from tests.testing.privacy_cases import flags, num, same

Shape = tuple[int, ...]
ProgramAt = Callable[[Shape, Config], Program]


@dataclass(frozen=True)
class Leak:
    """One planted leak. program: for a shape and a configuration.  k: of the ring that is enumerated; 0: none is.
    misses: why a level does not find it.  secured: a function whose calls with two `values` are the program."""

    what: str
    program: ProgramAt
    protocols: Mapping[str, Any] = field(default_factory=lambda: PROTOCOLS)
    k: int = 2
    misses: Mapping[str, str] = field(default_factory=dict)
    patch: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    secured: Any = None
    values: tuple[Sequence[Any], Sequence[Any]] = ((), ())


# --- the programs


def single(op: str, types: Callable[[Shape], Sequence[Type]], **attrs: Any) -> ProgramAt:
    return lambda shape, config: one_op(op, list(types(shape)), config, **attrs)


def together(
    types: Callable[[Shape], Sequence[Type]], make: Callable[..., Any], receiver: str = Role.SECRET
) -> ProgramAt:
    def program(shape: Shape, config: Config) -> Program:
        return program_of(lambda emit, *values: make(emit, shape, *values), list(types(shape)), config, receiver)

    return program


def two_ands(emit: Any, shape: Shape, x: Any, y: Any, u: Any) -> Any:
    return emit("and", x, y), emit("and", x, u)


def opened_with_dabit(emit: Any, shape: Shape, b: Any) -> Any:
    return emit("bit_to_arith_dabit", b, *emit("dabit", shape=shape))


def opened_product(emit: Any, shape: Shape, x: Any, y: Any) -> Any:
    return emit("open_split", emit("mul_sum3", x, y))


def reshared_product(emit: Any, shape: Shape, x: Any, y: Any) -> Any:
    return emit("reshare", emit("mul_sum3", x, y))


def product(emit: Any, shape: Shape, x: Any, y: Any) -> Any:
    return emit("mul_sum3", x, y)


def plus(emit: Any, shape: Shape, x: Any, p: Any) -> Any:
    return emit("add", x, p)


def with_public(shape: Shape) -> list[Type]:
    return [num(shape), num(shape).with_(visibility=PUBLIC, form=PLAIN)]


def moved_by_pairs(shape: Shape, config: Config) -> Program:
    """Rows of three, in the order of all bits that they have."""
    attrs = {"widths": (config.k,), "blocks": (3,)}
    return program_of(
        lambda emit, x: emit("permute", emit("pair_rank", emit("split", x), **attrs), x),
        [number((*shape, 3), 0)],
        config,
        Role.SECRET,
    )


def ranked_by_words(shape: Shape, config: Config) -> Program:
    """Rows of three in the order of two bits, of words of which any bit may be set."""
    return one_op("radix_rank", [secret_bits((64, *shape, 3))], config, width=2, digit=2, turned=())


# --- why a level finds nothing

NOT_OWN = "it refuses: elements share a word, so they are not runs of their own"
ONE_SIZE = "all its runs together are one array, of an even size"
TRUSTED = "it takes places for an order: that they are one is for the protocol to guarantee that makes them"
NO_ORDERS = "orders of more than two elements are not enumerated"

BARE = single("split", same(1))
OPENED = together(same(2), opened_product)
RESHARED = together(same(2), reshared_product)
LEAKS: dict[str, Leak] = {
    "missing mask": Leak(
        "`and` reshares its summands without a zero share",
        single("and", flags(2)),
        altered("and", leaky.no_mask),
    ),
    "reused zero share": Leak(
        "two `and`s draw the same masks: all masks are numbered as the first op's",
        together(flags(3), two_ands),
        patch=leaky.masks_of_the_first_op,
    ),
    "mask tied to the index": Leak(
        "`reshare` multiplies its masks by the number of the pair: none for pair 0",
        RESHARED,
        altered("reshare", leaky.by_index),
    ),
    "truncated mask": Leak(
        "`truncate_local` deals under masks of 32 bits",
        single("truncate_local", same(1, SPLIT, 2), bits=2),
        altered("truncate_local", leaky.low_half),
        k=4,
        misses={"exact": "32 bits are all there are in a tiny ring"},
    ),
    "low bit of a mask cleared": Leak(
        "`open_split` masks with even numbers",
        OPENED,
        altered("open_split", leaky.even),
    ),
    "key of the receiver": Leak(
        "`bit_to_arith` draws each mask with its other neighbour",
        single("bit_to_arith", flags(1)),
        altered("bit_to_arith", leaky.receivers_key),
    ),
    "mask left off, rarely": Leak(
        "`truncate_local` sends the value itself where a random word is zero: once in 2^k",
        single("truncate_local", same(1, SPLIT, 1), bits=1),
        altered("truncate_local", leaky.left_off(0)),
        k=3,
    ),
    "one word for all elements": Leak(
        "`open_split` masks every element with the first word",
        OPENED,
        altered("open_split", leaky.one_word),
        misses={"exact": NOT_OWN},
    ),
    "masks that sum to zero": Leak(
        "`open_split` takes from each word the one before it: the sum of all elements is bare",
        OPENED,
        altered("open_split", leaky.steps),
        misses={"exact": NOT_OWN},
    ),
    "a mask read backwards": Leak(
        "a share is sent under a mask, and once more under that mask read backwards",
        BARE,
        swapped("split", telling(leaky.there_and_back)),
        misses={"exact": NOT_OWN},
    ),
    "the share that is lacking": Leak(
        "each party sends the next the share that it lacks: the secret is a sum of three",
        BARE,
        swapped("split", telling(leaky.lacking)),
    ),
    "the bit that is lacking": Leak(
        "the same of bits: the secret is an exclusive or of three",
        single("not", flags(1)),
        added("not", telling(leaky.lacking, leaky.flipped)),
    ),
    "both shares in one": Leak(
        "each party sends the sum of its shares to the next, which has one of them",
        BARE,
        swapped("split", telling(leaky.both)),
    ),
    "the share times three": Leak(
        "each party sends three times the share that the next lacks",
        BARE,
        swapped("split", telling(leaky.three_times)),
    ),
    "a mask that is told": Leak(
        "a share under a mask, that mask under another, and the other: a sum of five",
        BARE,
        swapped("split", telling(leaky.masked_and_the_mask)),
    ),
    "of odd sizes alone": Leak(
        "the share that is lacking, where there is an odd number of elements",
        BARE,
        swapped("split", telling(leaky.of_odd_sizes)),
        misses={"exact": ONE_SIZE},
    ),
    "of the last element of an odd number": Leak(
        "`reshare` masks elements two by two: the last of an odd number has no mask",
        RESHARED,
        altered("reshare", leaky.in_pairs),
        misses={"exact": ONE_SIZE},
    ),
    "of one ring width alone": Leak(
        "the share that is lacking, in a ring of 32 bits",
        BARE,
        swapped("split", telling(leaky.of_32_bits)),
        misses={"exact": "its ring has no 32 bits"},
    ),
    "one time in 16": Leak(
        "the share that is lacking, under a mask but where four random bits are zero",
        BARE,
        swapped("split", telling(leaky.under(leaky.left_off(4)))),
    ),
    "one time in 64": Leak(
        "the same where six random bits are zero",
        BARE,
        swapped("split", telling(leaky.under(leaky.left_off(6)))),
    ),
    "a public value mixed in": Leak(
        "a sum with a public value sends each party the share that it lacks, plus that value",
        together(with_public, plus),
        added("add", leaky.plus_public),
    ),
    "the party's number mixed in": Leak(
        "the share that is lacking, plus seventeen times the number of the party",
        BARE,
        swapped("split", telling(leaky.with_number_of_party)),
    ),
    "output not re-randomised": Leak(
        "the summands of a product leave for a client as they are",
        together(same(2), product, "client"),
        patch=leaky.summands_as_they_are,
    ),
    "biased bit": Leak(
        "a random bit is the xor of bits that are 1 with probability 1/4",
        together(flags(1), opened_with_dabit),
        swapped("dabit", leaky.biased_dabit),
    ),
    "opened intermediate": Leak(
        "`bit_to_arith` opens the bit",
        single("bit_to_arith", flags(1)),
        swapped("bit_to_arith", leaky.opened_bit),
    ),
    "carries above the ring": Leak(
        "`reshare` sends sums that are not reduced to the ring",
        RESHARED,
        swapped("reshare", leaky.unreduced),
        misses={"statistical": "what lies above the ring is noise in its inputs, and hides the carries"},
    ),
    "length depends on an index": Leak(
        "a slice as long as a secret index, made a static argument",
        single("and", flags(2)),
        secured=leaky.first_few,
        values=((np.ones(4, np.float32), 1), (np.ones(4, np.float32), 3)),
        misses={"exact": "it enumerates one program; the leak is which program runs"},
    ),
    "an order by differences": Leak(
        "ranks by the signs of differences, which go round in a circle where a difference wraps, are opened",
        moved_by_pairs,
        patch=leaky.ranks_by_differences,
        k=0,
        misses={"exact": NO_ORDERS, "structural": TRUSTED},
    ),
    "bits above a key": Leak(
        "a radix sort leaves what a word holds above its key, where the numbers stand that it opens at the end",
        ranked_by_words,
        patch=leaky.words_as_they_are,
        k=0,
        misses={"exact": NO_ORDERS, "structural": TRUSTED},
    ),
}
