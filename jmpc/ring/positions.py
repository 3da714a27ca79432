"""Numbers of places in a row, 0 .. n - 1: the narrowest dtype that holds them.

What goes in: the length of a row. What comes out: a dtype, in which places are shared too: sums wrap at its width.
"""

from __future__ import annotations

import numpy as np


def positions(n: int) -> np.dtype:
    """The narrowest dtype of the numbers 0 .. n - 1."""
    return next(np.dtype(f"uint{bits}") for bits in (8, 16, 32) if n <= 1 << bits)
