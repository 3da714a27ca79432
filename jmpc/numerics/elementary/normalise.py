"""x = u 2^e with u in [1, 2]: what reciprocals, roots and logarithms start from, as plain JAX.

What goes in: x, and how it is held (`Form`). What comes out: u, exactly, and whatever depends on e alone, from tables.

Idea: the place of the top bit of |x|, an index of 4 to 7 bits, is found by comparing no numbers; its lowest 3 bits and
the others are two digits, and each digit is looked up in tables. So a scale 2^(P - e) is one product of two looked up
numbers, and u = x 2^(P - e) is one more, without rounding. Source: Norm of Catrina and Saxena, FC 2010; two digits in
place of one bit a place.
Zero, and x < 0 where signs do not matter, have high digits of their own; then u is 1, and tables say what comes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp

from jmpc import _typed
from jmpc._types import Array
from jmpc.config import ERROR
from jmpc.numerics.language.words import fraction, point, product, word

Table = tuple[tuple[int, ...], int]  # entries in units of 2^-scale, and the scale

LOW_DIGIT = 3  # bits of the low digit of an index
MINUS_ONE, FIRST = 8, 9  # an index: 0 for zero, the place of the top bit from FIRST; MINUS_ONE for -1 unit


def negative_index(digits: int) -> int:
    """The index of what is below zero, where signs are not symmetric: in a high digit of its own."""
    return (1 << digits) - (1 << LOW_DIGIT)


def index_digits(width: int, symmetric: bool) -> int:
    """Bits of an index of numbers of `width` bits and a sign."""
    places = FIRST + width
    high = -(-places // (1 << LOW_DIGIT)) + (not symmetric)
    return LOW_DIGIT + max((high - 1).bit_length(), 1)


def last_digit(width: int) -> int:
    """The highest high digit of numbers of `width` bits."""
    return (FIRST + width - 1) >> LOW_DIGIT


def most_fraction(k: int, f: int) -> int:
    """The most fraction bits that approximations give a value of theirs."""
    return min(max(2 * f + 16, 52), k - 2)


@dataclass(frozen=True)
class Form:
    """How x is held: `fraction` bits, |x| < 2^(width - fraction).  out: fraction bits of results.  k: bits of the ring.
    most: fraction bits that a value may have.  symmetric: whether x < 0 is as good as x > 0.  error: the budget of
    what is computed of x.  whole: the highest high digit up to which u takes x with all its bits: u must have bits to
    spare in the ring for what is computed of it; of larger x it takes as many as of those."""

    fraction: int
    width: int
    out: int
    k: int
    most: int
    symmetric: bool
    error: float = ERROR
    whole: int = 1 << 10

    @property
    def high_digits(self) -> int:
        return 1 << (index_digits(self.width, self.symmetric) - LOW_DIGIT)

    @property
    def last(self) -> int:
        """The highest high digit of a number."""
        return last_digit(self.width)

    def high(
        self, inside: Sequence[float], *, zero: float, below: float = 0, beyond: float = 0, scale: int = 0
    ) -> Table:
        """A table by high digits. inside: entries of the digits from 1; beyond: of those after; zero, below: of x = 0
        and x < 0. Where signs are symmetric, the entries of x < 0 follow those of x > 0: the sign is the top bit."""
        entries = [zero, *inside]
        entries += [beyond] * (self.high_digits - len(entries))
        if not self.symmetric:
            entries[-1] = below
        return rounded(entries, scale)

    def signed(self, table: Table) -> Table:
        """Of a table by high digits: with a minus sign for x < 0."""
        entries, scale = table
        return ((*entries, *(-e for e in entries)), scale) if self.symmetric else table

    def unsigned(self, table: Table) -> Table:
        entries, scale = table
        return ((*entries, *entries), scale) if self.symmetric else table


def rounded(entries: Sequence[float], scale: int) -> Table:
    return tuple(round(e * 2**scale) for e in entries), scale


@word
def by_exponent(x: Array, *, form: Form, high: tuple[Table, ...], low: tuple[Table, ...]) -> tuple[Array, ...]:
    """What the tables say of the high digit (with the sign as its top bit where signs are symmetric), then of the low
    digit, of the index of x."""
    units = jnp.round(x * 2.0**form.fraction)
    size = jnp.where((units < 0) & form.symmetric, -units - 0.5, units)
    index = jnp.where(size >= 1, FIRST - 1 + jnp.frexp(jnp.maximum(size, 1))[1], 0)
    index = jnp.where(units < 0, jnp.where(size > 0, jnp.maximum(index, MINUS_ONE), negative_index(_bits(form))), index)
    low_digit, high_digit = (
        index & 7,
        (index >> LOW_DIGIT) + jnp.where((units < 0) & form.symmetric, form.high_digits, 0),
    )
    pairs = [(table, high_digit) for table in high] + [(table, low_digit) for table in low]
    return tuple(_typed.asarray(entries, x.dtype)[digit] * 2.0**-scale for (entries, scale), digit in pairs)


def _bits(form: Form) -> int:
    return index_digits(form.width, form.symmetric)


@word
def scaled(x: Array, s: Array, *, bits: int, limit: float) -> Array:
    """x s 2^-bits without rounding, of which the function knows that it is at most `limit`: s was made for this x."""
    return x * s * 2.0**-bits


@dataclass(frozen=True, repr=False)
class Normal:
    """u: in [unit, 2 unit].  s: the scale 2^(top - place), with the sign of x where signs are symmetric.  high, low:
    what more tables say.  s_low: the part of the
    low digit in the scale."""

    u: Array
    unit: float
    s: Array
    s_low: Array
    top: int
    high: tuple[Array, ...]
    low: tuple[Array, ...]


def normal(
    x: Array, form: Form, *, last: int | None = None, high: tuple[Table, ...] = (), low: tuple[Table, ...] = ()
) -> Normal:
    """x in units of 2^-fraction is u 2^place / unit, but for high digits beyond `last`, for which s is 0.

    The scale is a product of entries for the two digits; 2^top 2^-place, with top as large as the digits ask for."""
    last = form.last if last is None else min(last, form.last)
    whole = min(last, form.whole)
    top = 8 * whole - 2
    held = min(top, form.most)
    powers = [2.0 ** (top + 2 - 8 * h) if h <= whole else 0.0 for h in range(1, last + 1)]
    scales = [form.signed(form.high(powers, zero=powers[0]))]
    if last > whole:
        scales.append(
            form.signed(form.high([2.0 ** (8 * (last - h)) * (h > whole) for h in range(1, last + 1)], zero=0))
        )
    scale_low = rounded([2.0 ** (7 - n) for n in range(8)], 0)
    unit = 2.0 ** (top - held)
    stand_in = form.unsigned(form.high([0.0] * last, zero=unit, below=unit, beyond=unit))
    first, ones, *rest = by_exponent(
        x, form=form, high=(scales[0], stand_in, *high, *scales[1:]), low=(scale_low, *low)
    )
    more, rest = tuple(rest[: len(high)]), rest[len(high) :]
    cut, (second, *least) = rest[: last > whole], rest[last > whole :]
    s = product(first, second, bits=None)
    u = scaled(x, s, bits=held - form.fraction, limit=2 * unit) + ones
    for part in cut:  # of x without its lowest bits, 8 a digit
        lost = 8 * (last - whole)
        lift = max(lost - form.fraction, 0)
        kept = form.fraction + lift - lost
        shorter = fraction(point(x, bits=lift), bits=kept)
        u = u + scaled(shorter, product(part, second, bits=None), bits=held - kept, limit=2 * unit)
    return Normal(u, unit, s, second, top, more, tuple(least))
