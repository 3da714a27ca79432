"""Fourier sums that are 1/u, a root or a logarithm of u on [1, 2].

What goes in: u in [unit, 2 unit], a fit. What comes out: the function, with fraction bits to spare.
Source: least squares, reweighted until the largest error is least (Lawson 1961), on odd multiples of one frequency; the
coefficients are multiples of 2^-28. Error: `Fit.error`, relative for all but the logarithms, checked by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jmpc.numerics.dealt import series
from jmpc.numerics.normalise import Normal

Array = Any


@dataclass(frozen=True)
class Fit:
    period: float
    error: float
    sin: tuple[float, ...]
    cos: tuple[float, ...]

    def __call__(self, n: Normal) -> Array:
        return series(n.u, period=self.period * n.unit, sin=self.sin, cos=self.cos)


RECIPROCAL = Fit(
    8.0,
    1.2e-5,
    (0.383591909, -0.273536935, -0.187360097, -0.0302255489),
    (2.01543508, 0.792859841, 0.134877004, -0.0011414215),
)
SQRT = Fit(16.0, 2e-6, (2.33726119, 0.105624177, -0.0581625327), (-0.0925032385, 0.396575261, 0.0119658373))
RSQRT = Fit(
    8.0,
    4.2e-6,
    (0.73619809, -0.0334239379, -0.0764480233, -0.0139298961),
    (1.13295296, 0.433010399, 0.0802975409, 0.00141071156),
)
CBRT = Fit(16.0, 2e-6, (1.90086273, 0.083929237, -0.0559422374), (0.118864667, 0.367767472, 0.0100305304))
LOG = Fit(
    8.0,
    2.3e-6,
    (0.819944721, 0.184821252, 0.0670939311, 0.00906805322),
    (-1.21051669, -0.248296652, -0.0320086852, 0.00161042437),
)
LOG2 = Fit(
    8.0,
    3.2e-6,
    (1.18293018, 0.266640704, 0.0967960805, 0.0130824372),
    (-1.74640642, -0.358216345, -0.0461787693, 0.0023233518),
)
