"""Square roots, their reciprocals, and cube roots, as plain JAX with words.

What goes in: numbers and their `Form`. What comes out: the root with `form.out` fraction bits. gain: the result is that
many times the root, which costs nothing: it is in a table.

Idea: the root of u on [1, 2], times the root of 2^e, which two tables multiply to.
Domain, at 64 bits with 18 of fraction: the whole number format.
Error: relative 2e-5 and a unit of the result, 2^-18; in another format relative 2^(2-f), at 32 bits at least 2^-7.
Outside: sqrt of what is below zero is 0; rsqrt of zero and below is that of half a unit, 2^((fraction + 1) / 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp

from jmpc._types import Array
from jmpc.numerics.elementary.normalise import FIRST, LOW_DIGIT, Form, Normal, Table, normal, rounded
from jmpc.numerics.fits.binade import CBRT, RSQRT, SQRT, Fits
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import fraction, product

Root = Callable[..., Array]


def sqrt(x: Array, *, form: Form, gain: float = 1.0) -> Array:
    up = [2.0 ** (4 * (h - 1)) for h in range(1, form.last + 1)]
    lowest = (8 - FIRST - form.fraction) / 2 + math.log2(gain)
    precise, kept = _bits(form, form.last, lowest)
    return _times_root(x, form, SQRT, form.high(up, zero=0), _halves(lowest, 0.5, precise), kept)


def rsqrt(x: Array, *, form: Form, gain: float = 1.0) -> Array:
    most = 2 * math.ceil(form.out + math.log2(gain)) + form.fraction + FIRST + 2
    last = min(form.last, max(most >> LOW_DIGIT, 1))  # beyond: below half a unit
    down = [2.0 ** (4 * (last - h)) for h in range(1, last + 1)]
    highest = (form.fraction + FIRST - 8 * last) / 2 + math.log2(gain)
    precise, kept = _bits(form, last, highest - 3.5)
    high = form.high(down, zero=down[0], below=down[0])
    return _times_root(x, form, RSQRT, high, _halves(highest, -0.5, precise), kept)


def of_ranges(
    low: Array, high: Array, *, root: Root, forms: tuple[Form, Form], gains: tuple[float, float], most: float
) -> Array:
    """`root` of low, or of high where that is too large for low to hold: from most / 2 on, either."""
    small = below(high, threshold=most / 2, slack=most / 2)
    first, second = (root(x, form=f, gain=g) for x, f, g in zip((low, high), forms, gains, strict=True))
    return jnp.where(small, first, second)


def _bits(form: Form, last: int, least: float) -> tuple[int, int]:
    """Bits of the least entry of the low digit's table, 2^least, and of the root of u, so that their product with the
    largest entries fits the ring, and its fraction bits a value: the high digit takes 4 bits a step, the low one 4."""
    spare = min(form.k - 5 - 4 * (last - 1) - 4, form.most + math.floor(least))
    precise = max(spare // 2, math.floor(least))  # of a large root of few fraction bits: an entry is an integer
    return precise, spare - precise


def _halves(start: float, step: float, precise: int) -> Table:
    """2^(start + step n) with `precise` bits in the least."""
    powers = [start + step * n for n in range(8)]
    return rounded([2.0**p for p in powers], precise - int(min(powers) // 1))


def _times_root(x: Array, form: Form, fits: Fits, high: Table, low: Table, kept: int) -> Array:
    n: Normal = normal(x, form, high=(high,), low=(low,))
    factor = product(n.high[0], n.low[0], bits=None)
    return product(fraction(fits.at(form.error)(n), bits=min(kept, form.most - low[1])), factor, bits=form.out)


def cbrt(x: Array, *, form: Form) -> Array:
    """Signs are symmetric. The tables' product is rounded, while u is made."""
    largest = -(-(8 * form.last - 2 - form.fraction) // 3)
    precise = min(20, (form.k - 8 - largest) // 2, (form.most - 4) // 2)
    up = [2.0 ** ((8 * h - FIRST - form.fraction) / 3) for h in range(1, form.last + 1)]
    high = form.signed(form.high(up, zero=0, scale=precise + 4))
    low = rounded([2.0 ** (n / 3) for n in range(8)], precise)
    n = normal(x, form, high=(high,), low=(low,))
    factor = product(n.high[0], n.low[0], bits=precise + 4)
    return product(fraction(CBRT.at(form.error)(n), bits=precise), factor, bits=form.out)
