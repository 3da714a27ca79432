"""Division and remainder of integers, exact, as JAX has them: toward zero; x / 0 is -1 (all ones) and its remainder x.

By a public number: its reciprocal gives the quotient but for a few units, which comparisons of the remainder with
multiples of the divisor make up for. By a secret, or in the whole width of the ring: long division, a comparison a bit.

What goes in: an equation and its operands, settled. What comes out: the quotient or the remainder; one division serves
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc.frontend.expand import expand
from jmpc.frontend.integer import bitwise, integers
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Operand, Results, Walker, word_rule
from jmpc.ir.program import Value
from jmpc.ir.types import INFERRED
from jmpc.numerics.elementary.integer_steps import gcd, long_division

MOST_TESTS = 8  # multiples of the divisor that a remainder is compared with
RECIPROCAL_BITS = 30


def quotient(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return _both(w, eqn, args)[0]


def remainder(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return _both(w, eqn, args)[1]


def greatest_common_divisor(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """Of the magnitudes of integers of n bits, in 2 n + 1 steps."""
    dtype = eqn.outvars[0].aval.dtype
    sides = [_magnitude(w, integers.settle(w, a, dtype), dtype)[0] for a in args]
    shape = tuple(eqn.outvars[0].aval.shape)
    ranked = [w.emit("reshape", s, shape=((1,) * (len(shape) - len(s.shape)) + s.shape)) for s in sides]
    if integers.bits_of(dtype) >= w.config.k:
        return w.refuse(eqn, args, "of integers as wide as the ring: declare a bound and take a narrower dtype")
    wide = jax.ShapeDtypeStruct(shape, np.dtype(f"int{w.config.k}"))
    with jax.enable_x64(True):
        return expand(w, gcd(integers.bits_of(dtype)), *(w.spread(s, shape) for s in ranked), avals=[wide, wide])


@word_rule("odd")
def _odd(w: Walker, args: list[Operand]) -> Value:
    return w.emit("bit_at", w.secret(args[0]), bits=1)


@word_rule("halved")
def _halved(w: Walker, args: list[Operand]) -> Value:
    """A truncation that cuts off a zero."""
    x = w.secret(args[0])
    low, high = integers.interval(w, x)
    return integers.within(w, _cut(w, x, 1), (low >> 1, high >> 1))


def _cut(w: Walker, x: Value, bits: int) -> Value:
    """x / 2^bits, rounded up or down; never by a truncation that may fail."""
    safe = w.emit("bound", x, limit=(1 << (w.config.k - 2)) - 1, origin=INFERRED)
    return w.emit("as_int", w.emit("truncate", w.emit("move_point", safe, bits=bits), bits=bits))


@dataclass(frozen=True)
class Divisor:
    """|y|. value: an IR value; known: the magnitudes in the clear, of a public one; low, high: what it may be."""

    value: Value
    known: Known | None
    low: int
    high: int


def _unsigned(dtype: Any) -> np.dtype:
    return np.dtype(f"uint{integers.bits_of(dtype)}")


def _both(w: Walker, eqn: Any, args: list[Operand]) -> tuple[Value, Value]:
    (x, y), dtype = args, eqn.outvars[0].aval.dtype
    if integers.bits_of(dtype) > w.config.k:  # such integers are assumed to be well within the ring
        dtype = np.dtype(f"int{w.config.k}")
    if 0 in eqn.outvars[0].aval.shape:  # of no number, nothing says what the divisor is
        return w.secret(x), w.secret(x)
    same = y.uniform() if isinstance(y, Known) else None
    return w.once(("divide", x, y if same is None else same, dtype), lambda: _divided(w, x, y, dtype))


def _divided(w: Walker, x: Operand, y: Operand, dtype: Any) -> tuple[Value, Value]:
    size, below = _magnitude(w, x, dtype)
    divisor, negative, zero = _divisor(w, y, dtype)
    quick = _by_reciprocal(w, size, divisor, dtype) if divisor.known is not None else None
    q, r = quick or _by_bits(w, size, divisor, dtype)
    signs = [s for s in (below, negative) if s is not None]
    if signs:
        turn = bitwise.logic(w, "xor", *signs) if len(signs) == 2 else w.secret(signs[0])
        turn = bitwise.logic(w, "and", turn, w.emit("not", w.operand(zero))) if zero is not None else turn
        q = _turned(w, q, turn)
    r = r if below is None else _turned(w, r, below)
    return (q, r) if divisor.known is None or zero is None else _mended(w, x, q, r, zero, dtype)


def _mended(w: Walker, x: Operand, q: Value, r: Value, zero: Operand, dtype: Any) -> tuple[Value, Value]:
    """Where a public divisor is zero, what was computed is the quotient by one."""
    bit = w.secret(zero)
    ones = bitwise.const(w, -1 if integers.is_signed(dtype) else (1 << integers.bits_of(dtype)) - 1, q.shape)
    return _chosen(w, bit, q, ones), _chosen(w, bit, r, w.secret(x))


def _chosen(w: Walker, bit: Value, no: Value, yes: Value) -> Value:
    gap = w.emit("gap", yes, no)
    gap = gap if gap.type.secret else w.emit("share", gap)
    out = w.emit("add", no, w.emit("select_or_zero", bit, gap))
    return integers.within(w, out, integers.hull(integers.interval(w, no), integers.interval(w, yes)))


def _turned(w: Walker, x: Value, bit: Value) -> Value:
    """x, or -x where the bit is one."""
    part = w.emit("select_or_zero", bit, x)
    low, high = integers.interval(w, x)
    return integers.within(w, w.emit("sub", x, w.emit("add", part, part)), (min(low, -high), max(high, -low)))


def _magnitude(w: Walker, x: Operand, dtype: Any) -> tuple[Value, Value | None]:
    """|x|, as an unsigned number, and the bit that says that x is negative, if it may be."""
    value = w.secret(x)
    low, high = integers.interval(w, value)
    if low >= 0 or not integers.is_signed(dtype):
        return value, None
    below = w.once(("negative", value), lambda: w.emit("is_negative", value))
    return integers.within(w, _turned(w, value, below), (0, max(-low, high))), below


def _divisor(w: Walker, y: Operand, dtype: Any) -> tuple[Divisor, Operand | None, Operand | None]:
    """|y|, the bit [y < 0] if it may be, and the bit [y = 0] where something must be mended there."""
    if isinstance(y, Value) or y.owner:
        value, below = _magnitude(w, y, dtype)
        zero = w.emit("is_zero", value) if integers.is_signed(dtype) else None
        return Divisor(value, None, 0, max(integers.interval(w, value)[1], 1)), below, zero
    unsigned = _unsigned(dtype)

    def parts(v: Any) -> list[Any]:
        if v.dtype != dtype:
            least = np.iinfo(dtype).min if integers.is_signed(v.dtype) else 0
            v = jnp.clip(v, least, np.iinfo(dtype).max).astype(dtype)
        size = jnp.where(v < 0, (jnp.zeros_like(v) - v).astype(unsigned), v.astype(unsigned))
        return [jnp.maximum(size, unsigned.type(1)), v < 0, v == 0]

    kinds = [unsigned, np.dtype(bool), np.dtype(bool)]
    size, below, zero = (y.scope or w.root).add(parts, [y], [jax.ShapeDtypeStruct(y.shape, k) for k in kinds])
    low, high = 1, (1 << integers.bits_of(dtype)) - 1
    if size.concrete is not None and np.size(size.concrete):
        low, high = int(np.min(size.concrete)), int(np.max(size.concrete))
    plain = w.operand(size)
    negative = None if not _ever(below) or not integers.is_signed(dtype) else below
    return Divisor(plain, size, low, high), negative, zero if _ever(zero) else None


def _ever(bits: Known) -> bool:
    return bits.concrete is None or bool(np.any(bits.concrete))


def _by_reciprocal(w: Walker, a: Value, b: Divisor, dtype: Any) -> tuple[Value, Value] | None:
    """q = floor(a m / 2^s) - 1 .. + tests, m = floor(2^s / b): comparisons of the remainder say how many b are left."""
    most = integers.interval(w, a)[1]
    free = w.config.k - 3 - most.bit_length()
    assert b.known is not None
    uniform = b.known.uniform()
    least = max(b.low, 1).bit_length() - 1
    shift = (
        min(free + least, most.bit_length() + 1, w.config.k - 12) if uniform is not None else min(free, RECIPROCAL_BITS)
    )
    tests = (most >> shift) + 1 if shift > 0 else MOST_TESTS + 1
    if integers.bits_of(dtype) >= w.config.k or tests > MOST_TESTS:
        return None
    if uniform is not None:
        factor = bitwise.const(w, (1 << shift) // int(uniform), a.shape)
    else:
        factor = w.operand(_reciprocal(w, b.known, shift))
    rough = _cut(w, w.emit("mul", a, factor), shift)
    rough = w.emit("bound", rough, limit=most // max(b.low, 1) + 1, origin=INFERRED)
    rest = w.emit("sub", a, w.emit("mul", rough, b.value))
    rest = w.emit("bound", rest, limit=(tests + 1) * b.high, origin=INFERRED)
    return _corrected(w, rough, rest, b, tests, most)


def _reciprocal(w: Walker, known: Known, shift: int) -> Known:
    def inverse(v: Any) -> list[Any]:
        return [(jnp.full(v.shape, 1 << shift, np.uint32) // v.astype(np.uint32)).astype(np.uint32)]

    return (known.scope or w.root).add(inverse, [known], [jax.ShapeDtypeStruct(known.shape, np.dtype(np.uint32))])[0]


def _corrected(w: Walker, q: Value, rest: Value, b: Divisor, tests: int, most: int) -> tuple[Value, Value]:
    """The truncation may have rounded up: one b too few is possible as well."""
    change = w.emit("neg", w.emit("to_arith", w.emit("is_negative", rest)))
    taken = b.value
    for n in range(tests):
        left = w.emit("not", w.emit("is_negative", w.emit("sub", rest, taken)))
        change = w.emit("add", change, w.emit("to_arith", left))
        taken = w.emit("add", taken, b.value) if n + 1 < tests else taken
    q = integers.within(w, w.emit("add", q, change), (0, most))
    r = w.emit("sub", rest, w.emit("mul", change, b.value))
    r = w.emit("bound", r, limit=max(b.high - 1, 1), origin=INFERRED)
    return q, integers.within(w, r, (0, max(b.high - 1, 0)))


def _by_bits(w: Walker, a: Value, b: Divisor, dtype: Any) -> tuple[Value, Value]:
    """Long division; by an unsigned number of the whole width and its top bit set the quotient is 0 or 1."""
    bits, k = integers.bits_of(dtype), w.config.k
    divisor = b.value if b.value.type.secret else w.emit("share", b.value)
    wide = np.dtype(f"int{k}")
    limit = float(1 << (bits + 1)) if bits < k - 2 else None
    planes = bitwise.planes(w, a, _unsigned(dtype))
    avals = [jax.ShapeDtypeStruct(planes.shape, np.dtype(bool)), jax.ShapeDtypeStruct(divisor.shape, wide)]
    with jax.enable_x64(True):
        found, rest = expand(w, long_division(limit), planes, divisor, avals=avals)
    q = w.emit("from_bits", w.secret(found), signed=False)
    rest = integers.within(w, w.secret(rest), (0, (1 << bits) - 1))
    if bits < k:
        return q, rest
    q = _chosen(w, w.emit("is_zero", divisor), q, bitwise.const(w, -1, q.shape))  # the remainder may pass the ring
    if integers.is_signed(dtype):
        return q, rest
    top = w.emit("is_negative", divisor)
    fits = w.emit("not", w.emit("less", integers.turn(w, a), integers.turn(w, divisor)))
    q = _chosen(w, top, q, w.emit("to_arith", fits))
    return q, w.emit("sub", a, w.emit("mul", q, divisor))
