"""Substitute a plain JAX function for a primitive: trace it at the operands' shapes, and walk it inline.

What goes in: a function over arrays, operands, and their abstract values. What comes out: operands; real results have
the fraction bits of the number format. Check mode sees the primitive, not the inside of what stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.frontend.kinds import constant
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED

DTYPES = {BOOL: np.dtype(bool), FIXED: np.dtype(np.float32)}


def expand(
    w: Walker,
    function: Callable[..., Any],
    *args: Operand,
    avals: Sequence[Any] | None = None,
    bits: int | None = None,
) -> list[Operand]:
    """The flat results of `function` on `args`, walked inline. avals: the abstract values of the arguments where
    operands alone do not say their dtype (integers); a 16-bit float is computed as float32, a constant of 64 bits as
    JAX has it. bits: fraction bits of real results, those of the number format by default.

    `function` should be one object for equal work (a module's function, a cached partial): traces are kept by it."""
    specs = tuple(_spec(a, None if avals is None else avals[n]) for n, a in enumerate(args))
    jaxpr, consts = _jax.closed(_traced(function, specs))
    notes, decisions = len(w.notes), len(w.decisions)
    outer, w.inside = w.inside, True
    outs = w.run(jaxpr, [constant(c) for c in consts], list(args))
    w.inside = outer
    del w.notes[notes:], w.decisions[decisions:]
    outs = [settled(w, out, bits) for out in outs]
    return outs if outer else [resting(w, out) for out in outs]


def settled(w: Walker, x: Operand, bits: int | None = None) -> Operand:
    """With so many fraction bits, those of the number format by default."""
    if not isinstance(x, Value) or x.type.kind != FIXED:
        return x
    return with_fraction(w, x, w.config.f if bits is None else bits)


def with_fraction(w: Walker, x: Value, bits: int) -> Value:
    extra = x.type.scale - bits
    if extra > 0:
        return w.emit("truncate", x, bits=extra)
    return w.emit("scale_up", x, bits=-extra) if extra < 0 else x


def resting(w: Walker, x: Operand) -> Operand:
    """A bound that says how large results can come out (of a reciprocal, an exponential, a dtype), and no more, refuses
    no product: where a square would leave the format, how large they are is the number format's affair."""
    if not isinstance(x, Value) or x.type.kind != FIXED or x.type.origin == ASSUMED:
        return x
    if x.type.limit.bit_length() - x.type.scale <= w.config.value_bits // 2:
        return x
    return w.emit("bound", x, limit=x.type.limit, origin=ASSUMED)


def _spec(x: Operand, aval: Any) -> tuple[tuple[int, ...], np.dtype]:
    dtype = aval.dtype if aval is not None else DTYPES.get(x.type.kind) if isinstance(x, Value) else x.dtype
    if dtype is None:
        raise AssertionError("an integer operand needs its abstract value")
    small = jax.dtypes.issubdtype(dtype, np.floating) and dtype.itemsize < 4
    return tuple(x.shape), np.dtype(np.float32) if small else np.dtype(jax.dtypes.canonicalize_dtype(dtype))


@lru_cache(maxsize=1024)
def _traced(function: Callable[..., Any], specs: tuple[tuple[tuple[int, ...], np.dtype], ...]) -> Any:
    return _jax.without_dead_code(_jax.make_jaxpr(function, *(jax.ShapeDtypeStruct(*spec) for spec in specs)))
