"""Sine, cosine and tangent: one harmonic, whose period is the function's own.

What goes in: an array. What comes out: the function, for every x. Source: protocols/replicated/periodic.py. Error: 2
units of the number format, and |x| 2^-43 (at k = 64) for the rounding of the period; a tangent has that of a division.
"""

from __future__ import annotations

import math
from typing import Any

from jmpc.numerics.dealt import series
from jmpc.numerics.words import within

Array = Any
MOST = 1.0 + 2.0**-10


def sin(x: Array) -> Array:
    return within(series(x, period=2 * math.pi, sin=(1.0,)), limit=MOST)


def cos(x: Array) -> Array:
    return within(series(x, period=2 * math.pi, cos=(1.0,)), limit=MOST)


def tan(x: Array) -> Array:
    return sin(x) / cos(x)
