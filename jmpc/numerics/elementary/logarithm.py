"""Logarithms, as plain JAX with words.

What goes in: numbers and their `Form`. What comes out: the logarithm with `form.out` fraction bits.

Idea: log u on [1, 2], and the exponent times log 2, which needs no product: two tables add up to it.
Domain, at 64 bits with 18 of fraction: every positive number of the format.
Error: 1e-5 absolute. Outside: of zero and below, that of the smallest positive number, 2^-fraction.
"""

from __future__ import annotations

import math

from jmpc._types import Array
from jmpc.numerics.elementary.normalise import FIRST, Form, normal, rounded
from jmpc.numerics.fits.binade import LOG, LOG2, Fits
from jmpc.numerics.language.words import fraction

SPARE = 12  # fraction bits of the tables beyond those of results


def log(x: Array, *, form: Form) -> Array:
    return _log(x, form, LOG, math.log(2))


def log2(x: Array, *, form: Form, zero: float | None = None) -> Array:
    """Of |x|, where signs are symmetric. zero: of zero, if it is to be another number."""
    return _log(x, form, LOG2, 1.0, zero)


def _log(x: Array, form: Form, fits: Fits, of_two: float, zero: float | None = None) -> Array:
    digits = [of_two * (8 * h - FIRST - form.fraction) for h in range(1, form.last + 1)]
    least, scale = -of_two * form.fraction, form.out + SPARE
    high = form.unsigned(form.high(digits, zero=least if zero is None else zero, below=least, scale=scale))
    n = normal(x, form, high=(high,), low=(rounded([of_two * n for n in range(8)], scale),))
    wave = fits.at(form.error)(n)
    wave = wave if form.k >= 64 else fraction(wave, bits=scale)  # a small ring has no room for both
    return fraction(wave + (n.high[0] + n.low[0]), bits=form.out)
