"""Rules for exponentials, sines, and smooth functions between two constants or two straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc.frontend.calls import body_rule
from jmpc.frontend.expand import expand, with_fraction
from jmpc.frontend.idioms import idiom
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.rules.linear import same_scale
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir.program import Op, Value
from jmpc.ir.types import FIXED
from jmpc.numerics.elementary import activations, circular, exponential

Function = Callable[..., Any]
MOVES = ("reshape", "transpose", "broadcast", "bound")


def _real(w: Walker, x: Operand) -> Value:
    """A secret with at most the format's fraction bits."""
    x = w.secret(x)
    return with_fraction(w, x, w.config.f) if x.type.kind == FIXED and x.type.scale > w.config.f else x


@lru_cache(maxsize=1024)
def _with(function: Function, **static: Any) -> Function:
    return partial(function, **static)


# --- exponentials


def _exponential(function: Function, base: float = math.e) -> Callable[[Walker, Any, list[Any]], Value]:
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Value:
        x = _real(w, args[0])
        made = expand(w, _with(function, window=exponential.of_config(w.config), f=w.config.f, base=base), x)[0]
        return _bounded(w, made, x, base)

    return emit


for _name, _base in (("exp", math.e), ("exp2", 2.0)):

    @rule(_name)
    def _exp(w: Walker, eqn: Any, args: list[Operand], base: float = _base) -> Value:
        x = _real(w, args[0])
        if base == math.e and never_positive(w, x):
            return _falling(w, x)
        return _exponential(exponential.exponential, base)(w, eqn, [x])


@rule("expm1")
def _expm1(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x = _real(w, args[0])
    if never_positive(w, x):
        return w.emit("sub", *same_scale(w, [_falling(w, x), constant(np.ones(x.shape, np.float32))]))
    return _exponential(exponential.less_one)(w, eqn, [x])


rule("sinh")(_exponential(exponential.sinh))
rule("cosh")(_exponential(exponential.cosh))


@body_rule(lambda x: jax.jvp(lax.erf, (x,), (x,))[1], operands=1)
def _bell(w: Walker, args: list[Operand], read: tuple[bool, ...]) -> list[Operand]:
    """In the derivatives of erf and erfc, where JAX (from 0.12 on) also computes what a float loses of the square."""
    return expand(w, exponential.bell, _real(w, args[0]))


def _value(results: list[Operand]) -> Any:
    return results[0]


def _bounded(w: Walker, made: Any, x: Value, base: float) -> Value:
    """By what the bound of x says; where it says no more than the cap, the bound is the number format's affair."""
    top = exponential.of_config(w.config).top
    most = x.type.limit / 2**x.type.scale * math.log2(base)
    if most >= top:
        return made
    limit = math.ceil(2.0 ** (most + w.config.f) * (1 + 2.0**-10)) + 2
    return w.emit("bound", made, limit=min(limit, made.type.limit), origin=x.type.origin)


def _falling(w: Walker, x: Value) -> Value:
    falling = _with(exponential.falling, window=exponential.of_config(w.config, 1), f=w.config.f)
    return _value(expand(w, falling, x))


def never_positive(w: Walker, x: Value) -> bool:
    """Whether x is y - max(y), along whatever axes; or min(y, 0), or what is chosen where y <= 0, by a factor."""
    made = w.build.maker(x)
    while made is not None and (made.name in ("bound", "truncate") or _times_positive(w, made)):
        made = w.build.maker(made.inputs[0])
    if made is not None and made.name == "select_or_zero":
        return _is_not_above(w, *made.inputs)
    return made is not None and made.name == "sub" and (_is_below_largest(w, made) or _is_zero_less_relu(w, made))


def _times_positive(w: Walker, made: Op) -> bool:
    return made.name == "mul" and _constant(w, made.inputs[1]) > 0


def _constant(w: Walker, x: Value) -> float:
    """Of a constant that is one number; else NaN."""
    made = w.build.maker(x)
    return made.attrs["value"] if made is not None and made.name == "const" else math.nan


def _is_not_above(w: Walker, bit: Value, x: Value) -> bool:
    """Whether the bit is [not 0 - x < 0]."""
    for name in ("not", "is_negative"):
        made = w.build.maker(bit)
        if made is None or made.name != name:
            return False
        bit = made.inputs[0]
    made = w.build.maker(bit)
    return made is not None and made.name == "gap" and _constant(w, made.inputs[0]) == 0 and made.inputs[1] is x


def _is_zero_less_relu(w: Walker, made: Op) -> bool:
    other = w.build.maker(made.inputs[1])
    return _constant(w, made.inputs[0]) == 0 and other is not None and other.name == "relu"


def _is_below_largest(w: Walker, made: Op) -> bool:
    top = made.inputs[1]
    while (source := w.build.maker(top)) is not None and source.name in MOVES:
        top = source.inputs[0]
    return source is not None and source.name == "reduce_max" and source.inputs[0] is made.inputs[0]


# --- waves


def _unary(primitive: str, function: Function) -> None:
    @rule(primitive)
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
        return _value(expand(w, function, _real(w, args[0])))


_unary("sin", circular.sin)
_unary("cos", circular.cos)


# --- from one constant to another, or from zero to x


def _step(primitive: str, smooth: activations.Smooth, low: float, high: float) -> None:
    @rule(primitive)
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
        function = _with(activations.step, curve=smooth.at(w.config.error), f=w.config.f, low=low, high=high)
        return _value(expand(w, function, _real(w, args[0])))


_step("logistic", activations.SIGMOID, 0.0, 1.0)
_step("tanh", activations.TANH, -1.0, 1.0)
_step("erf", activations.ERF, -1.0, 1.0)
_step("erfc", activations.ERFC, 2.0, 0.0)


def _ramp(w: Walker, x: Operand, smooth: activations.Smooth) -> Any:
    return _value(expand(w, _with(activations.ramp, curve=smooth.at(w.config.error), f=w.config.f), _real(w, x)))


for _function, _smooth in (
    (partial(jax.nn.gelu, approximate=True), activations.GELU_TANH),
    (partial(jax.nn.gelu, approximate=False), activations.GELU),
    (jax.nn.silu, activations.SILU),
    (jax.nn.mish, activations.MISH),
):

    @idiom(_function)
    def _activation(w: Walker, eqn: Any, args: list[Operand], smooth: activations.Smooth = _smooth) -> Any:
        return _ramp(w, args[0], smooth)


@idiom(jnp.logaddexp, operands=2)
def _logaddexp(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """b + softplus(a - b)."""
    a, b = (w.spread(x, tuple(eqn.outvars[0].aval.shape)) for x in args)
    if isinstance(b, Known) and b.uniform() == 0:
        return _ramp(w, a, activations.SOFTPLUS)
    x, y = same_scale(w, [a, b])
    return w.emit("add", *same_scale(w, [y, _ramp(w, w.emit("gap", x, y), activations.SOFTPLUS)]))
