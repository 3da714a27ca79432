"""1 / x and x / y, as plain JAX with words.

What goes in: numbers and the `Form` of the divisor. What comes out: the quotient with `form.out` fraction bits.
Domain, at 64 bits with 18 of fraction: 2^-8 <= |divisor| <= 2^16, and a quotient that the number format holds.
Error: relative 2e-5 and a unit of the result, 2^-18; of x / y relative 2e-5 and 2^-16.
Outside: 1 / 0 is that of half a unit, 2^(fraction + 1); below a unit of the result, 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jmpc.numerics.normalise import FIRST, LOW_DIGIT, Form, Table, normal, scaled
from jmpc.numerics.on_binade import RECIPROCAL
from jmpc.numerics.words import fraction, point, product, within

Array = Any


def reciprocal(x: Array, *, form: Form, bits: int | None = None) -> Array:
    """1 / x = (1/u) 2^-place, the scale being the one that made u. bits: fraction bits of the result."""
    bits = form.out if bits is None else bits
    n = normal(x, form, last=(FIRST + form.fraction + bits) >> LOW_DIGIT)
    kept = min(20, form.k - 4 - (n.top + 1))
    found = product(fraction(RECIPROCAL.at(form.error)(n), bits=kept), n.s, bits=None)
    return fraction(point(found, bits=n.top - form.fraction), bits=bits)


def is_enough(form: Form, numerator: int, bits: int) -> bool:
    """Whether x times a reciprocal of `bits` fraction bits fits the ring and is precise. numerator: bits of x."""
    top = 8 * min((FIRST + form.fraction + bits) >> LOW_DIGIT, form.last) - 2
    return numerator + form.fraction + bits + 3 <= form.k - 2 and form.k - 4 - (top + 1) >= 15


def times(x: Array, inverse: Array, *, form: Form) -> Array:
    """x (1 / y), for x so small, or y, that the fraction bits of 1 / y are enough."""
    return product(x, inverse, bits=form.out)


def quotient(x: Array, y: Array, *, form: Form, spread: Callable[[Array], Array] = lambda part: part) -> Array:
    """x / y for any x whose quotient fits: x / u, times the low digit's scale, shifted by each amount that the high
    digit may ask for, and the one that it does ask for chosen. x / 0 is x 2^11 (64 bits, 18 of fraction).
    spread: repeats what depends on y alone, once it is made, in the shape of x."""
    chosen = [form.signed(_one_hot(form, h)) for h in range(1, form.last + 1)]
    n = normal(y, form, high=tuple(chosen))
    spare = 9
    inverse = within(fraction(RECIPROCAL.at(form.error)(n), bits=form.out - 1), limit=1.01)
    over = product(x, spread(inverse), bits=form.out + spare)
    over = scaled(over, spread(n.s_low), bits=0, limit=2.0 ** (form.k - 3 - form.out - spare))
    found = None
    for h, pick in enumerate(n.high, 1):
        shift = 8 * h - form.fraction - 2
        excess = max(form.out + spare + shift - form.most, 0)
        part = point(fraction(point(over, bits=shift - excess), bits=form.out - excess), bits=excess)
        part = product(spread(pick), part, bits=None)
        found = part if found is None else found + part
    return found


def _one_hot(form: Form, h: int) -> Table:
    return form.high([float(n == h) for n in range(1, form.last + 1)], zero=float(h == min(2, form.last)))
