"""Fourier sums that are 1/u, a root or a logarithm of u on [1, 2].

What goes in: u in [unit, 2 unit], a fit. What comes out: the function, with fraction bits to spare.
Source: least squares, reweighted until the largest error is least (Lawson 1961), on odd multiples of one frequency; the
coefficients are multiples of 2^-28. Error: `Fit.error`, relative for all but the logarithms, checked by a test; `Fits`
picks by the error budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from jmpc._types import Array
from jmpc.numerics.elementary.normalise import Normal
from jmpc.numerics.fits.error_budget import allowed
from jmpc.numerics.language.dealt import series


@dataclass(frozen=True)
class Fit:
    period: float
    error: float
    sin: tuple[float, ...]
    cos: tuple[float, ...]

    def __call__(self, n: Normal) -> Array:
        return series(n.u, period=self.period * n.unit, sin=self.sin, cos=self.cos)


@dataclass(frozen=True)
class Fits:
    """Of one function, the cheapest first. stated: the error allowed at the default budget."""

    stated: float
    fits: tuple[Fit, ...]

    def at(self, budget: float) -> Fit:
        """The cheapest that is within the budget."""
        error = allowed(self.stated, budget)
        return next(fit for fit in self.fits if fit.error <= error)


QUOTIENT, OTHER = 3.5e-5, 8.5e-6  # logarithms are multiplied, and roots by norms, so they have less of the budget
RECIPROCAL = Fits(
    QUOTIENT,
    (
        Fit(12.0, 0.0029, (-0.750283126, -0.592044126), (2.26826645, -0.014226377)),
        Fit(9.0, 0.00018, (0.0554874539, -0.50165562, -0.124741483), (2.12253783, 0.54835571, -0.00442864746)),
        Fit(
            8.0,
            1.2e-05,
            (0.383591909, -0.273536935, -0.187360097, -0.0302255489),
            (2.01543508, 0.792859841, 0.134877004, -0.0011414215),
        ),
        Fit(
            7.0,
            1.2e-06,
            (0.747877281, 0.1834848, -0.00959546492, -0.0208369009, -0.00420503691),
            (1.5615647, 0.709293552, 0.251759443, 0.0529002249, 0.00462087244),
        ),
    ),
)
SQRT = Fits(
    OTHER,
    (
        Fit(14.0, 3.2e-05, (1.77406116, -0.0134443715), (0.238465849, 0.128313228)),
        Fit(16.0, 2e-06, (2.33726119, 0.105624177, -0.0581625327), (-0.0925032385, 0.396575261, 0.0119658373)),
        Fit(
            11.0,
            3.5e-08,
            (1.77156544, 0.0868707597, -0.0307580158, -0.00338955596),
            (0.0239562094, 0.228761278, 0.0276003033, -0.00186598301),
        ),
    ),
)
RSQRT = Fits(
    OTHER,
    (
        Fit(16.0, 0.00073, (-0.883637074, -0.421121307), (1.99623415, -0.307796758)),
        Fit(12.0, 3e-05, (-0.340416156, -0.733118426, -0.0159728676), (2.08620666, -0.00533571094, -0.120753635)),
        Fit(
            8.0,
            4.2e-06,
            (0.73619809, -0.0334239379, -0.0764480233, -0.0139298961),
            (1.13295296, 0.433010399, 0.0802975409, 0.00141071156),
        ),
        Fit(
            9.0,
            9.3e-08,
            (0.41985913, -0.466456477, -0.251892786, -0.029587891, 0.00232007727),
            (1.6994516, 0.564442415, -0.013440311, -0.0470110588, -0.00530859083),
        ),
    ),
)
CBRT = Fits(
    OTHER,
    (
        Fit(14.0, 2.8e-05, (1.41234631, -0.0261643529), (0.430358633, 0.112359699)),
        Fit(16.0, 2e-06, (1.90086273, 0.083929237, -0.0559422374), (0.118864667, 0.367767472, 0.0100305304)),
        Fit(
            10.0,
            4.2e-08,
            (1.44410088, 0.063090425, -0.0279507004, -0.00299714133),
            (0.21650267, 0.205898926, 0.0237040184, -0.00162351876),
        ),
    ),
)
LOG = Fits(
    OTHER,
    (
        Fit(5.0, 0.00058, (0.196363997, -0.0271726586), (-0.760665681, -0.0401015915)),
        Fit(11.0, 2.7e-05, (1.63070149, 0.577705313, 0.0350878946), (-1.64589115, -0.00580377504, 0.0828795135)),
        Fit(
            8.0,
            2.3e-06,
            (0.819944721, 0.184821252, 0.0670939311, 0.00906805322),
            (-1.21051669, -0.248296652, -0.0320086852, 0.00161042437),
        ),
        Fit(
            9.0,
            6.1e-08,
            (1.16601769, 0.534675494, 0.200530995, 0.0183792785, -0.00229680538),
            (-1.63965264, -0.331990171, 0.0498453118, 0.0406118035, 0.00398027897),
        ),
    ),
)
LOG2 = Fits(
    OTHER,
    (
        Fit(5.0, 0.00083, (0.283293363, -0.0392018594), (-1.0974086, -0.0578543693)),
        Fit(9.0, 5.5e-05, (1.48669763, 0.375664253, 0.0650125071), (-1.78421652, -0.239587251, 0.0124292374)),
        Fit(
            8.0,
            3.2e-06,
            (1.18293018, 0.266640704, 0.0967960805, 0.0130824372),
            (-1.74640642, -0.358216345, -0.0461787693, 0.0023233518),
        ),
        Fit(
            7.0,
            2.8e-07,
            (0.85679701, 0.0719474629, 0.0327590518, 0.0120905302, 0.00183665752),
            (-1.57874959, -0.343449023, -0.0964950509, -0.0178192221, -0.0013666749),
        ),
    ),
)
