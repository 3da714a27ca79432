"""Words for what party 2 deals: Fourier sums, powers of two, and comparisons that may be a little off.

What goes in: arrays and static parameters. What comes out: in plain JAX, what the word means; in a secure function,
three rounds whatever the size. A result of `series` and of `power_of_two` has fraction bits to spare: what is added to
it before `words.fraction` is rounded with it, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from jmpc import _typed
from jmpc._types import Array
from jmpc.numerics.language.words import word


@dataclass(frozen=True)
class Window:
    """Where a power of two is exact: exponents from `least` up to `top`, not included. high, low: bits of the digit
    that picks a dealt word, and of the whole part below it.  scale, known: fraction bits of the product of a dealt word
    and a known factor, and of the factor."""

    top: int
    high: int
    low: int
    scale: int
    known: int

    @property
    def least(self) -> int:
        return self.top - (1 << (self.high + self.low)) + (1 << self.low)


@word
def series(x: Array, *, period: float, sin: tuple[float, ...] = (), cos: tuple[float, ...] = ()) -> Array:
    """The sum over n = 1, 3, 5, ... of sin_n sin(2 pi n x / period) + cos_n cos(2 pi n x / period), for every x, with
    fraction bits to spare. `jmpc.numerics.fits.least_maximum` finds the coefficients; two dealt words and 3 rounds for
    a harmonic."""
    angle = 2 * jnp.pi * x / period
    total = _typed.zeros_like(x)
    for n, (a, b) in enumerate(zip(*padded(sin, cos), strict=True)):
        total = total + a * jnp.sin((2 * n + 1) * angle) + b * jnp.cos((2 * n + 1) * angle)
    return total


def padded(sin: tuple[float, ...], cos: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The two lists at the same length."""
    count = max(len(sin), len(cos))
    return (*sin, *(0.0,) * (count - len(sin))), (*cos, *(0.0,) * (count - len(cos)))


@word
def power_of_two(x: Array, *, rate: float, window: Window) -> Array:
    """2^(rate x) where rate x is in the window, with fraction bits to spare; elsewhere anything."""
    return jnp.exp2(jnp.clip(rate * x, window.least, window.top))


@word
def below(x: Array, *, threshold: float, slack: float) -> Array:
    """[x < threshold], and for x from there up to threshold + slack either answer: its low bits are not looked at."""
    return x < threshold
