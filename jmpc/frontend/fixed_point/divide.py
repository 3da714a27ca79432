"""Division by a secret: which way, by what is known of the operands.

What goes in: operands. What comes out: the quotient. One over x, and a quotient whose numerator or divisor is small
enough, is a product with a reciprocal; any other is shifted by the divisor's exponent. A divisor that was spread over
more elements (a sum in a softmax) is inverted before that. A divisor that is a root is never computed where one over
the root is precise enough: in a normalisation, and under a numerator that is small enough.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jmpc.config import Config
from jmpc.frontend.expand import expand, with_fraction
from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import averages, cosine, roots
from jmpc.frontend.fixed_point.precision import extra
from jmpc.frontend.fixed_point.roots import form_of, magnitude
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, FIXED
from jmpc.numerics.elementary import reciprocal
from jmpc.numerics.elementary.normalise import Form

MOST_STEPS = 2
POWER: Fact[tuple[Value, int]] = Fact("what it is one over a power of, and which")
PART: Fact[tuple[Operand, Value]] = Fact("what it is over the square of what")
REST = 8  # fraction bits of what is left of a number


def settled_real(w: Walker, x: Operand) -> Value:
    """A secret real number with no more fraction bits than the format's."""
    x = w.secret(x)
    return with_fraction(w, x, w.config.f) if x.type.kind == FIXED and x.type.scale > w.config.f else x


def divide(w: Walker, x: Operand, y: Value) -> Value:
    """x / y for a secret y."""
    return roots.note_quotient(w, _divided(w, x, y), x, y)


def _divided(w: Walker, x: Operand, y: Value) -> Value:
    found = roots.quotient(w, x, y) or cosine.quotient(w, x, y)
    if found is not None:
        return found
    if isinstance(x, Value) and x.type.scale > w.config.f and w.wanted is not None and w.wanted.average:
        return _where_at_most_one(w, y, _average_over(w, x, y), _by_size(w, x, y))
    return _by_size(w, x, y)


def _where_at_most_one(w: Walker, y: Value, yes: Value, no: Value) -> Value:
    """A bias correction is at most one; what else a moving average is divided by need not be."""
    y, dims, shape = _before_broadcast(w, y)
    (large,) = expand(w, _is_large, y)
    bit = w.emit("broadcast", w.secret(large), shape=shape, dims=dims) if shape else w.secret(large)
    gap = w.emit("gap", with_fraction(w, no, yes.type.scale), yes)
    return w.emit("add", yes, w.emit("select_or_zero", bit, gap))


def _is_large(y: jax.Array) -> jax.Array:
    return jnp.abs(y) > 1


def _by_size(w: Walker, x: Operand, y: Value) -> Value:
    most = w.config.f + extra(w.config)
    x = _numerator(w, x, most if y.type.scale > w.config.f else w.config.f) if isinstance(x, Value) or x.owner else x
    y, dims, shape = _before_broadcast(w, with_fraction(w, y, most) if y.type.scale > most else y)
    form = form_of(y.type, w.config, True)
    numerator = magnitude(w, x)
    if isinstance(x, Known) and x.uniform() == 1 and not shape and reciprocal.is_precise(form):
        return w.secret(expand(w, _reciprocal(form), y)[0])
    bits = _reciprocal_bits(w.config, form, numerator, y)
    if bits is not None:
        return w.secret(expand(w, _ratio(form, bits, shape, dims), x, y)[0])
    return w.secret(expand(w, _quotient(form, numerator, shape, dims), w.secret(x), y)[0])


def note_power(w: Walker, made: Value, base: Value, power: int) -> Value:
    """`made` is one over a power of `base`, which may be large."""
    if power <= MOST_STEPS and base.type.limit >= 4 << base.type.scale:
        w.facts.note(POWER, made, (base, power))
    return made


