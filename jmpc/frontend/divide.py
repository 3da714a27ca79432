"""Division by a secret: which way, by what is known of the operands.

What goes in: operands. What comes out: the quotient. One over x, and a quotient whose numerator or divisor is small
enough, is a product with a reciprocal; any other is shifted by the divisor's exponent. A divisor that was spread over
more elements (a sum in a softmax) is inverted before that. A divisor that is a root is never computed where one over
the root is precise enough: in a normalisation, and under a numerator that is small enough.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import jax
from jax import lax

from jmpc.config import Config
from jmpc.frontend.expand import expand, with_fraction
from jmpc.frontend.known import Known
from jmpc.frontend.variance import is_over_its_own_root
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, FIXED
from jmpc.numerics import reciprocal, root
from jmpc.numerics.normalise import Form

ROOT_OF = "root of"


def form_of(t: Any, config: Config, symmetric: bool) -> Form:
    """How a secret of type `t` is held."""
    most = min(2 * config.f + 16, config.k - 2)
    return Form(t.scale, max(t.limit.bit_length(), 1), config.f, config.k, most, symmetric, config.error)


def settled_real(w: Walker, x: Operand) -> Value:
    """A secret real number with no more fraction bits than the format's."""
    x = w.secret(x)
    return with_fraction(w, x, w.config.f) if x.type.kind == FIXED and x.type.scale > w.config.f else x


def divide(w: Walker, x: Operand, y: Value) -> Value:
    """x / y for a secret y."""
    x = settled_real(w, x) if isinstance(x, Value) or x.owner else x
    y, dims, shape = _before_broadcast(w, settled_real(w, y))
    square = w.operands.get((ROOT_OF, y))
    bits = None if square is None else _root_bits(w, x, square)
    if square is not None and bits is not None:
        over_root = _over_root(form_of(square.type, w.config, False), bits, shape, dims)
        return w.secret(expand(w, over_root, x, square)[0])
    form = form_of(y.type, w.config, True)
    numerator = _magnitude(w, x)
    if isinstance(x, Known) and x.uniform() == 1 and not shape and reciprocal.is_precise(form):
        return _rests_on_the_divisor(w, expand(w, _reciprocal(form), y)[0])
    bits = _reciprocal_bits(w.config, form, numerator, y)
    if bits is not None:
        return _rests_on_the_divisor(w, expand(w, _ratio(form, bits, shape, dims), x, y)[0])
    return _rests_on_the_divisor(w, expand(w, _quotient(form, numerator, shape, dims), w.secret(x), y)[0])


def note_root(w: Walker, root: Operand, square: Value) -> None:
    """For a quotient by it that may come."""
    w.operands[ROOT_OF, root] = square


def _root_bits(w: Walker, x: Operand, square: Value) -> int | None:
    """Fraction bits of 1 / sqrt(square) for x times it: those of the format in a normalisation, whose result is of
    moderate size; else as many as a quotient needs, where the ring holds them."""
    if isinstance(x, Value) and is_over_its_own_root(w, x, square):
        return w.config.f
    numerator, f = _magnitude(w, x), w.config.f
    bits, largest = max(f, numerator - f + 16), square.type.scale // 2 + 1
    return bits if bits <= f + 12 and numerator + bits + largest <= w.config.k - 3 else None


def _rests_on_the_divisor(w: Walker, made: Any) -> Value:
    """A quotient's bound is that of the smallest divisor. Where its square would not fit, so that a derivative would be
    refused, how large quotients are is the number format's affair."""
    if made.type.limit.bit_length() - made.type.scale <= w.config.value_bits // 2:
        return made
    return w.emit("bound", made, limit=made.type.limit, origin=ASSUMED)


def _magnitude(w: Walker, x: Operand) -> int:
    """Bits of the numerator in units of the format."""
    if isinstance(x, Value):
        shift = w.config.f - x.type.scale
        return (x.type.limit << shift if shift >= 0 else x.type.limit >> -shift).bit_length()
    number = x.uniform()
    if number is None or not math.isfinite(number):
        return ops.contract(w.config.f, w.config).bit_length()
    return math.ceil(abs(number) * 2**w.config.f).bit_length()


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
def _over_root(form: Form, bits: int, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    def run(x: jax.Array, square: jax.Array) -> jax.Array:
        inverse = root.rsqrt(square, form=replace(form, out=bits))
        return reciprocal.times(x, _spread(inverse, shape, dims), form=form)

    return run


@lru_cache(maxsize=256)
def _quotient(form: Form, numerator: int, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    def run(x: jax.Array, y: jax.Array) -> jax.Array:
        spread = partial(_spread, shape=shape, dims=dims)
        return reciprocal.quotient(x, y, form=form, numerator=numerator, spread=spread)

    return run
