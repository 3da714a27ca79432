"""Two results side by side: structure, shapes, dtypes, and numbers within a bound.

What goes in: what came out, what was expected, a bound. What comes out: nothing, or an AssertionError that shows the
worst element, both numbers, the error and the bound. Not here: where the bound comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Array = np.ndarray
Tolerance = Any  # a number, an array, or a sequence with one of these for each leaf


@dataclass(frozen=True)
class Worst:
    """The element that passes its bound most. path: where; wrong of size elements do."""

    path: str
    got: Any
    expected: Any
    error: float
    bound: float
    wrong: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.wrong} of {self.size} elements are further off than stated; the worst is {self.path}: "
            f"expected {self.expected!r}, got {self.got!r}, error {self.error:.6g}, bound {self.bound:.6g}"
        )


def assert_close(got: Any, expected: Any, tolerance: Tolerance = 0.0, note: str = "") -> None:
    """Both are pytrees of one structure, with equal shapes and dtypes, and differ by at most `tolerance`.

    tolerance: absolute; a number or an array for all leaves, or a list with one of these for each leaf. Booleans and
    integers count as numbers; a NaN or an infinity equals only itself. note: is added to the message.
    Raises AssertionError, which shows the worst element.
    """
    fault = difference(got, expected, tolerance)
    if fault is not None:
        raise AssertionError(f"{fault}\n{note}" if note else str(fault))


def difference(got: Any, expected: Any, tolerance: Tolerance = 0.0) -> Worst | str | None:
    """What `assert_close` would say; None where all is well."""
    if jax.tree.structure(got) != jax.tree.structure(expected):
        return f"the structure differs: {jax.tree.structure(got)}, expected {jax.tree.structure(expected)}"
    leaves = jax.tree_util.tree_leaves_with_path(got)
    bounds = tolerance if isinstance(tolerance, Sequence) else [tolerance] * len(leaves)
    if len(bounds) != len(leaves):
        raise ValueError(f"{len(bounds)} tolerances for {len(leaves)} results")
    found: list[Worst] = []
    for (path, one), two, bound in zip(leaves, jax.tree.leaves(expected), bounds, strict=True):
        where = f"result{jax.tree_util.keystr(path)}"
        one, two = jax.numpy.asarray(one), jax.numpy.asarray(two)
        if (one.shape, one.dtype) != (two.shape, two.dtype):
            return f"{where} is {one.dtype}{list(one.shape)}, expected {two.dtype}{list(two.shape)}"
        worst = _worst(where, np.asarray(one), np.asarray(two), np.asarray(bound, np.float64))
        found += [worst] if worst else []
    return max(found, key=lambda w: w.error - w.bound, default=None)


def _worst(where: str, got: Array, expected: Array, bound: Array) -> Worst | None:
    a, b = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    error = np.where(np.isnan(error), np.inf, error)
    bound = np.broadcast_to(bound, error.shape)
    wrong = ~(error <= bound)
    if not wrong.any():
        return None
    flat = int(np.argmax(np.where(wrong, error - np.where(np.isfinite(bound), bound, 0), -np.inf)))
    at = tuple(int(n) for n in np.unravel_index(flat, error.shape))
    path = where + (f"[{', '.join(map(str, at))}]" if at else "")
    numbers = got[at].item(), expected[at].item(), float(error[at]), float(bound[at])
    return Worst(path, *numbers, int(wrong.sum()), error.size)
