"""Planted leaks: each is a real protocol or program with one thing broken. What finds each is in docs/planted_leaks.md.

Most are the real protocol run by an `Altered` party, whose masks are not what they should be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

import jmpc
from jmpc.config import Config
from jmpc.ir.program import Program
from jmpc.ir.types import SPLIT, SUM3, Type
from jmpc.party import link
from jmpc.party.program import SECRET_OUTPUT, OpTracer
from jmpc.protocols.registry import PROTOCOLS
from jmpc.protocols.replicated.convert import bit_to_number
from jmpc.protocols.replicated.share import numbers, on_second, open_words, zero_share
from jmpc.ring import bits as packed
from jmpc.testing.build import config_of, one_op, program_of
from tests.testing.privacy_cases import flags, same

Array = Any
Shape = tuple[int, ...]
SIZE = (4,)
WIDE = Config()


class Altered:
    """A party whose masks pass through `change(me, neighbour, words, again)`. again: draws more words like these."""

    def __init__(self, me: Any, change: Callable[..., Array]) -> None:
        self.me, self.change = me, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.me, name)

    def mask(self, neighbour: str, shape: Shape, dtype: Any = None) -> Array:
        return self.change(self.me, neighbour, lambda side=neighbour: self.me.mask(side, shape, dtype))


def altered(op: str, change: Callable[..., Array]) -> dict[str, Any]:
    """The table with `op` run by an altered party."""
    real = PROTOCOLS[op].run
    return swapped(op, lambda me, *rest: real(Altered(me, change), *rest))


def swapped(op: str, run: Callable[..., Any]) -> dict[str, Any]:
    return {**PROTOCOLS, op: replace(PROTOCOLS[op], run=run)}


@dataclass(frozen=True)
class Leak:
    """One planted leak. program: for a shape and a configuration.  k: of the ring that is enumerated.  wide: the
    configuration of the other levels.  values: two inputs, for `SIZE`.  misses: why a level does not find it."""

    what: str
    program: Callable[[Shape, Config], Program]
    values: tuple[Sequence[Any], Sequence[Any]]
    protocols: Mapping[str, Any] = field(default_factory=lambda: PROTOCOLS)
    k: int = 2
    wide: Config = WIDE
    misses: Mapping[str, str] = field(default_factory=dict)
    patch: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    secured: Any = None


def single(op: str, types: Callable[[Shape], list[Type]], **attrs: Any) -> Callable[[Shape, Config], Program]:
    return lambda shape, config: one_op(op, types(shape), config, **attrs)


def together(
    types: Callable[[Shape], list[Type]], make: Callable[..., Any], receiver: str = SECRET_OUTPUT
) -> Callable[[Shape, Config], Program]:
    return lambda shape, config: program_of(
        lambda emit, *values: make(emit, shape, *values), types(shape), config, receiver
    )


def constants(*values: int) -> list[np.ndarray]:
    return [np.full(SIZE, v) for v in values]


def bits(*values: int) -> list[np.ndarray]:
    return [np.full(SIZE, bool(v)) for v in values]


# --- masks that are not


def no_mask(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    words = draw()
    return lax.bitwise_xor(words, words)


def by_index(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Pair 0's words times 0, pair 1's times 1, pair 2's times 2: the zero shares still sum to zero."""
    words = draw()
    pair = me.index if neighbour == "nxt" else (me.index - 1) % 3
    return lax.mul(words, lax.full(words.shape, words.dtype.type(pair), words.dtype))


