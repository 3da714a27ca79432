"""The rule for pow: which way, by what is known of the base and of the exponent.

What goes in: operands. What comes out: the power. A constant whole exponent is a chain of products, and so are several
small ones; one half of a whole number is a root and such a chain. Any other power is one of two, of a logarithm times
the exponent; the logarithm of a public base is computed in the clear, and what a whole exponent is multiplied by needs
no rounding. A negative base has the sign that a whole exponent gives it.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc.frontend.expand import expand
from jmpc.frontend.fixed_point import roots
from jmpc.frontend.fixed_point.divide import form_of, settled_real
from jmpc.frontend.fixed_point.variance import never_negative
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import constant, is_real
from jmpc.frontend.known import Known
from jmpc.frontend.rules.compare import select_one
from jmpc.frontend.rules.linear import power_of
from jmpc.frontend.walk import Operand, Results, Walker, rule, word_rule
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED
from jmpc.numerics.elementary import exponential, power
from jmpc.numerics.elementary.normalise import Form, most_fraction

Function = Any
DERIVATIVES = (-1.5, -2.5)  # of one over a root
LONGEST_CHAIN = 8  # beyond this power, rounding in a chain of products is more than a logarithm's error
MOST_BITS = 40  # fraction bits of the logarithm of a public base
SPARE = 8  # fraction bits beyond those of the format, of a power that is never above one
LEAST_BITS = {64: 24, 32: 12}  # and as few, by the ring, as are precise enough
LARGEST_LOG = 64.0  # a power of two beyond this vanishes or saturates


@rule("pow")
def _pow(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    x, y = (w.spread(a, tuple(eqn.outvars[0].aval.shape)) for a in args)
    number = y.uniform() if isinstance(y, Known) else None
    if number is not None and not math.isfinite(number):
        return w.refuse(eqn, args, "the exponent is no finite number")
    if number is not None and number == int(number):
        return power_of(w, eqn, [x, y], int(number))
    whole = not is_real(eqn.invars[1].aval.dtype)
    if isinstance(x, Known) and not x.owner:
        return _of_public_base(w, eqn, x, y)
    if number in (0.5, -0.5):
        return (roots.sqrt if number > 0 else roots.rsqrt)(w, w.secret(x))
    given, x = w.secret(x), settled_real(w, x)
    if digits := _digits(y):
        return expand(w, power.chain, x, *digits)
    if number is not None and number % 0.5 == 0 and 0 < number < LONGEST_CHAIN:
        return expand(w, _rooted(math.floor(number)), x)
    form, window = form_of(x.type, w.config, not never_negative(w, x)), exponential.of_config(w.config)
    if whole:
        return _by_integer(w, x, y, eqn.invars[1].aval, _whole_power(form, window, w.config.f))
    y = y if isinstance(y, Known) and not y.owner else settled_real(w, y)
    made = _assumed(w, expand(w, _power(form, window, w.config.f), x, y))
    if number in DERIVATIVES and isinstance(made, Value):
        roots.note_power(w, made, given, round(-0.5 - number))
    return made


def _digits(y: Operand) -> list[Known]:
    """Of small whole constants, per binary digit from the lowest on: where it is set, and where it or a higher one is.
    Of other exponents, nothing."""
    array = np.asarray(y.concrete) if isinstance(y, Known) and y.concrete is not None else np.zeros(0)
    if not array.size or not np.isin(array, np.arange(LONGEST_CHAIN + 1)).all():
        return []
    whole = array.astype(np.int64)
    pairs = [(whole >> n & 1 == 1, whole >= 1 << n) for n in range(int(whole.max()).bit_length())]
    return [constant(digit) for pair in pairs for digit in pair]


@word_rule("parity")
def _parity(w: Walker, args: list[Operand]) -> list[Value]:
    """Of the bits up to that of one: whether none is set behind the point, and the one before it."""
    x = w.secret(args[0])
    bits = w.emit("bits", x, start=0, width=x.type.scale + 1)
    rest = x.shape
    one = (1,) * (len(rest) + 1)
    behind = w.emit("slice", bits, start=(0, *(0,) * len(rest)), limit=(x.type.scale, *rest), strides=one)
    before = w.emit("slice", bits, start=(x.type.scale, *(0,) * len(rest)), limit=bits.shape, strides=one)
    return [w.emit("not", w.emit("reduce_or", behind, axes=(0,))), w.emit("reshape", before, shape=rest)]


def _assumed(w: Walker, made: Any) -> Any:
    """How large a power is, is the number format's affair: its bound says where it saturates, and no more."""
    (x,) = made
    return w.emit("bound", x, limit=x.type.limit, origin=ASSUMED) if isinstance(x, Value) else x


