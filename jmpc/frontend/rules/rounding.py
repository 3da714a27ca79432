"""Rules for rounding real numbers to whole ones."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax

from jmpc.frontend.expand import expand
from jmpc.frontend.fixed_point.divide import settled_real
from jmpc.frontend.integer import division
from jmpc.frontend.kinds import is_real
from jmpc.frontend.walk import Operand, Results, Walker, rule, word_rule
from jmpc.ir.program import Value
from jmpc.numerics.elementary import rounding


@rule("floor")
def _floor(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return w.emit("scale_up", w.emit("floor", settled_real(w, args[0])), bits=w.config.f)


@rule("ceil")
def _ceil(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return expand(w, rounding.ceil, settled_real(w, args[0]))


@rule("round")
def _round(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    even = eqn.params["rounding_method"] == jax.lax.RoundingMethod.TO_NEAREST_EVEN
    return expand(w, _rounded(even, w.config.f), settled_real(w, args[0]))


@lru_cache(maxsize=64)
def _rounded(even: bool, fraction: int) -> Any:
    return partial(rounding.half_to_even if even else rounding.half_away, fraction=fraction)


@word_rule("is_odd")
def _is_odd(w: Walker, args: list[Operand]) -> Value:
    x = w.secret(args[0])
    return w.emit("reshape", w.emit("bits", x, start=x.type.scale, width=1), shape=x.shape)


@rule("rem")
def _rem(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not is_real(eqn.invars[0].aval.dtype):
        return division.remainder(w, eqn, args)
    return expand(w, rounding.remainder, *(settled_real(w, a) if isinstance(a, Value) else a for a in args))
