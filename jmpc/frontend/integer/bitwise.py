"""Bits of integers: logic on them, one by one, in a secure program.

What goes in: operands, secret or public, that may have left their dtype: the low bits are the same. What comes out:
secret integers within their dtype. A decomposition is made once for a value, and one made of bits keeps them, so that a
chain of bit operations costs one decomposition an operand and one sum at its end. An integer wider than the ring is one
of the ring: its further bits are the sign, and of a result those that the ring holds are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import lax

from jmpc.frontend.integer import integers
from jmpc.frontend.known import Known
from jmpc.ir.program import Value
from jmpc.ir.types import INT

if TYPE_CHECKING:
    from jmpc.frontend.walk import Operand, Walker


def logic(w: Walker, name: str, x: Operand, y: Operand) -> Value:
    """and, or, xor of bools."""
    a, b = w.operand(x), w.operand(y)
    if name == "or" and not (a.type.secret and b.type.secret):
        return w.emit("not", w.emit("and", w.emit("not", a), w.emit("not", b)))
    return w.emit(name, a, b)


def complement(w: Walker, x: Operand) -> Value:
    """~x = -1 - x."""
    value = w.secret(x)
    return w.emit("sub", const(w, -1, value.shape), value)


def const(w: Walker, value: int, shape: tuple[int, ...]) -> Value:
    return w.emit("const", value=integers.element(w, value), shape=shape, kind=INT, scale=0)


def planes(w: Walker, x: Operand, dtype: Any) -> Value:
    """The bits of an integer, lowest first: bools of shape (n, *shape)."""
    bits = integers.bits_of(dtype)
    if isinstance(x, Value) or x.owner:
        value = w.secret(x)
        return w.once(("bits", value, bits), lambda: _decomposed(w, value, bits))
    return w.operand(public_planes(w, x, dtype))


def _decomposed(w: Walker, x: Value, bits: int) -> Value:
    held = min(bits, w.config.k)
    found = w.emit("bits", x, start=0, width=held)
    if held == bits:
        return found
    sign = slice_rows(w, found, held - 1, held)
    spread = w.emit("broadcast", sign, shape=(bits - held, *x.shape), dims=tuple(range(len(sign.shape))))
    return w.emit("concat", found, spread, axis=0)


def slice_rows(w: Walker, x: Value, start: int, stop: int) -> Value:
    """Rows along the first axis."""
    rest = x.shape[1:]
    return w.emit("slice", x, start=(start, *(0,) * len(rest)), limit=(stop, *rest), strides=(1,) * (len(rest) + 1))


def row(w: Walker, x: Value, n: int) -> Value:
    return w.emit("reshape", slice_rows(w, x, n, n + 1), shape=x.shape[1:])


def public_planes(w: Walker, x: Known, dtype: Any) -> Known:
    bits = integers.bits_of(dtype)

    def cut(v: Any) -> list[Any]:
        unsigned = lax.bitcast_convert_type(jax.numpy.asarray(v, dtype), np.dtype(f"uint{bits}"))
        rows = jax.numpy.arange(bits, dtype=unsigned.dtype).reshape(-1, *[1] * unsigned.ndim)
        return [(unsigned[None] >> rows) & 1 == 1]

    (found,) = (x.scope or w.root).add(cut, [x], [jax.ShapeDtypeStruct((bits, *x.shape), np.dtype(bool))])
    return found


def number(w: Walker, bits: Value, dtype: Any) -> Value:
    """The integer of this dtype with these bits."""
    held = min(bits.shape[0], w.config.k)
    kept = bits if held == bits.shape[0] else slice_rows(w, bits, 0, held)
    made = w.emit("from_bits", kept, signed=integers.is_signed(dtype))
    w.once(("bits", made, integers.bits_of(dtype)), lambda: bits)
    return made


def combined(w: Walker, name: str, args: list[Operand], dtype: Any) -> Value:
    """and, or, xor of integers, bit by bit."""
    x, y = args
    for value, mask in ((x, y), (y, x)):
        found = _by_constant(w, name, value, mask, dtype)
        if found is not None:
            return found
    return number(w, logic(w, name, planes(w, x, dtype), planes(w, y, dtype)), dtype)


def _by_constant(w: Walker, name: str, x: Operand, mask: Operand, dtype: Any) -> Value | None:
    """Without a decomposition: with all ones, no ones, and for `and` low ones (a residue) or none but the lowest."""
    uniform = mask.uniform() if isinstance(mask, Known) else None
    if uniform is None:
        return None
    bits = integers.bits_of(dtype)
    ones, value = int(uniform) % (1 << bits), w.secret(x)
    if ones == 0:
        return const(w, 0, value.shape) if name == "and" else value
    if ones == (1 << bits) - 1:
        return {"and": lambda: value, "or": lambda: const(w, -1, value.shape), "xor": lambda: complement(w, x)}[name]()
    low, high = _low_ones(ones), _low_ones((1 << bits) - 1 - ones)
    if name != "and" or (low is None and high is None):
        return None
    if (low or high or 0) >= w.config.k:
        return None
    residue = w.emit("wrap", value, bits=low or high, signed=False)
    return residue if low is not None else w.emit("sub", value, residue)


def _low_ones(number: int) -> int | None:
    """n, if the number is 2^n - 1."""
    return number.bit_length() if number & (number + 1) == 0 else None
