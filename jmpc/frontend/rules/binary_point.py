"""Rules for what JAX says by the bits of floats: signs, mantissas and exponents, powers of two, neighbours.

What goes in: operands of `jnp.signbit` (and with it `copysign`), `frexp`, `ldexp` and `nextafter`. What comes out: what
these functions mean, of numbers of a fixed-point format. It has no negative zero; the neighbour of a number is a unit
of the format away, whatever its size. JAX writes the first three in the bits of floats, or has a primitive of its own.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc import _jax
from jmpc.frontend.calls import body_rule, named_rule
from jmpc.frontend.expand import expand, with_fraction
from jmpc.frontend.fixed_point.divide import form_of, settled_real
from jmpc.frontend.fixed_point.never import is_nan
from jmpc.frontend.idioms import idiom
from jmpc.frontend.integer import bitwise, integers
from jmpc.frontend.kinds import constant, is_real
from jmpc.frontend.known import Known
from jmpc.frontend.public import is_public
from jmpc.frontend.rules.linear import magnitude, product
from jmpc.frontend.rules.normalise import looked_up
from jmpc.frontend.rules.power import clipped
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, INT
from jmpc.numerics.elementary import binary_point
from jmpc.numerics.elementary.binary_point import Digits
from jmpc.numerics.elementary.normalise import Form

Function = Any


@idiom(jnp.signbit)
@idiom(jnp.signbit, dtype=np.float16)
@idiom(jnp.signbit, dtype=np.float64)
def _sign_bit(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """The top bit: of a real number whether it is negative, of an integer that bit."""
    x = w.secret(args[0])
    if x.type.kind == INT:
        return w.emit("bit_at", x, bits=integers.bits_of(eqn.invars[0].aval.dtype))
    return w.emit("is_negative", x)


@rule("nextafter")
def _next_after(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    nan = next((a for a in args if is_nan(a)), None)
    if nan is not None:
        return nan
    x, y = (a if is_public(a) else settled_real(w, a) for a in args)
    return expand(w, _neighbour(w.config.f), x, y)


@lru_cache(maxsize=16)
def _neighbour(f: int) -> Function:
    return partial(binary_point.neighbour, f=f)


# --- mantissa and exponent


@body_rule(jnp.frexp, operands=1)
def _frexp_by_body(w: Walker, args: list[Operand], read: tuple[bool, ...]) -> list[Any]:
    return [part for part, wanted in zip(_parts(w, args[0]), read, strict=True) if wanted]


@rule("Frexp")
def _frexp(w: Walker, eqn: Any, args: list[Operand]) -> list[Any]:
    return _parts(w, args[0])


def _parts(w: Walker, x: Operand) -> list[Any]:
    x = settled_real(w, x)
    negative = w.emit("is_negative", x)
    size = magnitude(w, x, negative)
    return expand(w, _of_form(form_of(size.type, w.config, False)), size, negative)


@lru_cache(maxsize=256)
def _of_form(form: Form) -> Function:
    return partial(binary_point.parts, form=form)


# --- products with powers of two


@rule("Ldexp")
@named_rule(jnp.ldexp, "write x * 2.0**n")
def _ldexp(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """x 2^n."""
    x, n = (_spread(w, a, tuple(eqn.outvars[0].aval.shape)) for a in args)
    number, dtype = n.uniform() if isinstance(n, Known) else None, eqn.invars[1].aval.dtype
    x = with_fraction(w, settled_real(w, _real(w, x, eqn.invars[0].aval)), w.config.f)
    bits = w.config.value_bits + w.config.f
    if number is not None and number >= 0:
        return [product(w, "mul", [x, constant(np.full(x.shape, 2.0 ** min(number, bits + 1)))])]
    if number is not None:
        return [_halved(w, x, int(-number)) if -number <= bits else constant(np.zeros(x.shape, np.float32))]
    return [_times_power(w, x, n, dtype, binary_point.digits_of(w.config.k, bits))]


def _spread(w: Walker, x: Operand, shape: tuple[int, ...]) -> Operand:
    """As NumPy does: the last axes are each other's."""
    ones = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    if isinstance(x, Value):
        return w.spread(w.emit("reshape", x, shape=ones) if ones != x.shape else x, shape)
    (made,) = (x.scope or w.root).add(lambda v: [jnp.reshape(v, ones)], [x], [jax.ShapeDtypeStruct(ones, x.dtype)])
    made.limit, made.saturates = x.limit, x.saturates
    return w.spread(made if ones != tuple(x.shape) else x, shape)


