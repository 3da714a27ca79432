"""Broken protocols: real ones run by a party whose masks are not what they should be, or with one step wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

import jmpc
from jmpc.families.protocol import Entry
from jmpc.families.replicated3.protocols import pairs, row_words
from jmpc.families.replicated3.protocols.compare import msb
from jmpc.families.replicated3.protocols.convert import bit_to_number
from jmpc.families.replicated3.protocols.share import known_part, numbers, on_second, open_words, zero_share
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import Type
from jmpc.party import link
from jmpc.party.program import OpTracer
from jmpc.ring import bits as packed

Array = Any
Shape = tuple[int, ...]
Table = dict[str, Any]


class Altered:
    """A party whose masks pass through `change(me, neighbour, draw)`. draw: of words like those that it asked for."""

    def __init__(self, me: Any, change: Callable[..., Array]) -> None:
        self.me, self.change = me, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.me, name)

    def mask(self, neighbour: str, shape: Shape, dtype: Any = None) -> Array:
        return self.change(self.me, neighbour, lambda side=neighbour: self.me.mask(side, shape, dtype))


def altered(op: str, change: Callable[..., Array]) -> Table:
    """The table with `op` run by an altered party."""
    real = PROTOCOLS[op].run
    return swapped(op, lambda me, *rest: real(Altered(me, change), *rest))


def swapped(op: str, run: Callable[..., Any]) -> Table:
    return {**PROTOCOLS, op: replace(PROTOCOLS[op], run=run)}


def added(op: str, run: Callable[..., Any]) -> Table:
    """The table with a protocol for an op that needs none."""
    return {**PROTOCOLS, op: Entry(op, run, "planted")}


def _full(like: Array, value: int) -> Array:
    return lax.full(like.shape, like.dtype.type(value), like.dtype)


# --- masks that are not


def no_mask(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    return _full(draw(), 0)


def by_index(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Pair 0's words times 0, pair 1's times 1, pair 2's times 2: the zero shares still sum to zero."""
    words = draw()
    pair = me.index if neighbour == "nxt" else (me.index - 1) % 3
    return lax.mul(words, _full(words, pair))


