"""Rules for real functions of a normalised argument: roots, logarithms, powers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax

from jmpc.frontend.expand import expand
from jmpc.frontend.fixed_point import roots
from jmpc.frontend.fixed_point.divide import settled_real
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.numerics.elementary import logarithm, root
from jmpc.numerics.elementary.normalise import Form

Function = Any


def _register(primitive: str, function: Function, symmetric: bool = False) -> None:
    @rule(primitive)
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
        x = settled_real(w, args[0])
        return expand(w, _of_form(function, roots.form_of(x.type, w.config, symmetric)), x)


@lru_cache(maxsize=256)
def _of_form(function: Function, form: Form) -> Any:
    return partial(function, form=form)


@rule("sqrt")
def _sqrt(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return roots.sqrt(w, w.secret(args[0]))


@rule("rsqrt")
def _rsqrt(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return roots.rsqrt(w, w.secret(args[0]))


_register("cbrt", root.cbrt, symmetric=True)
_register("log", logarithm.log)
_register("log2", logarithm.log2)


@rule("log1p")
def _log1p(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """log(1 + x): one addition, exact."""
    return expand(w, _log1p_of, settled_real(w, args[0]))


def _log1p_of(x: jax.Array) -> jax.Array:
    return jax.numpy.log(1 + x)
