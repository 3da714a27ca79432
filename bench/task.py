"""One benchmark task: what to compute, on what, and how to judge the result.

In: a plain JAX function and a maker of its inputs. Out: a `Workload`, the same for jmpc, the rival and the plaintext
reference. This file measures nothing, and imports neither jmpc nor the rival.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

Arrays = tuple[np.ndarray, ...]


def largest_difference(args: Sequence[np.ndarray], exact: np.ndarray, got: np.ndarray) -> float:
    """Largest absolute difference between the exact result and the one computed."""
    return float(np.max(np.abs(np.asarray(got, np.float64) - exact)))


def largest_shortfall(args: Sequence[np.ndarray], exact: np.ndarray, got: np.ndarray) -> float:
    """How far the picked elements fall short of their row's maximum: the index itself says nothing at near ties."""
    rows = np.asarray(args[0], np.float64)
    picked = np.asarray(got).astype(np.int64)
    if picked.min() < 0 or picked.max() >= rows.shape[1]:
        return math.inf
    return float(np.max(rows.max(axis=1) - np.take_along_axis(rows, picked[:, None], axis=1)[:, 0]))


@dataclass(frozen=True)
class Workload:
    """One task: what to compute, on what, and how to judge the result. accurate_rival: the rival's exponential in its
    accurate mode (SPU: EXP_PADE) in place of its default."""

    name: str
    function: Callable[..., jax.Array]
    draw: Callable[[np.random.Generator], Arrays]
    output_shape: tuple[int, ...]
    error: Callable[[Sequence[np.ndarray], np.ndarray, np.ndarray], float] = largest_difference
    accurate_rival: bool = False

    def inputs(self, seed: int) -> Arrays:
        """The secret arguments, float32, the same for the same seed."""
        return tuple(array.astype(np.float32) for array in self.draw(np.random.default_rng(seed)))


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Standard normal arrays of these shapes."""
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)