def low_half(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    words = draw()
    return lax.bitwise_and(words, _full(words, 2 ** min(32, 8 * words.dtype.itemsize) - 1))


def even(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    words = draw()
    return lax.bitwise_and(words, _full(words, 2 ** (8 * words.dtype.itemsize) - 2))


def receivers_key(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Drawn with the other neighbour."""
    return draw("prv" if neighbour == "nxt" else "nxt")


def one_word(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """The first word, for all elements."""
    words = draw()
    first = lax.slice(words, (0,) * words.ndim, (1,) * words.ndim)
    return lax.broadcast_in_dim(lax.reshape(first, ()), words.shape, ())


def steps(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """Each word less the one before it: together they sum to zero."""
    words = draw()
    flat = lax.reshape(words, (words.size,))
    last = words.size - 1
    before = lax.concatenate([lax.slice_in_dim(flat, last, words.size), lax.slice_in_dim(flat, 0, last)], 0)
    return lax.reshape(lax.sub(flat, before), words.shape)


def in_pairs(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
    """None for the last element, if there is an odd number of them."""
    words = draw()
    place = lax.reshape(lax.iota(np.dtype(np.int32), words.size), words.shape)
    has_one = lax.lt(place, _full(place, words.size - words.size % 2))
    return lax.select(has_one, words, _full(words, 0))


def left_off(rare_bits: int) -> Callable[..., Array]:
    """Where so many bits of another word are zero; 0: all that the ring has."""

    def change(me: Any, neighbour: str, draw: Callable[..., Array]) -> Array:
        words, rare = draw(), me.ring.reduce(draw())
        if rare_bits:
            rare = lax.bitwise_and(rare, _full(rare, 2**rare_bits - 1))
        return lax.select(lax.eq(rare, _full(rare, 0)), _full(words, 0), words)

    return change


# --- protocols that tell something besides


def telling(message: Callable[..., Any], then: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A protocol in which each party sends the next one `message(me, shares, draw)`, or several, and then does what it
    should (`split`, if nothing is said). draw: words of a key that the next party lacks."""

    def run(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
        x, drawn = held[0], list[int]()

        def draw() -> Array:
            drawn.append(1)
            return me.mask("prv", x[0].shape, x[0].dtype)

        made = message(me, x, draw)
        made = made if isinstance(made, list) else [made]
        for _ in drawn:  # the other end of a key draws as well
            me.mask("nxt", x[0].shape, x[0].dtype)
        for one in made:
            me.exchange(
                to_nxt=me.staged(me.ring.reduce(one) if one.dtype == me.ring.dtype else one), from_prv=_spec(one)
            )
        return then(me, held, types) if then else known_part(me, x, numbers(me.ring))

    return run


def _spec(array: Array) -> Any:
    return tuple(array.shape), array.dtype


def lacking(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    """Of the two shares of a party, the next one lacks the first."""
    return x[0]


def under(change: Callable[..., Array]) -> Callable[..., Array]:
    """The share that is lacking, under a mask that is not what it should be."""
    return lambda me, x, draw: lax.add(x[0], change(me, "prv", lambda side="prv": draw()))


def both(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    return lax.add(*x)


def three_times(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    return me.ring.scale(x[0], 3)


def with_number_of_party(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    return lax.add(x[0], me.ring.full(x[0], 17 * (me.index + 1)))


def masked_and_the_mask(me: Any, x: Any, draw: Callable[[], Array]) -> list[Array]:
    """The mask comes under another one, and that by itself."""
    first, second = draw(), draw()
    return [lax.add(x[0], first), lax.add(first, second), second]


def there_and_back(me: Any, x: Any, draw: Callable[[], Array]) -> list[Array]:
    mask = draw()
    return [lax.add(x[0], mask), lax.add(x[0], lax.rev(mask, range(mask.ndim)))]


def nothing(x: Any) -> Array:
    return _full(x[0], 0)


def of_odd_sizes(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    return x[0] if x[0].size % 2 else nothing(x)


def of_32_bits(me: Any, x: Any, draw: Callable[[], Array]) -> Array:
    return x[0] if me.ring.k == 32 else nothing(x)


def flipped(me: Any, held: Sequence[Any], types: Any) -> Any:
    side = (1, 0, None)[me.index]
    return tuple(lax.bitwise_not(h) if n == side else h for n, h in enumerate(held[0]))


def plus_public(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    """x + p, and x_i + p to the next party."""
    x, p = held
    shared = on_second(me, p, _full(p, 0))
    told = me.ring.reduce(lax.add(x[0], p))
    me.exchange(to_nxt=me.staged(told), from_prv=_spec(told))
    return lax.add(x[0], shared[0]), lax.add(x[1], shared[1])


# --- one step wrong


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
def patched(where: Any, name: str, to: Any) -> Iterator[None]:
    real = getattr(where, name)
    setattr(where, name, to)
    try:
        yield
    finally:
        setattr(where, name, real)


def summands_as_they_are() -> contextlib.AbstractContextManager[None]:
    """Results leave for a client without a zero share."""

    def bare(self: Any, held: Any, t: Type, *rest: Any) -> Array:
        return self.ring.reduce(held[0] if isinstance(held, tuple) else held)

    return patched(OpTracer, "_blinded", bare)


def masks_of_the_first_op() -> contextlib.AbstractContextManager[None]:
    """Each op draws the masks of the first one: its own number is lost when it is put in place."""
    real = link._numbered
    return patched(link, "_numbered", lambda params, op: real(params, 0 if "pair" in params else op))


def ranks_by_differences() -> contextlib.AbstractContextManager[None]:
    """[x_j < x_i] is the sign of x_j - x_i in `width` bits, whatever the signs of the two."""

    def compared(me: Any, x: Array, n: int, key: Mapping[str, int], rest: Any) -> Any:
        first, second = pairs._firsts_and_seconds(n)
        rows = pairs._rows(me.ring.reduce(x), n)
        gap = me.ring.reduce(lax.sub(pairs._taken(rows, second), pairs._taken(rows, first)))
        return msb(me, [gap], (), key), None

    return patched(pairs, "_compared", compared)


def words_as_they_are() -> contextlib.AbstractContextManager[None]:
    """What a word of a key holds above the width stays in the row words."""

    def whole(words: Array, rows: Any) -> list[Array]:
        first = lax.reshape(lax.convert_element_type(words, rows.word.dtype), (rows.batch, rows.n))
        return [first, *[rows.word.zeros(first.shape)] * (rows.words - 1)]

    return patched(row_words, "_from_words", whole)


@jmpc.secure(static_argnames="index")
def first_few(x: Array, index: int) -> Array:
    """The squares of as many elements as a secret index says: made static, since slices must be."""
    return jnp.square(x[:index])