def over_power(w: Walker, x: Operand, y: Operand) -> Value | None:
    """x y, if y is one over a small power of what may be large, or that times something else, as in the derivative of a
    quotient: y has no fraction bits to speak of, and so x is divided."""
    found, part = roots.noted(w, POWER, y), roots.noted(w, PART, y)
    if found is not None:
        (base, power), moves = found
        base = roots.moved(w, base, moves)
        made = w.secret(x) if isinstance(x, Value) or x.owner else x
        for _ in range(power):
            made = divide(w, made, base)
        return w.facts.note(PART, w.secret(made), (x, base)) if power == 2 else w.secret(made)
    if part is None or (isinstance(x, Known) and not x.owner):
        return None
    (other, base), moves = part
    one, two = divide(w, w.secret(x), roots.moved(w, base, moves)), roots.moved(w, divide(w, other, base), moves)
    return with_fraction(w, w.emit("mul", one, two), w.config.f)


def _average_over(w: Walker, x: Value, y: Value) -> Value:
    """x / y, where x is a moving average with more fraction bits than leave room for those of 1 / y, and y a bias
    correction, in (0, 1]: times the whole part of 1 / y, and with fewer bits times the rest."""
    y, dims, shape = _before_broadcast(w, with_fraction(w, y, w.config.f) if y.type.scale > w.config.f else y)
    (inverse,) = expand(w, _reciprocal(form_of(y.type, w.config, True)), y)
    parts = [w.secret(part) for part in expand(w, _whole_and_rest, inverse)]
    whole, rest = (w.emit("broadcast", v, shape=shape, dims=dims) if shape else v for v in parts)
    rest, contract = with_fraction(w, rest, REST), ops.contract(x.type.scale, w.config)
    cut = min(max(contract.bit_length() + REST - (w.config.k - 2), 0), x.type.scale)
    few = w.emit("truncate", x, bits=cut) if cut else x
    free, short = (w.emit("bound", v, limit=v.type.limit, origin=ASSUMED) for v in (x, few))
    made = w.emit("mul", free, whole)
    return w.emit("add", made, with_fraction(w, w.emit("mul", short, rest), made.type.scale))


def _whole_and_rest(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    whole = jnp.floor(x)
    return whole.astype(jnp.int32), x - whole


def _numerator(w: Walker, x: Operand, most: int) -> Value:
    """With as many fraction bits as are of use, and in a range that leaves room for them."""
    x = w.secret(x)
    if x.type.kind != FIXED or x.type.scale <= w.config.f:
        return x
    x = with_fraction(w, x, most) if x.type.scale > most else x
    return averages.in_range(w, x) if x.type.scale > w.config.f else x


def _reciprocal_bits(config: Config, form: Form, numerator: int, y: Value) -> int | None:
    """The fewest fraction bits of a reciprocal that are enough: for the numerator an error of half of 2^-16 at most, or
    for the divisor's reciprocal a relative one of 2^-15; None where the ring does not hold so many."""
    absolute = numerator - config.f + 16
    relative = y.type.limit.bit_length() - y.type.scale + 14
    bits = max(config.f, min(absolute, relative))
    return bits if reciprocal.is_enough(form, numerator, bits) else None


def _before_broadcast(w: Walker, y: Value) -> tuple[Value, tuple[int, ...], tuple[int, ...]]:
    """The value that y repeats, along which of its axes, and y's shape; or y itself."""
    made = w.build.maker(y)
    if made is None or made.name != "broadcast" or made.inputs[0].type.size >= y.type.size:
        return y, (), ()
    return made.inputs[0], made.attrs["dims"], made.attrs["shape"]


@lru_cache(maxsize=256)
def _reciprocal(form: Form) -> Any:
    return partial(reciprocal.reciprocal, form=form)


@lru_cache(maxsize=256)
def _ratio(form: Form, bits: int, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    def run(x: jax.Array, y: jax.Array) -> jax.Array:
        inverse = reciprocal.reciprocal(y, form=form, bits=bits)
        return reciprocal.times(x, _spread(inverse, shape, dims), form=form)

    return run


def _spread(x: jax.Array, shape: tuple[int, ...], dims: tuple[int, ...]) -> jax.Array:
    return lax.broadcast_in_dim(x, shape, dims) if shape else x


@lru_cache(maxsize=256)
def _quotient(form: Form, numerator: int, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    def run(x: jax.Array, y: jax.Array) -> jax.Array:
        spread = partial(_spread, shape=shape, dims=dims)
        return reciprocal.quotient(x, y, form=form, numerator=numerator, spread=spread)

    return run
