"""Scales for public numbers: how many fraction bits a constant needs."""

from __future__ import annotations

import math

import numpy as np

from jmpc.config import Config

MOST_SPARE = 16  # fraction bits beyond those of the format, as the types allow


def exact_scale(array: np.ndarray, most: int) -> int | None:
    """The fewest fraction bits, up to `most`, with which every element is exact; None if there is none."""
    wide = np.asarray(array, np.float64)
    for scale in range(most + 1):
        shifted = np.ldexp(wide, scale)
        if (shifted == np.rint(shifted)).all():
            return scale
    return None


def factor_scale(array: np.ndarray, config: Config) -> int:
    """Fraction bits for a public factor: exact where few suffice, else about 18 significant bits for a small one."""
    exact = exact_scale(array, config.f)
    if exact is not None:
        return exact
    largest = float(np.abs(np.asarray(array, np.float64)).max())
    spare = max(0, -math.ceil(math.log2(largest))) if largest > 0 else 0
    return min(config.f + min(spare, MOST_SPARE), config.k - 4 - config.f)
