"""1 / x and x / y, as plain JAX with words.

What goes in: numbers and the `Form` of the divisor. What comes out: the quotient with `form.out` fraction bits.
Domain, at 64 bits with 18 of fraction: 2^-8 <= |divisor| <= 2^16, and a quotient that the number format holds.
Error: relative 2e-5 and a unit of the result, 2^-18; of x / y relative 2e-5 and 2^-16. In another format relative
2^(1-f), a unit, and what dividing a rounding of x to 2^-(f + spare) makes of it, spare = min(9, f - 8).
Outside: 1 / 0 is that of half a unit, 2^(fraction + 1); below a unit of the result, 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce

from jmpc._types import Array
from jmpc.numerics.elementary.normalise import FIRST, LOW_DIGIT, Form, Table, normal, scaled
from jmpc.numerics.fits.binade import RECIPROCAL
from jmpc.numerics.language.words import fraction, point, product, within

LARGEST_LOW = 7  # log2 of the largest entry for a low digit


def reciprocal(x: Array, *, form: Form, bits: int | None = None) -> Array:
    """1 / x = (1/u) 2^-place, the scale being the one that made u. bits: fraction bits of the result."""
    bits = form.out if bits is None else bits
    n = normal(x, form, last=_last(form, bits))
    found = product(fraction(RECIPROCAL.at(form.error)(n), bits=_kept(form, bits)), n.s, bits=None)
    return fraction(point(found, bits=n.top - form.fraction), bits=bits)


def is_enough(form: Form, numerator: int, bits: int) -> bool:
    """Whether x times a reciprocal of `bits` fraction bits fits the ring and is precise. numerator: bits of x."""
    return numerator + form.fraction + bits + 3 <= form.k - 2 and _kept(form, bits) >= 15


def times(x: Array, inverse: Array, *, form: Form) -> Array:
    """x (1 / y), for x so small, or y, that the fraction bits of 1 / y are enough."""
    return product(x, inverse, bits=form.out)


def is_precise(form: Form) -> bool:
    """Whether the ring holds a reciprocal of `form.out` fraction bits, times the scale, with enough of them."""
    return _kept(form, form.out) >= min(15, form.out)


def _last(form: Form, bits: int) -> int:
    return min((FIRST + form.fraction + bits) >> LOW_DIGIT, form.last)


def _kept(form: Form, bits: int) -> int:
    """Fraction bits of 1/u, so that its product with the scale, of `top` + 1 bits, fits, and its point can be moved."""
    top = 8 * _last(form, bits) - 2
    return min(20, form.k - 4 - (top + 1), form.most - (top - form.fraction))


def quotient(
    x: Array, y: Array, *, form: Form, numerator: int, spread: Callable[[Array], Array] = lambda part: part
) -> Array:
    """x / y for any x whose quotient fits: x / u, times the low digit's scale, shifted by each amount that the high
    digit may ask for, and the one that it does ask for chosen. x / 0 is x 2^11 (64 bits, 18 of fraction).
    numerator: bits of x; what the ring has beyond them and the scale's is precision: x is rounded to `spare` bits more
    than results have.  spread: repeats what depends on y alone, once it is made, in the shape of x."""
    chosen = [form.signed(_one_hot(form, h)) for h in range(1, form.last + 1)]
    n = normal(y, form, high=tuple(chosen))
    spare = min(9, form.k - 3 - LARGEST_LOW - numerator)
    inverse = within(fraction(RECIPROCAL.at(form.error)(n), bits=form.out - 1), limit=1.01)
    over = product(x, spread(inverse), bits=form.out + spare)
    over = scaled(over, spread(n.s_low), bits=0, limit=2.0 ** (form.k - 3 - form.out - spare))

    def part(h: int, pick: Array) -> Array:
        shifted = _shifted(over, form.out + spare, 8 * h - form.fraction - 2, form)
        return product(spread(pick), shifted, bits=None)

    return reduce(operator.add, (part(h, pick) for h, pick in enumerate(n.high, 1)))


def _shifted(x: Array, scale: int, shift: int, form: Form) -> Array:
    """x 2^-shift with `form.out` fraction bits, of x with `scale`: in two steps where a value has not as many."""
    excess = max(scale + shift - form.most, 0)
    if excess > form.out:
        moved = form.most - scale
        return _shifted(fraction(point(x, bits=moved), bits=form.out), form.out, shift - moved, form)
    return point(fraction(point(x, bits=shift - excess), bits=form.out - excess), bits=excess)


def _one_hot(form: Form, h: int) -> Table:
    return form.high([float(n == h) for n in range(1, form.last + 1)], zero=float(h == min(2, form.last)))
