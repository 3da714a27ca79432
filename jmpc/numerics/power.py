"""x^y of real numbers, as plain JAX with words: 2^(y log2 x).

What goes in: x, y, the `Window` of powers of two, and f, the fraction bits of the number format. What comes out: x^y.

Domain: x > 0 and x^y up to the window's cap, 2^21 at 64 bits with 18 of fraction. For x <= 0 the result is 0, whatever
y; |y| counts up to 2^20. Error: relative (6 |y| + 16) 2^-20 and a unit of the format: y times the logarithm's error, as
the product of both keeps `SPARE` more fraction bits. Source: the definition; the logarithm and the exponential of this
folder.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jmpc.numerics import logarithm
from jmpc.numerics.dealt import Window, below
from jmpc.numerics.exponential import exponential
from jmpc.numerics.normalise import Form
from jmpc.numerics.words import number, product, within

Array = Any
SPARE = 6
MOST = 2.0**20


def power(x: Array, y: Array, *, form: Form, window: Window, f: int) -> Array:
    unit = 2.0**-form.fraction
    found = of_log(_bounded(y), logarithm.log2(x, form=form), window=window, f=f)
    return jnp.where(below(x, threshold=unit, slack=unit), 0.0, found)


def _bounded(y: Array) -> Array:
    """So that its product with a logarithm is in the format. Beyond, the logarithm's error says more than y."""
    under, over = (below(v, threshold=-MOST, slack=MOST / 2) for v in (y, -y))
    return within(jnp.where(jnp.logical_xor(under, over), 0.0, y) + MOST * (number(over) - number(under)), limit=MOST)


def of_log(y: Array, log: Array, *, window: Window, f: int) -> Array:
    """2^(y log)."""
    return exponential(product(y, log, bits=f + SPARE), window=window, f=f, base=2.0)
