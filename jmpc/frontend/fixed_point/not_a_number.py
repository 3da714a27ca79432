"""NaN as a case of a secret choice, which is all that NaN can be in a secure function.

What goes in: the cases of a selection or of branches. What comes out: the cases with 0 where a constant is NaN, since a
ring has none. Functions of JAX hold such a NaN for what is outside their domain (the mean of no elements, the logarithm
of a negative sum): there 0 comes out in its place, as docs/operations.md says. Of a NaN that the user chooses, a
`RangeWarning` says so at the user's line. NaN anywhere else is refused (`saturation.held`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jmpc.frontend.kinds import is_real
from jmpc.frontend.known import Known
from jmpc.ir.program import Value

if TYPE_CHECKING:
    from jmpc.frontend.walk import Operand, Walker

STANDS_IN = "a NaN is a case of a secret choice: where it is chosen, 0 comes out in its place, since a ring has no NaN"


def without(w: Walker, which: Operand, cases: Sequence[Operand]) -> list[Operand]:
    """The cases of a choice by `which`. In a public choice a NaN that is chosen is refused, so that it stays."""
    if isinstance(which, Known) and not which.owner:
        return list(cases)
    return [_with_zeros(w, case) for case in cases]


def _with_zeros(w: Walker, case: Operand) -> Operand:
    if isinstance(case, Value) or case.owner or case.concrete is None or not is_real(case.dtype):
        return case
    array = np.asarray(case.concrete)
    where = np.isnan(array.astype(np.float64))
    if not where.any():
        return case
    if not w.inside and not w.shared.place.is_of_jax:
        w.shared.warn(w.build.loc, STANDS_IN)
    return w.once(("numbers", case), lambda: dataclasses.replace(case, concrete=np.where(where, 0, array)))
