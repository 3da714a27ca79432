"""The rows of a radix sort: their shape, and the words that hold what is left of a key and the number of an element.

What goes in: bits of keys, shares of words. What comes out: shares of words, in exclusive or. A word has the bits of
the key that are not sorted by yet, the next digit lowest, and above them the number that the element had at first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.bits import sum_planes
from jmpc.families.replicated3.protocols.share import Group, masked, on_second
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCK, WIDTH
from jmpc.ir.ops.operands import SPLIT_NUMBER
from jmpc.ir.types import Type, secret_bits
from jmpc.ring import bits, reduction
from jmpc.ring.positions import positions

STEPS = 64  # a running count takes this many steps, over all columns at once


@dataclass(frozen=True)
class Rows:
    """The shape of a radix sort: `batch` rows of n elements, keys of `width` bits, `digit` bits a pass."""

    batch: int
    n: int
    width: int
    digit: int

    @property
    def size(self) -> int:
        return self.batch * self.n

    @property
    def passes(self) -> int:
        return -(-self.width // self.digit)

    @property
    def values(self) -> int:
        return 1 << self.digit

    @property
    def place(self) -> Group:
        dtype = positions(self.n)
        return Group(dtype, 8 * dtype.itemsize)

    @property
    def number_at(self) -> int:
        """Where the number of an element begins in its row words: above all bits that the passes take."""
        return self.passes * self.digit

    @property
    def live(self) -> int:
        return self.number_at + max((self.n - 1).bit_length(), 1)

    @property
    def words(self) -> int:
        return -(-self.live // 64)

    @property
    def word(self) -> Group:
        bits_ = next((b for b in (8, 16, 32, 64) if b >= self.live), 64)
        return Group(np.dtype(f"uint{bits_}"), bits_, xor=True)

    @property
    def columns(self) -> int:
        return -(-self.n // STEPS)

    @property
    def steps(self) -> int:
        """Element e stands at step e % steps of column e // steps."""
        return -(-self.n // self.columns)

    @property
    def grid(self) -> tuple[int, int, int]:
        return self.steps, self.batch, self.columns


def rows_of(t: Type, attrs: Mapping[str, Any]) -> Rows:
    *batch, n = t.shape[1:]
    return Rows(int(np.prod(batch, dtype=np.int64)), n, attrs["width"], attrs["digit"])


def _words_type(types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> tuple[Type, ...]:
    """The `width` low bits of two's complement, lowest first, and zeros above them: (64, *shape), a word an element."""
    return (secret_bits((64, *types[0].shape)),)


def _words(frame: Any, op: Any, x: np.ndarray) -> np.ndarray:
    planes = [x.astype(np.int64) >> n & 1 == 1 for n in range(op.attrs["width"])]
    return np.stack(planes + [np.zeros(x.shape, np.bool_)] * (64 - len(planes)))


@protocol(
    "bit_words",
    takes=(SPLIT_NUMBER,),
    attrs={"width": WIDTH, "block": BLOCK},
    gives=_words_type,
    means=_words,
    source="as `bits_of`; the planes transposed",
)
def bit_words(me: Me, held: list[Array], types: Sequence[Type], attrs: Mapping[str, Any]) -> Pair:
    """The `width` low bits of x, and zeros up to 64, so that packed they are a word an element.

    Security, needs, error, cost: as `bits_of`."""
    width, size = attrs["width"], types[0].size
    planes = sum_planes(me, bits.planes(held[0], 0, width), 0, width, attrs["block"])
    return _by_element(planes[0], size), _by_element(planes[1], size)


def _by_element(planes: Array, size: int) -> Array:
    """Planes to words: a bit transpose is its own inverse."""
    count, width = planes.shape
    padded = lax.pad(planes, planes.dtype.type(0), [(0, bits.LANES - count, 0), (0, 0, 0)])
    words = bits.planes(lax.reshape(padded, (bits.LANES * width,)), 0, bits.LANES)
    return lax.slice_in_dim(lax.reshape(words, (bits.LANES * width,)), 0, size)


def row_words(me: Me, x: Pair, count: int, rows: Rows, turned: Sequence[int]) -> list[Pair]:
    """Words of shape (batch, n), from `count` bits of the keys, lowest first; those in `turned` are flipped."""
    flips = sum(1 << n for n in turned)
    parts = [_from_words(x[n], rows) if count == bits.LANES else _from_planes(x[n], count, rows) for n in (0, 1)]
    zero = rows.word.zeros((rows.batch, rows.n))
    named: list[Pair] = []
    for w, (a, b) in enumerate(zip(*parts, strict=True)):
        flip = flips >> w * rows.word.bits & ((1 << rows.word.bits) - 1)
        public = lax.bitwise_xor(_number(rows, w), lax.full(zero.shape, rows.word.dtype.type(flip), rows.word.dtype))
        number = on_second(me, public, zero)
        named.append((lax.bitwise_xor(a, number[0]), lax.bitwise_xor(b, number[1])))
    return named


def _from_words(packed: Array, rows: Rows) -> list[Array]:
    """From 64 bits a key, whose packed form is a word a key. Above the width they may be anything."""
    low = lax.full(packed.shape, bits.WORD.type((1 << rows.width) - 1), bits.WORD)
    first = lax.convert_element_type(lax.bitwise_and(packed, low), rows.word.dtype)
    shape = (rows.batch, rows.n)
    return [lax.reshape(first, shape), *[rows.word.zeros(shape)] * (rows.words - 1)]


def _from_planes(packed: Array, count: int, rows: Rows) -> list[Array]:
    size = rows.word.bits
    found: list[Array] = []
    planes = bits.unpack(packed, (count, rows.batch, rows.n), rows.word.dtype)
    for w in range(rows.words):
        part = lax.slice_in_dim(planes, min(w * size, rows.width), min((w + 1) * size, rows.width))
        if part.shape[0] == 0:
            found.append(rows.word.zeros(planes.shape[1:]))
            continue
        found.append(reduction.joined(part, 0))
    return found


def _number(rows: Rows, word: int) -> Array:
    """What the numbers 0 .. n - 1 at bit `number_at` leave in a word."""
    number = _typed.broadcasted_iota(rows.word.dtype, (rows.batch, rows.n), 1)
    by = rows.number_at - word * rows.word.bits
    if abs(by) >= rows.word.bits:
        return rows.word.zeros(number.shape)
    amount = lax.full(number.shape, rows.word.dtype.type(abs(by)), rows.word.dtype)
    return lax.shift_left(number, amount) if by >= 0 else lax.shift_right_logical(number, amount)


def next_digit(rows: Rows, words: list[Pair]) -> list[Pair]:
    """Shift the digit that is done out of the words."""

    def shifted(w: int, n: int) -> Array:
        x = words[w][n]
        low = lax.shift_right_logical(x, lax.full(x.shape, x.dtype.type(rows.digit), x.dtype))
        if w + 1 == len(words):
            return low
        spare = lax.full(x.shape, x.dtype.type(rows.word.bits - rows.digit), x.dtype)
        return lax.bitwise_or(low, lax.shift_left(words[w + 1][n], spare))

    return [(shifted(w, 0), shifted(w, 1)) for w in range(len(words))]


def settled(me: Me, rows: Rows, halves: list[Array] | None) -> list[Pair]:
    """The shuffled words, from halves at parties 1 and 2 to shares, of which c = x_1 and u = x_2 ^ x_0 are new: party 0
    knows what the half of party 1 was before the last permutation. `1 round; one row from parties 1 and 2`."""
    shape, group = (rows.batch, rows.n), rows.word
    found: list[Pair] = []
    for w in range(rows.words):
        if me.index == 0:
            found.append((masked(me, "prv", shape, group), me.exchange(from_nxt=(shape, group.dtype))))
            continue
        assert halves is not None
        half = group.add(halves[1 + w], masked(me, "nxt" if me.index == 1 else "prv", shape, group))
        if me.index == 1:
            found.append((half, me.exchange(to_prv=half, from_nxt=(shape, group.dtype))))
            continue
        first = masked(me, "nxt", shape, group)
        last = group.sub(half, first)
        me.exchange(to_prv=last)
        found.append((last, first))
    return found
