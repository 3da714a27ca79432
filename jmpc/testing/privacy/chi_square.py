"""Two chi-square tests on counts of bytes: is a byte uniform, and do two samples come from one distribution.

What goes in: counts, one row for each byte watched. What comes out: statistics with degrees of freedom, and the value
that a statistic passes with a given probability. No table and no approximation of the tail but chi-square itself.
"""

from __future__ import annotations

import functools
import math

import numpy as np

Array = np.ndarray
FEW = 20  # cells that hold fewer are counted as one


def tail(statistic: float, degrees: int) -> float:
    """Pr[chi-square with `degrees` degrees of freedom > statistic], in closed form."""
    if degrees == 0 or statistic <= 0:
        return 1.0
    half = statistic / 2
    first = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    start = 0.5 if degrees % 2 else 0.0
    powers = (start + n for n in range((degrees - degrees % 2) // 2))
    return min(1.0, first + sum(math.exp(p * math.log(half) - half - math.lgamma(p + 1)) for p in powers))


@functools.cache
def limit(degrees: int, probability: float) -> float:
    """The statistic that is passed with `probability`."""
    low, high = 0.0, 10.0 * degrees + 2000.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, degrees) > probability else (low, middle)
    return high


def uniform(counts: Array, support: Array) -> tuple[Array, Array]:
    """Statistic and degrees of each row against equal counts on its `support`, a mask of the same shape."""
    cells = support.sum(1)
    mean = counts.sum(1) / cells
    off = np.where(support, (counts - mean[:, None]) ** 2, 0).sum(1) / mean
    return off, cells - 1


def two_sample(first: Array, second: Array) -> tuple[Array, Array]:
    """Statistic and degrees of each row: do both samples, of equal size, come from one distribution? Cells with few
    counts are pooled."""
    total = first + second
    few = total < FEW
    kept = np.where(few, 0, (first - second) ** 2 / np.maximum(total, 1)).sum(1)
    rest, apart = (total * few).sum(1), ((first - second) * few).sum(1)
    pooled = np.where(rest > 0, apart**2 / np.maximum(rest, 1), 0)
    cells = (~few).sum(1) + (rest > 0)
    return kept + pooled, np.maximum(cells - 1, 0)
