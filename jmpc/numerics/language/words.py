"""Words: what a function of `numerics/` says to the compiler that plain JAX cannot say.

What goes in: arrays and static parameters. What comes out: in plain JAX, what the word means, so that error is measured
in floating point; in a secure function, the front end meets the word as a jitted call of a known name and does what
`frontend/rules/language.py` says. Words are for the bodies of `numerics/`, which are substituted after differentiation:
they have no gradients of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import jax.numpy as jnp

from jmpc import _typed
from jmpc._types import Array

PREFIX = "jmpc_word_"
_KNOWN: dict[str, tuple[str, dict[str, Any]]] = {}


R = TypeVar("R")  # an array, or a tuple of them


def word(meaning: Callable[..., R]) -> Callable[..., R]:
    """Make a word of a plain JAX function: positional arguments are arrays, keyword arguments static and hashable."""

    def call(*arrays: Array, **static: Any) -> R:
        return _jitted(meaning, tuple(sorted(static.items())))(*arrays)

    call.__name__, call.__doc__ = meaning.__name__, meaning.__doc__
    return call


@lru_cache(maxsize=4096)
def _jitted(meaning: Callable[..., Any], static: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    def marked(*arrays: Array) -> Any:
        return meaning(*arrays, **dict(static))

    name = PREFIX + meaning.__name__ + "_" + hashlib.sha256(repr(static).encode()).hexdigest()[:16]
    _KNOWN[name] = meaning.__name__, dict(static)
    marked.__name__ = name
    return _typed.jit(marked)


def meant_by(name: str) -> tuple[str, dict[str, Any]] | None:
    """(word, static parameters) of a jitted call's name, if it is a word."""
    return _KNOWN.get(name) if name.startswith(PREFIX) else None


@word
def fraction(x: Array, *, bits: int) -> Array:
    """`x` held with this many fraction bits from here on: rounded, or widened at no cost."""
    return x


@word
def product(x: Array, y: Array, *, bits: int | None) -> Array:
    """x y, rounded once to this many fraction bits; with None not at all (their fraction bits add up)."""
    return x * y


@word
def point(x: Array, *, bits: int) -> Array:
    """x 2^-bits, exactly and free: the same integer with its point moved. Negative bits are a shift to the left, for
    which the integer must have as many fraction bits."""
    return x * 2.0**-bits


@word
def cut(x: Array, *, bits: int) -> Array:
    """The largest number with this many fraction bits that is not above `x`."""
    return jnp.floor(x * 2.0**bits) * 2.0**-bits


@word
def whole(x: Array) -> Array:
    """As an integer: `x` has no fraction bits."""
    return x.astype(jnp.int32)


@word
def within(x: Array, *, limit: float) -> Array:
    """`x`, of which the function knows that |x| <= limit."""
    return x


@word
def number(bit: Array) -> Array:
    """A bool as the number 0 or 1 without fraction bits, so that a product with it needs no rounding."""
    return bit.astype(jnp.float32)