def low_half(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    words = draw()
    low = 2 ** min(32, 8 * words.dtype.itemsize) - 1
    return lax.bitwise_and(words, lax.full(words.shape, words.dtype.type(low), words.dtype))


def receivers_key(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Drawn with the other neighbour."""
    return draw("prv" if neighbour == "nxt" else "nxt")


def sometimes_none(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Left off where another word is zero: once in 2^k elements."""
    words, rare = draw(), me.ring.reduce(draw())
    zeros = lax.full(words.shape, words.dtype.type(0), words.dtype)
    return lax.select(lax.eq(rare, zeros), zeros, words)


def one_word(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """The first word, for all elements."""
    words = draw()
    first = lax.slice(words, (0,) * words.ndim, (1,) * words.ndim)
    return lax.broadcast_in_dim(lax.reshape(first, ()), words.shape, ())


# --- protocols with one step wrong


def biased_dabit(me: Any, held: Any, types: Any, attrs: Mapping[str, Any]) -> Any:
    """Each of the three bits is 1 with probability 1/4."""
    shape = attrs["shape"]
    width = (packed.words(int(np.prod(shape, dtype=int))),)
    b = tuple(lax.bitwise_and(*(me.mask(side, width, packed.WORD) for _ in range(2))) for side in ("prv", "nxt"))
    return b, bit_to_number(me, b, shape, numbers(me.ring))  # pyright: ignore[reportArgumentType]


def opened_bit(me: Any, held: list[Any], types: Sequence[Type], attrs: Any) -> Any:
    """The bit as a number, the short way."""
    bit = packed.unpack(open_words(me, held[0]), types[0].shape, me.ring.dtype)
    return on_second(me, bit, me.ring.full(bit, 0))


def unreduced(me: Any, held: list[Array], types: Any, attrs: Any) -> Any:
    """`reshare` with the carries above the ring left in the message."""
    z, group = held[0], numbers(me.ring)
    z = lax.add(z, zero_share(me, z.shape, group))
    return z, me.exchange(to_prv=z, from_nxt=(z.shape, group.dtype))


@contextlib.contextmanager
def summands_as_they_are() -> Iterator[None]:
    """Results leave for a client without a zero share."""
    real = OpTracer._blinded
    OpTracer._blinded = lambda self, held, t, *rest: self.ring.reduce(held[0] if isinstance(held, tuple) else held)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        OpTracer._blinded = real


@contextlib.contextmanager
def masks_of_the_first_op() -> Iterator[None]:
    """Each op draws the masks of the first one: its own number is lost when it is put in place."""
    real = link._numbered
    link._numbered = lambda params, op: real(params, 0 if "pair" in params else op)
    try:
        yield
    finally:
        link._numbered = real


@jmpc.secure(static_argnames="index")
def first_few(x: Array, index: int) -> Array:
    """The squares of as many elements as a secret index says: made static, since slices must be."""
    return jnp.square(x[:index])


# --- the programs


def two_ands(emit: Any, shape: Shape, x: Any, y: Any, u: Any) -> Any:
    return emit("and", x, y), emit("and", x, u)


def opened_with_dabit(emit: Any, shape: Shape, b: Any) -> Any:
    return emit("bit_to_arith_dabit", b, *emit("dabit", shape=shape))


FRESH = "the summands of a fresh sharing are uniform by themselves"
LEAKS: dict[str, Leak] = {
    "missing mask": Leak(
        "`and` reshares its summands without a zero share",
        single("and", flags(2)),
        (bits(0, 0), bits(1, 1)),
        altered("and", no_mask),
    ),
    "reused zero share": Leak(
        "two `and`s draw the same masks: all masks are numbered as the first op's",
        together(flags(3), two_ands),
        (bits(0, 0, 0), bits(1, 0, 1)),
        patch=masks_of_the_first_op,
    ),
    "output not re-randomised": Leak(
        "the summands of a product leave for a client as they are",
        together(same(2), lambda emit, shape, x, y: emit("mul_sum3", x, y), "client"),
        (constants(0, 0), constants(3, -5)),
        patch=summands_as_they_are,
    ),
    "biased bit": Leak(
        "a random bit is the xor of bits that are 1 with probability 1/4",
        together(flags(1), opened_with_dabit),
        (bits(0), bits(1)),
        swapped("dabit", biased_dabit),
    ),
    "mask tied to the index": Leak(
        "`reshare` multiplies its masks by the number of the pair: none for pair 0",
        single("reshare", same(1, SUM3)),
        (constants(0), constants(5)),
        altered("reshare", by_index),
        misses={"statistical": FRESH},
    ),
    "truncated mask": Leak(
        "`truncate_local` deals under masks of 32 bits",
        single("truncate_local", same(1, SPLIT, 2), bits=2),
        (constants(0), constants(-5)),
        altered("truncate_local", low_half),
        k=4,
        misses={"exact": "32 bits are all there are in a tiny ring"},
    ),
    "length depends on an index": Leak(
        "a slice as long as a secret index, made a static argument",
        single("and", flags(2)),
        ((np.ones(4, np.float32), 1), (np.ones(4, np.float32), 3)),
        secured=first_few,
        misses={"exact": "it enumerates one program; the leak is which program runs"},
    ),
    "opened intermediate": Leak(
        "`bit_to_arith` opens the bit",
        single("bit_to_arith", flags(1)),
        (bits(0), bits(1)),
        swapped("bit_to_arith", opened_bit),
    ),
    "key of the receiver": Leak(
        "`bit_to_arith` draws each mask with its other neighbour",
        single("bit_to_arith", flags(1)),
        (bits(0), bits(1)),
        altered("bit_to_arith", receivers_key),
    ),
    "mask left off, rarely": Leak(
        "`truncate_local` sends the value itself where a random word is zero",
        single("truncate_local", same(1, SPLIT, 1), bits=1),
        (constants(0), constants(-5)),
        altered("truncate_local", sometimes_none),
        k=3,
        misses={"statistical": "at 64 bits it happens once in 2^64 runs"},
    ),
    "one word for all elements": Leak(
        "`open_split` masks every element with the first word",
        together(same(2), lambda emit, shape, x, y: emit("open_split", emit("mul_sum3", x, y))),
        (constants(0, 0), constants(5, 3)),
        altered("open_split", one_word),
        misses={"exact": "it refuses: elements share a word, so they are not runs of their own"},
    ),
    "carries above the ring": Leak(
        "`reshare` sends sums that are not reduced to the ring",
        single("reshare", same(1, SUM3)),
        (constants(0), constants(5)),
        swapped("reshare", unreduced),
        k=3,
        wide=config_of(13, 2),
        misses={"statistical": FRESH},
    ),
}
