"""Where the elements of one run lie in an array that holds many runs, and back.

What goes in: an array of a protocol on inputs of shape (runs,), or (runs, m) or (m, runs). What comes out: its columns,
one array of (runs,) for each element of a run, or the array made of columns. Packed bits come in two ways: planes, each
of one bit of every run, (..., W), or several bits a run in one packed array, the axis of runs last.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from jmpc.ring.bits import WORD, pack_host, unpack_host, words

Array = np.ndarray
Shape = tuple[int, ...]


def is_packed(shape: Shape, dtype: np.dtype, runs: int) -> bool:
    """Words of 64 runs, not a word or more for each run."""
    return dtype == WORD and runs not in shape and bool(shape) and shape[-1] % words(runs) == 0


def count(shape: Shape, dtype: np.dtype, runs: int) -> int:
    """Elements of one run. Raises ValueError where runs share elements."""
    if is_packed(shape, dtype, runs):
        return prod(shape) // words(runs)
    if runs not in shape:
        raise ValueError("elements are not runs of their own: runs share an array")
    return prod(shape) // runs


def columns(array: Array, runs: int) -> list[Array]:
    """One array of (runs,) for each element of a run."""
    if is_packed(array.shape, array.dtype, runs):
        rows = array.reshape(-1, array.shape[-1])
        bits = array.shape[-1] // words(runs)
        return [c.astype(np.uint8) for row in rows for c in unpack_host(row, (bits, runs))]
    first = np.moveaxis(array, array.shape.index(runs), 0)
    return list(first.reshape(runs, -1).T)


def placed(found: Sequence[Array], shape: Shape, dtype: np.dtype, runs: int) -> Array:
    """The inverse of `columns`."""
    if is_packed(shape, dtype, runs):
        bits = shape[-1] // words(runs)
        rows = [np.stack(found[n : n + bits]) for n in range(0, len(found), bits)]
        return np.concatenate([pack_host(r.astype(bool)) for r in rows]).reshape(shape)
    axis = shape.index(runs)
    rest = shape[:axis] + shape[axis + 1 :]
    whole = np.stack(found, 1).astype(dtype).reshape(runs, *rest)
    return np.ascontiguousarray(np.moveaxis(whole, 0, axis))
