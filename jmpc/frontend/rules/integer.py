"""Rules for shifts and counts of bits of integers. Not here: logic and division
(`frontend/integer/`)."""

from __future__ import annotations

from typing import Any, TypeGuard

import jax
import numpy as np

from jmpc.frontend.calls import call_rule, primitives_within
from jmpc.frontend.integer import bitwise, division, integers
from jmpc.frontend.integer.bitwise import row, slice_rows
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir.program import Value


def _spread(w: Walker, bit: Value, count: int) -> Value:
    """The same bit in each of `count` rows."""
    return w.emit("broadcast", bit, shape=(count, *bit.shape), dims=tuple(range(1, len(bit.shape) + 1)))


@rule("population_count")
def _population_count(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    bits = bitwise.planes(w, args[0], eqn.invars[0].aval.dtype)
    return _count(w, bits)


def _count(w: Walker, bits: Value) -> Value:
    total = w.emit("reduce_sum", w.emit("to_arith", bits), axes=(0,))
    return integers.within(w, total, (0, bits.shape[0]))


@rule("clz")
def _clz(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """The zeros above the highest one: of each bit, whether it or one above it is set, by doubling."""
    seen, n = w.emit("rev", bitwise.planes(w, args[0], eqn.invars[0].aval.dtype), axes=(0,)), 1
    while n < seen.shape[0]:
        joined = w.emit("or", slice_rows(w, seen, n, seen.shape[0]), slice_rows(w, seen, 0, seen.shape[0] - n))
        seen = w.emit("concat", slice_rows(w, seen, 0, n), joined, axis=0)
        n *= 2
    return _count(w, w.emit("not", seen))


# --- shifts


@rule("shift_left")
def _shift_left(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """x 2^s mod 2^n. A secret 2^s is the product of 2^(2^j) or 1 over the bits of s, and 0 from n on."""
    (x, by), dtype = args, eqn.outvars[0].aval.dtype
    if _is_public(by):
        return w.emit("mul", w.secret(x), w.operand(_power(w, by, dtype)))
    amount, beyond = _amount(w, by, dtype)
    power = None
    for j, bit in enumerate(amount):
        step = bitwise.const(w, (1 << (1 << j)) - 1, bit.shape)
        factor = w.emit("add", w.emit("mul", w.emit("to_arith", bit), step), bitwise.const(w, 1, bit.shape))
        power = factor if power is None else w.emit("mul", power, factor)
    assert power is not None
    return w.emit("select_or_zero", w.emit("not", beyond), w.emit("mul", w.secret(x), power))


def _is_public(x: Operand) -> TypeGuard[Known]:
    return isinstance(x, Known) and not x.owner


def _power(w: Walker, by: Known, dtype: Any) -> Known:
    """2^s in the clear, 0 where the shift leaves the width."""
    bits = integers.bits_of(dtype)
    unsigned = np.dtype(f"uint{bits}")

    def power(s: Any) -> list[Any]:
        s = jax.numpy.asarray(s).astype(unsigned)
        return [jax.numpy.where(s < bits, unsigned.type(1) << jax.numpy.minimum(s, unsigned.type(bits - 1)), 0)]

    return (by.scope or w.root).add(power, [by], [jax.ShapeDtypeStruct(by.shape, unsigned)])[0]


def _amount(w: Walker, by: Operand, dtype: Any) -> tuple[list[Value], Value]:
    """The bits of a shift that count, lowest first, and whether it is as large as the width (or negative)."""
    bits = bitwise.planes(w, by, dtype)
    count = (bits.shape[0] - 1).bit_length()
    return [row(w, bits, j) for j in range(count)], w.emit(
        "reduce_or", slice_rows(w, bits, count, bits.shape[0]), axes=(0,)
    )


@rule("shift_right_logical", "shift_right_arithmetic")
def _shift_right(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """The true value of the left operand is not needed where bits are moved; the rule `settles` it where it divides."""
    (x, by), dtype = args, eqn.outvars[0].aval.dtype
    signed = eqn.primitive.name == "shift_right_arithmetic"
    uniform = by.uniform() if isinstance(by, Known) else None
    if uniform is not None:
        return _by_constant(w, w.secret(x), int(uniform), dtype, signed)
    bits = bitwise.planes(w, x, dtype)
    fill = row(w, bits, bits.shape[0] - 1) if signed else None
    if isinstance(by, Known) and not by.owner:
        amount = bitwise.planes(w, by, dtype)
        count = (bits.shape[0] - 1).bit_length()
        steps = [row(w, amount, j) for j in range(count)]
        beyond = w.emit("reduce_or", slice_rows(w, amount, count, bits.shape[0]), axes=(0,))
    else:
        steps, beyond = _amount(w, by, dtype)
    for j, step in enumerate(steps):
        bits = _moved(w, bits, step, 1 << j, fill)
    return bitwise.number(w, _moved(w, bits, beyond, bits.shape[0], fill), dtype)


def _moved(w: Walker, bits: Value, step: Value, rows: int, fill: Value | None) -> Value:
    """The rows moved down where the bit `step` is one; above comes the sign, or zeros."""
    count = bits.shape[0]
    top = _spread(w, fill, rows) if fill is not None else w.secret(constant(np.zeros((rows, *bits.shape[1:]), bool)))
    moved = w.emit("concat", slice_rows(w, bits, rows, count), top, axis=0) if rows < count else top
    change = w.emit("and", _spread(w, step, count), w.emit("xor", bits, moved))
    return w.emit("xor", bits, change)


def _by_constant(w: Walker, x: Value, by: int, dtype: Any, signed: bool) -> Value:
    """floor(x / 2^s), of the integer read as signed or unsigned."""
    bits = integers.bits_of(dtype)
    if by == 0:
        return x
    if not 0 <= by < bits:
        if not signed:
            return bitwise.const(w, 0, x.shape)
        by = bits - 1
    if bits > w.config.k:
        if not signed:
            return bitwise.number(w, _shifted_rows(w, bitwise.planes(w, x, dtype), by), dtype)
        bits, by = w.config.k, min(by, w.config.k - 1)
    as_read = np.dtype(f"{'' if signed else 'u'}int{bits}")
    if by == bits - 1:
        top = w.emit("to_arith", w.emit("bit_at", x, bits=bits))
        return w.emit("neg", top) if signed else top
    if bits < w.config.k:
        return divided(w, w.secret(integers.settle(w, x, as_read)), by)
    kept = w.emit("bits", x, start=by, width=bits - by)
    return w.emit("from_bits", kept, signed=signed)


def _shifted_rows(w: Walker, bits: Value, by: int) -> Value:
    zeros = w.secret(constant(np.zeros((by, *bits.shape[1:]), bool)))
    return w.emit("concat", slice_rows(w, bits, by, bits.shape[0]), zeros, axis=0)


def divided(w: Walker, x: Value, by: int) -> Value:
    """floor(x / 2^by) of an integer well within the ring."""
    low, high = integers.interval(w, x)
    x = w.emit("bound", x, limit=max(-low, high, 1), origin="inferred")
    return integers.within(w, w.emit("floor", w.emit("move_point", x, bits=by)), (low >> by, high >> by))


@call_rule("gcd")
def _gcd(w: Walker, eqn: Any, args: list[Operand]) -> Results | None:
    """jnp.gcd loops until it is done, which would tell how long that takes."""
    if "while" not in primitives_within(eqn) or not integers.is_integer(eqn.outvars[0].aval.dtype):
        return None
    return division.greatest_common_divisor(w, eqn, args)
