"""A number as mantissa and exponent, its product with a power of two, and its neighbour, as plain JAX with words.

What goes in: numbers and how they are held. What comes out: numbers and integers.

Domain: every number of the format. Error: none in exponents, signs and neighbours. A mantissa is cut, not rounded, to
the fraction bits of the format, so that it stays below 1. A product x 2^n is exact for n >= 0 where the format holds
it, and off by less than two units of the format for n < 0.
Idea: the mantissa is u of `normalise.py`, halved, which is x without rounding. For a power of two, n is high and low
digits: x times 2^low is exact in the bits that a product has to spare, and each high digit is a move of the point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jmpc._types import Array
from jmpc.numerics.elementary.normalise import FIRST, Form, normal, rounded
from jmpc.numerics.language.words import cut, number, point, product, whole


def parts(size: Array, negative: Array, *, form: Form) -> tuple[Array, Array]:
    """(m, e) of x = m 2^e, where 1/2 <= |m| < 1, and m = e = 0 of x = 0. size: |x|, of which `form` knows that it is no
    negative number. negative: whether x < 0."""
    exponents = [8 * h - FIRST - form.fraction + 1 for h in range(1, form.last + 1)]
    is_number = form.high([1] * form.last, zero=0)
    n = normal(size, form, high=(form.high(exponents, zero=0), is_number), low=(rounded(list(range(8)), 0),))
    mantissa = cut(point(n.u, bits=1 + round(math.log2(n.unit))), bits=form.out)
    sign = n.high[1] - 2 * number(negative)
    return product(mantissa, sign, bits=None), whole(n.high[0] + n.low[0])


def neighbour(x: Array, y: Array, *, f: int) -> Array:
    """The number next to x on the way to y, a unit of the format away; x where that is y."""
    return x + point(number(x < y), bits=f) - point(number(y < x), bits=f)


@dataclass(frozen=True)
class Digits:
    """How an exponent n of a power of two is taken apart: n = `step` high + low - `shift`, for |n| up to `most`, beyond
    which every product with a number of the format vanishes or leaves it. width, high: bits of the two digits. down:
    the high digit of n = 0."""

    width: int
    high: int
    down: int
    most: int

    @property
    def step(self) -> int:
        return 1 << self.width

    @property
    def shift(self) -> int:
        return self.down << self.width

    def low_powers(self) -> tuple[int, ...]:
        """2^low, by low digits."""
        return tuple(1 << n for n in range(self.step))

    def high_powers(self) -> tuple[int, ...]:
        """2^(step (high - down)), by high digits, where that is whole."""
        return tuple(1 << n * self.step if 0 <= n <= self._last else 0 for n in range(-self.down, self._end))

    def is_digit(self, digit: int) -> tuple[int, ...]:
        """Whether it is this one, by high digits."""
        return tuple(int(n == digit) for n in range(1 << self.high))

    @property
    def _last(self) -> int:
        return self.most >> self.width

    @property
    def _end(self) -> int:
        return (1 << self.high) - self.down


def digits_of(k: int, bits: int) -> Digits:
    """For numbers of the format, of so many bits: the low digit is what the ring has to spare."""
    width, most = (k - 4 - bits).bit_length() - 1, bits + 1
    down = -(-most >> width)
    return Digits(width, (down + (most >> width)).bit_length(), down, most)
