"""x^y, as plain JAX with words: 2^(y log2 |x|), with the sign that x and a whole y give it.

What goes in: x, y, the `Window` of powers of two, and f, the fraction bits of the number format. What comes out: x^y.

Domain: x^y up to the window's cap, 2^21 at 64 bits with 18 of fraction, which it saturates at; |y| counts up to 2^20.
Of a negative x the power is 0 where y is not whole. Of x = 0 it is 0 for y > 0 (for a real y from 2^-9 on), 1 for y = 0
and the cap below. Error: relative (6 |y| + 16) 2^-20 and a unit of the format: y times the logarithm's error, as the
product of both keeps `SPARE` more fraction bits. Source: the definition; the logarithm and the exponential of this
folder.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp

from jmpc import _typed
from jmpc._types import Array
from jmpc.numerics.elementary import logarithm
from jmpc.numerics.elementary.exponential import exponential
from jmpc.numerics.elementary.integer_steps import odd
from jmpc.numerics.elementary.normalise import Form
from jmpc.numerics.language.dealt import Window, below
from jmpc.numerics.language.words import number, product, within, word

SPARE = 6
MOST = 2.0**20


@word
def parity(y: Array) -> tuple[Array, Array]:
    """Whether y is whole, and whether floor(y) is odd."""
    return jnp.floor(y) == y, jnp.floor(y) % 2 == 1


def power(x: Array, y: Array, *, form: Form, window: Window, f: int) -> Array:
    """Of a real y. The form of x is symmetric, but where x is known to be no negative number."""
    log = logarithm.log2(x, form=form, zero=-_least_log(form))
    size = of_log(_bounded(y), log, window=window, f=f)
    return with_sign(size, x < 0, *parity(y)) if form.symmetric else size


def whole_power(x: Array, y: Array, *, form: Form, window: Window, f: int) -> Array:
    """Of an integer y of at most 2^20 in magnitude."""
    wide = form.k >= 64
    log = logarithm.log2(x, form=replace(form, out=f + SPARE if wide else f), zero=-(64.0 if wide else 16.0))
    size = exponential(product(y, log, bits=None), window=window, f=f, base=2.0)
    return jnp.where(jnp.logical_and(x < 0, odd(y)), -size, size) if form.symmetric else size


def chain(x: Array, *digits: Array) -> Array:
    """Of small whole exponents, by squares of x. digits: of the exponents, from the lowest on, where each is set, and
    where it or a higher one is; elsewhere nothing is squared, which the number format might not hold."""
    square, found = x, _typed.ones_like(x)
    for n, (is_set, needed) in enumerate(zip(digits[::2], digits[1::2], strict=True)):
        square = jnp.where(needed, square * square if n else square, 1.0)
        factor = jnp.where(is_set, square, 1.0)
        found = found * factor if n else factor
    return found


def with_sign(size: Array, negative: Array, whole: Array, is_odd: Array) -> Array:
    """The power of a number of which |x|^y is `size`."""
    kept = jnp.where(jnp.logical_and(negative, jnp.logical_not(whole)), 0.0, size)
    turned = jnp.where(jnp.logical_and(negative, jnp.logical_and(whole, is_odd)), size, 0.0)
    return kept - 2 * turned


def _least_log(form: Form) -> float:
    """So much that a small y makes a power of zero vanish, and that its product with a large y is in the format."""
    return 2.0 ** min(14 if form.k >= 64 else 7, form.k - 2 - 2 * form.out - 2)


def _bounded(y: Array) -> Array:
    """So that its product with a logarithm is in the format. Beyond, the logarithm's error says more than y."""
    under, over = (below(v, threshold=-MOST, slack=MOST / 2) for v in (y, -y))
    return within(jnp.where(jnp.logical_xor(under, over), 0.0, y) + MOST * (number(over) - number(under)), limit=MOST)


def of_log(y: Array, log: Array, *, window: Window, f: int) -> Array:
    """2^(y log)."""
    return exponential(product(y, log, bits=f + SPARE), window=window, f=f, base=2.0)