# --- a secret base


def _by_integer(w: Walker, x: Value, y: Operand, aval: Any, function: Function) -> Any:
    """The true value of the exponent counts; what is beyond 2^20 is as good as that."""
    y = integers.settle(w, y if isinstance(y, Known) and not y.owner else w.secret(y), aval.dtype)
    low, high = integers.interval(w, y) if isinstance(y, Value) else integers.of_dtype(y.dtype, w.config.k)
    most = int(power.MOST) if w.config.k >= 64 else 1 << 10
    if max(-low, high) > most:
        y = clipped(w, y, most, aval.dtype)
    real = jax.ShapeDtypeStruct(x.shape, np.dtype(np.float32))
    return _assumed(w, expand(w, function, x, y, avals=[real, jax.ShapeDtypeStruct(y.shape, aval.dtype)]))


def clipped(w: Walker, y: Operand, most: int, dtype: Any) -> Operand:
    """An integer, held to at most so much."""
    (held,) = expand(w, _clip(most, integers.is_signed(dtype)), y, avals=[jax.ShapeDtypeStruct(y.shape, dtype)])
    return held if isinstance(held, Known) else w.emit("bound", held, limit=most, origin=held.type.origin)


@lru_cache(maxsize=16)
def _clip(most: int, signed: bool) -> Function:
    return lambda y: jnp.clip(y, -most if signed else 0, most)


@lru_cache(maxsize=64)
def _rooted(whole: int) -> Function:
    """x^(whole + 1/2) by a root and products. Of a negative power below -1/2, each product would add its rounding."""
    return lambda x: lax.integer_pow(x, whole) * jnp.sqrt(x)


@lru_cache(maxsize=256)
def _power(form: Form, window: Any, f: int) -> Function:
    return partial(power.power, form=form, window=window, f=f)


@lru_cache(maxsize=256)
def _whole_power(form: Form, window: Any, f: int) -> Function:
    return partial(power.whole_power, form=form, window=window, f=f)


# --- a public base


def _of_public_base(w: Walker, eqn: Any, x: Known, y: Operand) -> Any:
    """b^y = 2^(y log2 |b|), with its sign; of a base of zero, what that makes of it."""
    number, dtype = x.uniform(), eqn.invars[1].aval.dtype
    whole = not is_real(dtype)
    y = w.secret(integers.settle(w, y, dtype)) if whole else settled_real(w, y)
    if number == 1:
        return w.secret(x)
    if number in (0, -1):
        size: Any = w.secret(constant(np.ones(x.shape, np.float32)))
    elif whole:
        size = _by_exact_log(w, _log_of(w, x), y, dtype)
    elif number is not None:
        base, window = abs(number), exponential.of_config(w.config)
        size = _assumed(w, expand(w, _of_base(max(base, 1 / base), base < 1, window, w.config.f), y))
    else:
        size = _assumed(w, expand(w, _of_log(exponential.of_config(w.config), w.config.f), y, _log_of(w, x)))
    if size is None:
        why = "the exponent may be too large for a precise logarithm of the base: declare it with jmpc.bounded"
        return w.refuse(eqn, [x, y], why)
    return _with_sign(w, x, y, whole, _of_zero(w, x, y, dtype, size))


def _by_exact_log(w: Walker, log: Known, exponent: Value, dtype: Any) -> Value | None:
    """By an integer: its product with the logarithm is exact, with as many fraction bits as leave room for it. A power
    that is never above one keeps more of them than the format, so that what it lacks to one is precise."""
    logs = np.abs(np.asarray(log.concrete, np.float64)) if log.concrete is not None else np.array([LARGEST_LOG])
    y = _held_to_what_counts(w, exponent, logs if log.concrete is not None else None, dtype)
    if y is None:
        return None
    low, high = integers.interval(w, y)
    scale = min(MOST_BITS, _room(w, max(-low, high), logs), most_fraction(w.config.k, w.config.f))
    scaled = w.emit("mul", y, w.public(log, scale))
    if w.config.k < 64 or log.concrete is None or (np.asarray(log.concrete) > 0).any() or low < 0:
        return _assumed(w, expand(w, _of_two(exponential.of_config(w.config), w.config.f), scaled))
    bits = w.config.f + SPARE
    found = w.secret(expand(w, _of_two_below_one(w.config.k, bits), scaled, bits=bits)[0])
    return w.emit("bound", found, limit=(1 << bits) + 4, origin=y.type.origin)


