"""One line of docs/operations.md: an operation, where it is tested, and what its error may be.

What goes in: a JAX function and the arrays that it is tried on. What comes out: an `Entry`. Tolerances are those that
the documentation states; the test holds the secure function to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
STEP = 2.0**-18  # inputs lie on the grid of the number format, so that only the function's own error counts


@dataclass(frozen=True)
class Entry:
    """absolute, relative: the error may be the larger of both; 0 and 0 mean exact. limited: how, where an operation is
    not supported in full. spu: SPU's error or its figure, where it is known."""

    name: str
    group: str
    function: Callable[..., Any]
    inputs: Callable[[], Arrays]
    domain: str = "all values"
    absolute: float = 0.0
    relative: float = 0.0
    limited: str = ""
    spu: str = ""


def on_grid(x: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(x, np.float64) / STEP) * STEP


def span(low: float, high: float, count: int = 63, around: float | None = None) -> np.ndarray:
    """Numbers from `low` to `high`, both ends, some of them near `around`."""
    even = np.linspace(low, high, count)
    near = [] if around is None else [around + sign * 2.0**-n for n in range(1, 17, 3) for sign in (1, -1)]
    return on_grid(np.array([*even, *(v for v in near if low <= v <= high)])).astype(np.float32)


def scales(low: float, high: float, count: int = 63) -> np.ndarray:
    """Numbers from `low` to `high`, evenly in their logarithm: both must be positive."""
    return on_grid(np.geomspace(low, high, count)).astype(np.float32)


def both_signs(x: np.ndarray) -> np.ndarray:
    return np.concatenate([-x[::-1], x])


def one(x: np.ndarray) -> Callable[[], Arrays]:
    return lambda: (x,)


def two(x: np.ndarray, y: np.ndarray) -> Callable[[], Arrays]:
    """All pairs of a few elements of each."""
    xs, ys = x[:: max(len(x) // 9, 1)], y[:: max(len(y) // 9, 1)]
    left, right = np.meshgrid(xs, ys, indexing="ij")
    return lambda: (left.ravel(), right.ravel())


def normal(*shapes: tuple[int, ...], scale: float = 1.0, seed: int = 0) -> Callable[[], Arrays]:
    rng = np.random.default_rng(seed)
    arrays = tuple(on_grid(scale * rng.standard_normal(shape)).astype(np.float32) for shape in shapes)
    return lambda: arrays


def integers(
    dtype: Any, *shapes: tuple[int, ...], low: int | None = None, high: int | None = None
) -> Callable[[], Arrays]:
    """Any values of the dtype, its ends among them, or values from `low` to `high`."""
    info, rng = np.iinfo(dtype), np.random.default_rng(1)
    first, last = info.min if low is None else low, info.max if high is None else high
    arrays = []
    for shape in shapes:
        drawn = rng.integers(first, last, shape, dtype=dtype, endpoint=True)
        ends = np.array([first, last, 0, 1, max(first, -1)], dtype)[: drawn.size]
        drawn.reshape(-1)[: ends.size] = rng.permutation(ends)
        arrays.append(drawn)
    return lambda: tuple(arrays)


def bits(*shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    rng = np.random.default_rng(2)
    arrays = tuple(rng.integers(0, 2, shape).astype(bool) for shape in shapes)
    return lambda: arrays
