"""Division and greatest common divisors of integers by loops of bounded length, as plain JAX.

What goes in: integers within the stated range, bits. What comes out: exact integers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.numerics.language import words


@lru_cache(maxsize=64)
def long_division(limit: float | None) -> Callable[[Array, Array], tuple[Array, Array]]:
    """(bits of a, lowest first; b >= 0) -> (bits of floor(a / b), remainder), one bit a step: shift in a bit of a, take
    b off if it fits. For b = 0, all ones and a. limit: of the remainder, where it is below what the dtype holds."""

    def divide(bits: Array, divisor: Array) -> tuple[Array, Array]:
        def step(rest: Array, bit: Array) -> tuple[Array, Array]:
            rest = rest if limit is None else words.within(rest, limit=limit)
            rest = rest + rest + bit.astype(rest.dtype)
            less = rest - divisor
            fits = less >= 0
            return jnp.where(fits, less, rest), fits

        rest, found = lax.scan(step, _typed.zeros_like(divisor), bits, reverse=True)
        return found, rest

    return divide


@words.word
def odd(x: Array) -> Array:
    """Whether an integer is odd."""
    return x & 1 == 1


@words.word
def halved(x: Array) -> Array:
    """x / 2 of an even integer."""
    return x >> 1


@lru_cache(maxsize=8)
def gcd(bits: int) -> Callable[[Array, Array], Array]:
    """The greatest common divisor of two integers of at most 2^bits, not negative, by halving and subtracting (Stein
    1967) in 2 bits + 1 steps: each takes a bit off one of them, until one is zero and the steps change nothing."""
    limit = float(1 << bits)

    def divisor(x: Array, y: Array) -> Array:
        def step(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            a, b = (words.within(v, limit=limit) for v in state[:2])
            odd_a, odd_b, less = odd(a), odd(b), a < b
            both, gap = odd_a & odd_b, a - b
            a: Any = jnp.where(both & ~less, gap, a)
            b = jnp.where(both & less, -gap, b)
            even_a, even_b = ~odd_a | (both & ~less), ~odd_b | (both & less)
            half_a, half_b = halved(jnp.where(even_a, a, 0)), halved(jnp.where(even_b, b, 0))
            halves = jnp.where(even_a, half_a, a), jnp.where(even_b, half_b, b)
            either: Any = odd_a | odd_b
            power = jnp.where(either, state[2], state[2] + state[2])
            return (*halves, power), None

        (a, b, power), _ = lax.scan(step, (x, y, _typed.ones_like(x)), None, length=2 * bits + 1)
        return (a + b) * power

    return divisor