def _room(w: Walker, most: int, logs: np.ndarray) -> int:
    """Fraction bits of logarithms that leave room for products with integers up to `most`."""
    return w.config.k - 3 - math.ceil(math.log2(max(most, 1) * float(max(logs.max(initial=0), 2.0**-20))))


def _held_to_what_counts(w: Walker, y: Value, logs: np.ndarray | None, dtype: Any) -> Value | None:
    """An exponent for which a logarithm has as many fraction bits as it needs. Where it may be larger it is held to
    what makes every power vanish or saturate; None where not every one does."""
    known, (low, high) = np.array([LARGEST_LOG]) if logs is None else logs, integers.interval(w, y)
    spare = _room(w, max(-low, high), known) - LEAST_BITS[w.config.k]
    if spare >= 0:
        return y
    most = max(-low, high) >> -spare
    if logs is None or most * logs[logs > 0].min(initial=LARGEST_LOG) < LARGEST_LOG:
        return None
    return w.secret(clipped(w, y, most, dtype))


def _log_of(w: Walker, x: Known) -> Known:
    """log2 |b|; of zero, zero."""
    if x.concrete is not None:
        size = np.abs(np.asarray(x.concrete, np.float64))
        return constant(np.clip(np.log2(np.where(size == 0, 1, size)), -LARGEST_LOG, LARGEST_LOG))

    def log(v: Any) -> list[Any]:
        size = jnp.abs(v)
        return [jnp.clip(jnp.log2(jnp.where(size == 0, 1, size)), -LARGEST_LOG, LARGEST_LOG)]

    (made,) = (x.scope or w.root).add(log, [x], [jax.ShapeDtypeStruct(x.shape, x.dtype)])
    made.limit = LARGEST_LOG
    return made


def _of_zero(w: Walker, x: Known, y: Value, dtype: Any, size: Any) -> Any:
    """Of a base of zero: 1 where y is 0, 0 where it is more, and where it is less, the largest power."""
    zero = _where(w, x, lambda v: v == 0)
    if zero is None:
        return size
    top = 2.0 ** exponential.of_config(w.config).top
    (of_zero,) = expand(w, _power_of_zero(top), y, avals=[jax.ShapeDtypeStruct(y.shape, dtype)])
    return select_one(w, zero, size, of_zero)


def _with_sign(w: Walker, x: Known, y: Value, whole: bool, size: Any) -> Any:
    """Of a negative base: that of its power where y is whole, and 0 where it is not."""
    below = _where(w, x, lambda v: v < 0)
    if below is None:
        return size
    true = constant(np.ones(y.shape, bool))
    parity = [true, w.emit("bit_at", y, bits=1)] if whole else _parity(w, [y])
    return expand(w, power.with_sign, size, below, *parity, bits=size.type.scale)


def _where(w: Walker, x: Known, test: Any) -> Known | None:
    """Which elements of a public array pass a test; None if it is known that none does."""
    (found,) = (x.scope or w.root).add(lambda v: [test(v)], [x], [jax.ShapeDtypeStruct(x.shape, np.dtype(bool))])
    return None if found.concrete is not None and not np.any(found.concrete) else found


@lru_cache(maxsize=16)
def _power_of_zero(top: float) -> Function:
    return lambda y: jnp.where(y == 0, 1.0, jnp.where(y < 0, top, 0.0))


@lru_cache(maxsize=64)
def _of_two(window: Any, f: int) -> Function:
    return partial(exponential.exponential, window=window, f=f, base=2.0)


@lru_cache(maxsize=64)
def _of_two_below_one(k: int, f: int) -> Function:
    return partial(exponential.falling, window=exponential.precise_window(k, f), f=f, base=2.0)


@lru_cache(maxsize=64)
def _of_log(window: Any, f: int) -> Function:
    return partial(power.of_log, window=window, f=f)


@lru_cache(maxsize=64)
def _of_base(base: float, negative: bool, window: Any, f: int) -> Function:
    def run(y: jax.Array) -> jax.Array:
        return exponential.exponential(-y if negative else y, window=window, f=f, base=base)

    return run
