"""Exponentials as plain JAX over the words of `dealt.py`.

What goes in: an array and the `Window` of its powers of two. What comes out: the exponential, 0 where it is below half
a unit of the number format, and the largest number of the window where it is above that.

Source: protocols/replicated/exponential.py. Error: relative 2^-16 and absolute 2^-f for f = 18 at k = 64
(tests/numerics/test_exponential.py sweeps it in floating point, tests/operations through the protocol).
"""

from __future__ import annotations

import math
from functools import lru_cache

import jax.numpy as jnp

from jmpc._types import Array
from jmpc.config import Config
from jmpc.numerics.language.dealt import Window, below, power_of_two
from jmpc.numerics.language.words import fraction, number, within

FAR = 5.0  # exp(-x^2) is less than the last fraction bit from 4.4 on
CAP_SLACK = 2.0**-14  # the cap is met within this much of its logarithm


@lru_cache(maxsize=256)
def window(k: int, f: int, most: int | None = None) -> Window:
    """Of a ring of k bits with f fraction bits. most: exponents stay below it; else as far up as the ring allows."""
    value_bits = k - 2 - 2 * f
    low, dealt, known = (3, f + 7, min(16, f + 9)) if k >= 64 else (2, f + 3, 10)
    room = min(k - 2 - dealt - known, value_bits)
    top = room if most is None else min(room, most)
    high = next(n for n in range(1, 7) if top - ((1 << n) - 1) * (1 << low) < -(f + 1))
    return Window(top, high, low, dealt + known, known)


def of_config(config: Config, most: int | None = None) -> Window:
    return window(config.k, config.f, most)


def largest(w: Window, base: float = math.e) -> float:
    """The argument from which an exponential is at its cap."""
    return (w.top * math.log(2) - 2 * CAP_SLACK) / math.log(base)


def smallest(w: Window, f: int, base: float = math.e) -> tuple[float, float]:
    """(threshold, slack): below the threshold the result is 0; within the slack above it either 0 or exact."""
    zero = -(f + 1) * math.log(2) / math.log(base)
    spare = zero - w.least * math.log(2) / math.log(base)
    slack = 2.0 ** math.floor(math.log2(spare))
    return zero - slack, slack


def exponential(x: Array, *, window: Window, f: int, base: float = math.e) -> Array:
    """base^x. Domain: every x; exact from the window's least exponent to its top, 0 below and capped above."""
    power = fraction(power_of_two(x, rate=math.log2(base), window=window), bits=f)
    cap, (zero, slack) = largest(window, base), smallest(window, f, base)
    over = jnp.logical_not(below(x, threshold=cap, slack=CAP_SLACK / math.log(base)))
    under = below(x, threshold=zero, slack=slack)
    inside = jnp.where(jnp.logical_xor(over, under), 0.0, power)
    return within(inside + base**cap * number(over), limit=2.0**window.top)


@lru_cache(maxsize=64)
def precise_window(k: int, f: int) -> Window:
    """For powers of at most one, with f fraction bits: relative and absolute 2^-24 at 64 bits."""
    low, scale = 2, min(2 * f, k - 4)
    high = next(n for n in range(1, 7) if 1 - ((1 << n) - 1) * (1 << low) < -(f + 1))
    return Window(1, high, low, scale, (scale - 3) // 2)


def falling(x: Array, *, window: Window, f: int, base: float = math.e) -> Array:
    """base^x for x <= 0: no cap, and half the dealt words, where `window` was made with most=1."""
    power = fraction(power_of_two(x, rate=math.log2(base), window=window), bits=f)
    zero, slack = smallest(window, f, base)
    under = below(x, threshold=zero, slack=slack)
    return within(jnp.where(under, 0.0, power), limit=1.0 + 2.0**-10)


def less_one(x: Array, *, window: Window, f: int, base: float = math.e) -> Array:
    """base^x - 1. Its absolute error is that of base^x: a small x keeps what the number format has of it."""
    return exponential(x, window=window, f=f, base=base) - 1


def sinh(x: Array, *, window: Window, f: int, base: float = math.e) -> Array:
    """(e^x - e^-x) / 2, its halves as powers of less."""
    return _half(x, window, f) - _half(-x, window, f)


def cosh(x: Array, *, window: Window, f: int, base: float = math.e) -> Array:
    return _half(x, window, f) + _half(-x, window, f)


def _half(x: Array, window: Window, f: int) -> Array:
    return exponential(x - math.log(2), window=window, f=f)


def bell(x: Array) -> Array:
    """exp(-x^2) for every x: beyond `FAR` it is 0, where x^2 would leave the number format."""
    near = jnp.logical_and(*(below(v, threshold=FAR, slack=FAR / 8) for v in (x, -x)))
    return jnp.exp(-within(jnp.where(near, x * x, FAR**2), limit=2 * FAR**2))
