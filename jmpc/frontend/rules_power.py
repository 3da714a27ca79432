"""The rule for pow: which way, by what is known of the base and of the exponent.

What goes in: operands. What comes out: the power. A constant whole exponent is a chain of products, one half of a whole
number a root and such a chain; a constant base is an exponential of that base; a public exponent or base saves the
logarithm or its product a round.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jmpc.frontend import roots
from jmpc.frontend.divide import form_of, settled_real
from jmpc.frontend.expand import expand
from jmpc.frontend.kinds import is_real
from jmpc.frontend.known import Known
from jmpc.frontend.rules_linear import power_of
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.numerics import exponential, power
from jmpc.numerics.normalise import Form

Function = Any
LONGEST_CHAIN = 8  # beyond this power, rounding in a chain of products is more than a logarithm's error


@rule("pow")
def _pow(w: Walker, eqn: Any, args: list[Operand]) -> Any:
    x, y = (w.spread(a, tuple(eqn.outvars[0].aval.shape)) for a in args)
    number = y.uniform() if isinstance(y, Known) else None
    if number is not None and number == int(number):
        return power_of(w, eqn, [x, y], int(number))
    if not is_real(eqn.invars[0].aval.dtype) or not is_real(eqn.invars[1].aval.dtype):
        return w.refuse(eqn, args, "a power of integers needs a constant exponent; make both real")
    if isinstance(x, Known) and not x.owner:
        return _of_public_base(w, eqn, x, y)
    if number in (0.5, -0.5):
        return (roots.sqrt if number > 0 else roots.rsqrt)(w, w.secret(x))
    x = settled_real(w, x)
    if number is not None and number % 0.5 == 0 and 0 < number < LONGEST_CHAIN:
        return expand(w, _rooted(math.floor(number)), x)
    y = y if isinstance(y, Known) and not y.owner else settled_real(w, y)
    function = _power(form_of(x.type, w.config, False), exponential.of_config(w.config), w.config.f)
    return expand(w, function, x, y)


def _of_public_base(w: Walker, eqn: Any, x: Known, y: Operand) -> Any:
    """A base below 1 is the inverse of one above, to the negative exponent."""
    base, y = x.uniform(), settled_real(w, y)
    if base is None:
        logs = [jax.ShapeDtypeStruct(x.shape, x.dtype)]
        (log,) = (x.scope or w.root).add(lambda v: [jnp.log2(v)], [x], logs)
        return expand(w, _of_log(exponential.of_config(w.config), w.config.f), y, log)
    if not base > 0:
        return w.refuse(eqn, [x, y], "a real power needs a positive base")
    if base == 1:
        return w.secret(x)
    return expand(w, _of_base(max(base, 1 / base), base < 1, exponential.of_config(w.config), w.config.f), y)


@lru_cache(maxsize=64)
def _rooted(whole: int) -> Function:
    """x^(whole + 1/2) by a root and products. Of a negative power below -1/2, each product would add its rounding."""
    return lambda x: lax.integer_pow(x, whole) * jnp.sqrt(x)


@lru_cache(maxsize=256)
def _power(form: Form, window: Any, f: int) -> Function:
    return partial(power.power, form=form, window=window, f=f)


@lru_cache(maxsize=64)
def _of_log(window: Any, f: int) -> Function:
    return partial(power.of_log, window=window, f=f)


@lru_cache(maxsize=64)
def _of_base(base: float, negative: bool, window: Any, f: int) -> Function:
    def run(y: jax.Array) -> jax.Array:
        return exponential.exponential(-y if negative else y, window=window, f=f, base=base)

    return run
