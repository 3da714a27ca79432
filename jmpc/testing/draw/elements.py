"""Numbers to draw: ring elements with their edges, fixed-point values, bits.

What goes in: a ring width or a configuration, bits, a bound, a shape. What comes out: hypothesis strategies. Arrays
hold a few numbers that hypothesis chose, repeated to fill their shape, so that a large array is drawn quickly and
shrinks to a small one. Not here: shapes and shares (`strategies.py`), programs (`jax_programs.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config

Array = np.ndarray
BLOCK_BITS = 5  # comparisons cut numbers into blocks of up to so many bits
FEW = 9


def edges(bits: int) -> list[int]:
    """Signed numbers at the ends of `bits` bits, at the borders of blocks, and +-2^(bits-2), in ascending order."""
    top = 1 << (bits - 1)
    found = {0, 1, -1, 2, -2, top - 1, -top, top >> 1, -(top >> 1)}
    for n in range(3, bits + 1, BLOCK_BITS):
        found |= {1 << (n - 1), (1 << (n - 1)) - 1, -(1 << (n - 1)), 1 - (1 << (n - 1))}
    return sorted(v for v in found if -top <= v < top)


def ring_elements(ring: Config | int = 64, bits: int | None = None) -> st.SearchStrategy[int]:
    """Elements of Z_2^k as signed integers of `bits` bits, -2^(bits-1) to 2^(bits-1) - 1; edges are drawn often, and
    all shrink towards 0.

    ring: k, or a configuration. bits: k by default. Raises ValueError for bits outside 1 to k.
    """
    k = ring.k if isinstance(ring, Config) else ring
    bits = k if bits is None else bits
    if not 1 <= bits <= k:
        raise ValueError(f"{bits} bits in a ring of {k}")
    top = 1 << (bits - 1)
    return st.one_of(st.integers(-top, top - 1), st.sampled_from(_by_size(edges(bits))))


def _by_size(numbers: Iterable[int]) -> list[int]:
    """Small ones first, since examples shrink to what comes first; of two as large, the positive one."""
    return sorted(numbers, key=lambda n: (abs(n), n < 0))


def ring_arrays(shape: tuple[int, ...], ring: Config | int = 64, bits: int | None = None) -> st.SearchStrategy[Array]:
    """int64 arrays of `ring_elements` (rings of up to 64 bits)."""
    return filled(shape, ring_elements(ring, bits), np.int64)


def fixed_point(
    config: Config | None = None,
    bound: float | None = None,
    scale: int | None = None,
    shape: tuple[int, ...] | None = None,
) -> st.SearchStrategy[float] | st.SearchStrategy[Array]:
    """Numbers that the format holds exactly: multiples of 2^-scale of magnitude at most `bound`.

    config: the default one. bound: the contract of the number format by default, below 2^(k-2-2f). scale: f by
    default. shape: with it, float64 arrays; without it, single floats. Edges are the unit in the last place, whole
    numbers, the bound and its neighbour. Raises ValueError for a bound that is not positive.
    """
    config = config or Config()
    scale = config.f if scale is None else scale
    most = (1 << (config.value_bits + scale)) - 1 if bound is None else math.floor(math.ldexp(bound, scale))
    if most < 0 or (bound is not None and bound <= 0):
        raise ValueError(f"bound {bound} is not positive")
    one = 1 << scale
    ends = {v for n in (0, 1, one // 2, one, one + 1, most - 1, most) if 0 <= n <= most for v in (n, -n)}
    small = st.integers(-min(most, 8 * one), min(most, 8 * one))
    units = st.one_of(small, st.integers(-most, most), st.sampled_from(_by_size(ends)))
    numbers = units.map(lambda n: math.ldexp(n, -scale))
    return numbers if shape is None else filled(shape, numbers, np.float64)


def bit_arrays(shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """bool arrays."""
    return filled(shape, st.booleans(), np.bool_)


def filled(shape: tuple[int, ...], one: st.SearchStrategy[Any], dtype: Any) -> st.SearchStrategy[Array]:
    """Arrays of `shape` that repeat one to nine drawn values."""
    return st.lists(one, min_size=1, max_size=FEW).map(lambda few: np.resize(np.array(few, dtype), shape))
