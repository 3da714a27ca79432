"""Sums and joins along long axes, in the form that XLA makes few and fast kernels of.

In: arrays of integers or bits. Out: what one `lax.reduce` gives, to the bit: the sum modulo the dtype's 2^n, or the OR.

XLA:CPU cuts a reduction over 32 terms or more into two programs with an array between them, for the sake of rounding
that integers do not have. In levels of few terms it is left as it is, unless they merge, as levels of a short sum may:
sums and packed bits of a million elements are 5 to 10 times as fast, and code that packs compiles in half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax

from jmpc import _typed
from jmpc._types import AnyArray, Array

LEVEL = 16
_BYTE = 8


def total(x: AnyArray, axes: Sequence[int]) -> Array:
    """The sum over the axes, which are gone then."""
    return _reduced(x, lax.add, sorted(axes))


def joined(bits: AnyArray, axis: int) -> Array:
    """Words whose bit i is element i, 0 or 1, along an axis, of which the dtype has at least as many bits."""
    if bits.shape[axis] > _BYTE:
        bytes_ = joined(_split(bits, axis, _BYTE), axis + 1)
        return _either(bytes_, axis, _BYTE)
    return _either(bits, axis, 1)


def _either(words: AnyArray, axis: int, by: int) -> Array:
    """The OR along an axis of words, each shifted by `by` bits more than that before it."""
    places = _typed.broadcasted_iota(words.dtype, words.shape, axis)
    shifts = lax.mul(places, lax.full_like(places, by))
    return _reduced(lax.shift_left(words, shifts), lax.bitwise_or, [axis])


def _reduced(x: AnyArray, combine: Any, axes: Sequence[int]) -> Array:
    """axes: ascending. Where one is long, its last level goes first."""
    inner: list[int] = []
    outer: list[int] = []
    for axis in axes:
        at = axis + len(inner)
        outer.append(axis)
        if x.shape[at] > LEVEL:
            x = _split(x, at, LEVEL)
            inner.append(at + 1)
    if not inner:
        return lax.reduce(x, x.dtype.type(0), combine, axes)
    return _reduced(lax.reduce(x, x.dtype.type(0), combine, inner), combine, outer)


def _split(x: AnyArray, axis: int, size: int) -> Array:
    """An axis as two, of blocks and of places in a block; zeros fill the last block."""
    spare = -x.shape[axis] % size
    if spare:
        x = lax.pad(x, x.dtype.type(0), [(0, spare if d == axis else 0, 0) for d in range(x.ndim)])
    return lax.reshape(x, (*x.shape[:axis], x.shape[axis] // size, size, *x.shape[axis + 1 :]))