def _real(w: Walker, x: Operand, aval: Any) -> Operand:
    return x if is_real(aval.dtype) else expand(w, _as_real, w.secret(x), avals=[aval.update(shape=x.shape)])[0]


def _as_real(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32)


def _halved(w: Walker, x: Value, times: int) -> Value:
    """The integer of x divided by 2^times, with the fraction bits of the format: of x with these, x 2^-times. The point
    may stand anywhere before a division, and is put where a type may have it."""
    before = min(2 * w.config.f + 16, w.config.k - 2, w.config.f + times)
    cut = w.emit("truncate", w.emit("move_point", x, bits=before - x.type.scale), bits=times)
    return w.emit("move_point", cut, bits=w.config.f - cut.type.scale)


def _times_power(w: Walker, x: Value, n: Operand, dtype: Any, digits: Digits) -> Value:
    """Of one exponent each: all that a high digit may make of x 2^low, and the one that it makes."""
    found = _in_the_clear if is_public(n) else _in_secret
    tables = [digits.low_powers(), digits.high_powers(), *map(digits.is_digit, range(digits.down))]
    low, high, *chosen = found(w, n, dtype, digits, tables)
    y = _exact(w, w.emit("move_point", x, bits=digits.step), low)
    made = _exact(w, w.emit("move_point", y, bits=-digits.step), high)
    for digit, is_it in enumerate(chosen):
        smaller = _halved(w, y, digits.step * (digits.down - digit))
        made = w.emit("add", made, _exact(w, smaller, is_it))
    return w.emit("bound", made, limit=ops.contract(w.config.f, w.config), origin=ASSUMED)


def _exact(w: Walker, x: Value, factor: Value) -> Value:
    """Times an integer, which was chosen so that the product is in the format: the bounds of both say nothing of it."""
    made = w.emit("mul", w.emit("bound", x, limit=x.type.limit, origin=ASSUMED), factor)
    return w.emit("bound", made, limit=min(made.type.limit, ops.contract(made.type.scale, w.config)), origin=ASSUMED)


def _in_the_clear(w: Walker, n: Any, dtype: Any, digits: Digits, tables: list[tuple[int, ...]]) -> list[Value]:
    def look_up(v: Any) -> list[Any]:
        with _jax.x64():
            v = jnp.clip(jnp.asarray(v).astype(np.int64), -digits.most, digits.most) + digits.shift
            low, high = v & (digits.step - 1), v >> digits.width
            return [jnp.asarray(table)[high if number else low] for number, table in enumerate(tables)]

    out = jax.ShapeDtypeStruct(n.shape, np.dtype(np.int64))
    return [w.operand(found) for found in (n.scope or w.root).add(look_up, [n], [out] * len(tables))]


def _in_secret(w: Walker, n: Operand, dtype: Any, digits: Digits, tables: list[tuple[int, ...]]) -> list[Value]:
    n = w.secret(integers.settle(w, w.secret(n), dtype))
    low, high = integers.interval(w, n)
    if max(-low, high) > digits.most:
        n = w.secret(clipped(w, n, digits.most, dtype))
    shift = w.emit("const", value=digits.shift, shape=n.shape, kind=INT, scale=0)
    rows = w.emit("bits", w.emit("add", n, shift), start=0, width=digits.width + digits.high)
    each = [bitwise.row(w, rows, number) for number in range(rows.shape[0])]
    first, others = each[: digits.width], each[digits.width :]
    whole = [(table, 0) for table in tables]
    return [*looked_up(w, first, whole[:1]), *looked_up(w, others, whole[1:])]
