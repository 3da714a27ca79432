"""Rules for inverse functions, tangents, and the functions of jax.scipy.special that are substituted whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special

from jmpc.frontend.calls import body_rule
from jmpc.frontend.expand import expand
from jmpc.frontend.fixed_point.divide import settled_real
from jmpc.frontend.idioms import idiom
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.numerics.elementary import circular, hypotenuse, inverse_circular, inverse_hyperbolic
from jmpc.numerics.special import bessel, erf_inverse, gamma, normal_tail

Function = Callable[..., Any]


@lru_cache(maxsize=256)
def _of_format(function: Function, f: int, error: float) -> Function:
    return partial(function, f=f, error=error)


def _substitute(primitive: str, function: Function) -> None:
    """A function of real numbers and of the number format."""

    @rule(primitive)
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
        shape = tuple(eqn.outvars[0].aval.shape)
        return expand(
            w, _of_format(function, w.config.f, w.config.error), *(settled_real(w, w.spread(a, shape)) for a in args)
        )


def _substitute_plain(primitive: str, function: Function) -> None:
    """A function that is written in terms of other primitives alone."""

    @rule(primitive)
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
        return expand(w, function, settled_real(w, args[0]))


_substitute("atan", inverse_circular.atan)
_substitute("atan2", inverse_circular.atan2)
_substitute("asin", inverse_circular.asin)
_substitute("acos", inverse_circular.acos)
_substitute_plain("asinh", inverse_hyperbolic.asinh)
_substitute_plain("atanh", inverse_hyperbolic.atanh)
_substitute("erf_inv", erf_inverse.erf_inv)
_substitute("lgamma", gamma.lgamma)
_substitute("digamma", gamma.digamma)
_substitute("bessel_i0e", bessel.i0e)
_substitute("bessel_i1e", bessel.i1e)


@rule("tan")
def _tan(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return expand(w, _tan_of(w.config.f), settled_real(w, args[0]))


@lru_cache(maxsize=64)
def _tan_of(f: int) -> Function:
    return partial(circular.tan, f=f)


@rule("acosh")
def _acosh(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    largest = 2.0 ** (w.config.k - 3 - 2 * w.config.f)
    return expand(w, _acosh_to(largest), settled_real(w, args[0]))


@lru_cache(maxsize=64)
def _acosh_to(largest: float) -> Function:
    return partial(inverse_hyperbolic.acosh, largest=largest)


@idiom(jax.nn.squareplus)
def _squareplus(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return expand(w, hypotenuse.squareplus, settled_real(w, args[0]))[0]


@body_rule(jnp.hypot, operands=2)
def _hypot(w: Walker, args: list[Operand], read: tuple[bool, ...]) -> list[Operand]:
    """The root, and each operand over it. JAX scales by powers of two that the number format does not hold."""
    found = expand(w, hypotenuse.hypot, *(settled_real(w, a) for a in args))
    return [result for result, wanted in zip(found, read, strict=True) if wanted]


@idiom(special.log_ndtr)
def _log_ndtr(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return expand(w, _of_format(normal_tail.log_ndtr, w.config.f, w.config.error), settled_real(w, args[0]))[0]


@idiom(jnp.sinc)
def _sinc(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return expand(w, _of_format(circular.sinc, w.config.f, w.config.error), settled_real(w, args[0]))[0]
