"""Bits of ring elements, packed 64 elements to a word.

Layout: N elements, W = ceil(N / 64) words; element e = i * W + j is bit i of word j. So a flat array read as
(64, W) and transposed bit by bit gives its bit planes, and unpacking a plane is one shift an element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import AnyArray, Array
from jmpc.ring import reduction

WORD = np.dtype(np.uint64)
LANES = 64


def words(size: int) -> int:
    """Words of a packed array of `size` bits."""
    return -(-size // LANES)


def planes(x: Array, start: int, count: int) -> Array:
    """Bit planes start .. start + count - 1 of an unsigned array, lowest first: (count, W) words."""
    flat = lax.convert_element_type(lax.reshape(x, (x.size,)), WORD)
    width = words(x.size)
    flat = lax.pad(flat, WORD.type(0), [(0, LANES * width - x.size, 0)])
    return lax.slice_in_dim(_transpose(lax.reshape(flat, (LANES, width))), start, start + count)


def _transpose(rows: Array) -> Array:
    """Transpose each 64 x 64 bit matrix: bit j of row i goes to bit i of row j.

    A butterfly stage swaps bit fields between rows whose numbers differ in the top bit, then shuffles the rows so
    that the next bit of the number comes on top: six equal stages, so one loop, compiled once.
    """
    half = (LANES // 2, rows.shape[1])

    def stage(rows: Array, step_and_field: tuple[AnyArray, AnyArray]) -> tuple[Array, None]:
        by, field = (_typed.broadcast(x, half) for x in step_and_field)
        low, high = lax.slice_in_dim(rows, 0, half[0]), lax.slice_in_dim(rows, half[0], LANES)
        swap = lax.bitwise_and(lax.bitwise_xor(lax.shift_right_logical(low, by), high), field)
        high = lax.bitwise_xor(high, swap)
        low = lax.bitwise_xor(low, lax.shift_left(swap, by))
        shuffled = lax.concatenate([lax.expand_dims(low, (1,)), lax.expand_dims(high, (1,))], 1)
        return lax.reshape(shuffled, rows.shape), None

    steps = [32, 16, 8, 4, 2, 1]
    fields = np.array([_alternating(step) for step in steps], WORD)
    done, _ = lax.scan(stage, rows, (np.array(steps, WORD), fields))
    return done


def _alternating(step: int) -> int:
    """`step` ones, `step` zeros, and so on, from the lowest bit."""
    run = (1 << step) - 1
    return sum(run << offset for offset in range(0, LANES, 2 * step))


def _full(like: Array, value: int) -> Array:
    return lax.full(like.shape, WORD.type(value), WORD)


def unpack(packed: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Elements 0 or 1 of the given shape and dtype."""
    width = packed.shape[-1]
    lanes = _typed.broadcasted_iota(WORD, (LANES, width), 0)
    spread = _typed.broadcast_in_dim(packed, (LANES, width), (1,))
    bits = lax.bitwise_and(lax.shift_right_logical(spread, lanes), _full(spread, 1))
    flat = lax.reshape(lax.convert_element_type(bits, dtype), (LANES * width,))
    size = int(np.prod(shape, dtype=np.int64))
    return lax.reshape(lax.slice_in_dim(flat, 0, size), tuple(shape))


def pack(bits: Array) -> Array:
    """The packed words of an array of 0 and 1."""
    width = words(bits.size)
    flat = lax.convert_element_type(lax.reshape(bits, (bits.size,)), WORD)
    flat = lax.pad(flat, WORD.type(0), [(0, LANES * width - bits.size, 0)])
    return reduction.joined(lax.reshape(flat, (LANES, width)), 0)


def cut(packed: Array, size: int) -> Array:
    """The same `size` bits, and zeros where the words hold more."""
    width = packed.shape[0]
    if size == LANES * width:
        return packed
    last = lax.sub(lax.full((width,), WORD.type(size - 1), WORD), lax.iota(WORD, width))
    lanes = lax.div(last, lax.full((width,), WORD.type(width), WORD))  # of word j, the last in use
    spare = lax.sub(lax.full((width,), WORD.type(LANES - 1), WORD), lanes)
    return lax.bitwise_and(packed, lax.shift_right_logical(_full(packed, (1 << LANES) - 1), spare))


def pack_host(bits: np.ndarray) -> np.ndarray:
    """`pack` in NumPy."""
    width = words(bits.size)
    rows = np.zeros(LANES * width, WORD)
    rows[: bits.size] = bits.reshape(-1)
    return np.bitwise_or.reduce(rows.reshape(LANES, width) << np.arange(LANES, dtype=WORD)[:, None], axis=0)


def unpack_host(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`unpack` in NumPy, to bool."""
    rows = (packed[None, :] >> np.arange(LANES, dtype=WORD)[:, None]) & WORD.type(1)
    return rows.reshape(-1)[: int(np.prod(shape, dtype=np.int64))].reshape(shape).astype(bool)
