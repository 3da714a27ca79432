"""Integers that wrap: where a secret integer stands to its dtype, and bringing it back where its true value counts.

The ring is Z_2^k, so that it holds every smaller modulus: a sum or product of n-bit integers may grow beyond n bits,
and its low n bits are still those of JAX's result. Every integer has an interval that holds it, read as a signed ring
element. Where that leaves the dtype, and the true value counts (a comparison, a conversion, an index, a shift to the
right), `settle` takes the low n bits; a receiver takes them for nothing. An integer of k bits is settled as it is; for
an unsigned one, the ring element is 2^k less from 2^(k-1) on.

What goes in: values, ops and dtypes. What comes out: intervals, settled values. Not here: rules by primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jmpc.errors import RangeError
from jmpc.frontend.facts import Fact
from jmpc.frontend.known import Known
from jmpc.frontend.scope import Operand, Results, Scope, listed
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, INT, Type

Interval = tuple[int, int]
INTERVAL: Fact[Interval] = Fact("between which integers it is")

# Operands whose true value counts, by primitive; of others, all of them.
NONE: tuple[int, ...] = ()
MODULAR = ("add", "add_any", "sub", "mul", "neg", "square", "integer_pow", "dot_general", "conv_general_dilated")
MODULAR += ("reduce_sum", "cumsum", "reduce_window_sum", "reduce_prod", "cumprod", "convert_element_type")
MODULAR += ("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not", "shift_left", "population_count", "clz")
MOVED = ("reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "rev", "tile", "stack", "unstack")
MOVED += ("concatenate", "pad", "slice", "split", "copy", "copy_p", "optimization_barrier", "stop_gradient", "name")
MOVED += ("device_put", "dce_sink", "xla_metadata_value", "sharding_constraint", "scan", "while", "custom_linear_solve")
TRUE_OPERANDS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys((*MODULAR, *MOVED), NONE),
    **dict.fromkeys(("select_n", "cond"), (0,)),
    **dict.fromkeys(("gather", "scatter", "scatter-add", "scatter_add"), (1,)),
    "dynamic_slice": tuple(range(1, 33)),
    "dynamic_update_slice": tuple(range(2, 34)),
}
SELECTING = {"max", "min", "clamp", "reduce_max", "reduce_min", "sort", "top_k"}
SELECTING |= {"reduce_window_max", "reduce_window_min"}
ORDERED = SELECTING | {"lt", "le", "gt", "ge", "le_to", "lt_to", "argmax", "argmin"}


def bits_of(dtype: Any) -> int:
    return 8 * np.dtype(dtype).itemsize


def is_signed(dtype: Any) -> bool:
    return np.dtype(dtype).kind == "i"


def is_integer(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "iu"


def of_dtype(dtype: Any, k: int) -> Interval:
    info = np.iinfo(dtype)
    return fitted((int(info.min), int(info.max)), k)


def fitted(found: Interval, k: int) -> Interval:
    """What is beyond the ring may be anywhere in it."""
    half = 1 << (k - 1)
    return found if -half <= found[0] and found[1] < half else (-half, half - 1)


def of_limit(t: Type, k: int) -> Interval:
    return fitted((-t.limit, t.limit), k) if t.limit < 1 << (k - 1) else (-(1 << (k - 1)), (1 << (k - 1)) - 1)


def hull(*intervals: Interval) -> Interval:
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def wider(x: Interval, y: Interval) -> Interval:
    """The product of two intervals."""
    ends = [a * b for a in x for b in y]
    return min(ends), max(ends)


# --- one function an op: (intervals of the operands, their types, the type of the result, attributes) -> interval

Rule = Callable[[Sequence[Interval], Sequence[Type], Type, Mapping[str, Any]], Interval]


def _terms(found: Sequence[Interval], types: Sequence[Type], out: Type, attrs: Mapping[str, Any]) -> Interval:
    """Of a sum of many: as many as the limit grew."""
    count = out.limit // max(types[0].limit, 1) + 1
    return hull((0, 0), (found[0][0] * count, found[0][1] * count))


def _inner(found: Sequence[Interval], types: Sequence[Type], out: Type, attrs: Mapping[str, Any]) -> Interval:
    """Of a sum of products."""
    low, high = wider(*found[:2])
    return 0 if low >= 0 else -out.limit, 0 if high <= 0 else out.limit


def _from_bits(found: Sequence[Interval], types: Sequence[Type], out: Type, attrs: Mapping[str, Any]) -> Interval:
    top = 1 << (types[0].shape[0] - bool(attrs["signed"]))
    return (-top if attrs["signed"] else 0), top - 1


def _wrap(found: Sequence[Interval], types: Sequence[Type], out: Type, attrs: Mapping[str, Any]) -> Interval:
    top = 1 << (attrs["bits"] - attrs["signed"])
    return (-top if attrs["signed"] else 0), top - 1


INTERVALS: dict[str, Rule] = {
    "const": lambda found, types, out, attrs: (attrs["value"], attrs["value"]),
    "add": lambda found, types, out, attrs: (found[0][0] + found[1][0], found[0][1] + found[1][1]),
    **dict.fromkeys(
        ("sub", "gap"), lambda found, types, out, attrs: (found[0][0] - found[1][1], found[0][1] - found[1][0])
    ),
    "neg": lambda found, types, out, attrs: (-found[0][1], -found[0][0]),
    "mul": lambda found, types, out, attrs: wider(*found),
    "relu": lambda found, types, out, attrs: (max(found[0][0], 0), max(found[0][1], 0)),
    "select_or_zero": lambda found, types, out, attrs: hull((0, 0), found[1]),
    "bound": lambda found, types, out, attrs: (max(found[0][0], -out.limit), min(found[0][1], out.limit)),
    "wrap": _wrap,
    "from_bits": _from_bits,
    **dict.fromkeys(("dot", "conv"), _inner),
    **dict.fromkeys(("reduce_sum", "cumsum", "window_sum"), _terms),
    "permute": lambda found, types, out, attrs: found[1],
    **dict.fromkeys(("to_arith", "argmax", "rank", "one_hot"), lambda found, types, out, attrs: (0, out.limit)),
    **dict.fromkeys(("share", "reduce_max", "window_max"), lambda found, types, out, attrs: found[0]),
    **dict.fromkeys(
        ("reshape", "transpose", "broadcast", "slice", "rev", "take", "dynamic_slice"),
        lambda found, types, out, attrs: found[0],
    ),
    "gather": lambda found, types, out, attrs: hull((0, 0), found[0]),
    **dict.fromkeys(("concat", "pad"), lambda found, types, out, attrs: hull(*found)),
    "dynamic_update": lambda found, types, out, attrs: hull(*found[:2]),
}


def infer(w: Scope, name: str, inputs: Sequence[Value], out: Type, attrs: Mapping[str, Any]) -> Interval:
    """The interval of the result of an op."""
    found = [interval(w, v) for v in inputs]
    rule = INTERVALS.get(name)
    widest = of_limit(out, w.config.k)
    if rule is None:
        return widest
    low, high = fitted(rule(found, [v.type for v in inputs], out, attrs), w.config.k)
    return max(low, widest[0]), min(high, widest[1])


def interval(w: Scope, x: Value) -> Interval:
    if x.type.kind != INT:
        return of_limit(x.type, w.config.k)
    return w.facts.of(INTERVAL, x) or of_limit(x.type, w.config.k)


def within(w: Scope, x: Value, found: Interval) -> Value:
    """`x`, of which the front end knows more than an op says."""
    if x.type.kind == INT:
        w.facts.note(INTERVAL, x, fitted(found, w.config.k))
    return x


def like(w: Scope, outer: Value, shape: tuple[int, ...] | None = None) -> Value:
    """A parameter that stands for a value of the scope around, or for slices of it."""
    param = Value(outer.type if shape is None else outer.type.with_(shape=shape))
    return within(w, param, interval(w, outer))


def of_input(x: Known, t: Type, k: int) -> Interval:
    """Inputs are checked against their dtype and their limit before they are shared."""
    low, high = of_dtype(x.dtype, k)
    return (max(low, -t.limit), min(high, t.limit)) if t.limit < 1 << (k - 1) else (low, high)


def element(w: Scope, number: int) -> int:
    """An integer constant as a signed ring element. Raises RangeError where it needs more bits than the ring has."""
    half = ops.whole(w.config)
    if not -half <= number < 2 * half:
        raise RangeError(
            f"an integer constant does not fit a ring of {w.config.k} bits",
            where=w.build.loc,
            todo="use a wider ring: Config(k=64)",
        )
    return (number + half) % (2 * half) - half


# --- settling


def is_settled(w: Scope, x: Operand, dtype: Any) -> bool:
    if isinstance(x, Known) or x.type.kind != INT or bits_of(dtype) >= w.config.k:
        return True
    info, (low, high) = np.iinfo(dtype), interval(w, x)
    return int(info.min) <= low and high <= int(info.max)


def settle(w: Scope, x: Operand, dtype: Any) -> Operand:
    """The true value of an integer of this dtype: its low bits, where it may have left the dtype."""
    if isinstance(x, Known) or is_settled(w, x, dtype):
        return x
    return w.once(("wrap", x, dtype), lambda: w.emit("wrap", x, bits=bits_of(dtype), signed=is_signed(dtype)))


def true_operands(w: Scope, eqn: Any, args: list[Operand]) -> list[Operand]:
    """The operands of an equation, settled where it needs their true values."""
    name = eqn.primitive.name
    wanted = TRUE_OPERANDS.get(name)
    dtypes = [v.aval.dtype for v in eqn.invars]
    return [
        settle(w, a, d) if is_integer(d) and (wanted is None or n in wanted) else a
        for n, (a, d) in enumerate(zip(args, dtypes, strict=True))
    ]


def ruled(w: Scope, apply: Callable[..., Results], eqn: Any, args: list[Operand]) -> list[Operand]:
    """What the rule of a primitive gives on operands as it needs them."""
    args, avals = true_operands(w, eqn, args), [v.aval for v in eqn.outvars]
    turn = needs_turning(w, eqn, args)
    outs = listed(apply(w, eqn, turned(w, args, [v.aval for v in eqn.invars]) if turn else args))
    outs = turned(w, outs, avals) if turn and eqn.primitive.name in SELECTING else outs
    return [after(w, x, aval.dtype) for x, aval in zip(outs, avals, strict=True)]


def after(w: Scope, x: Operand, dtype: Any) -> Operand:
    """A result. An integer wider than the ring is assumed to stay within it: only the ring's own modulus wraps."""
    if not isinstance(x, Value) or x.type.kind != INT or not is_integer(dtype) or bits_of(dtype) <= w.config.k:
        return x
    most = (1 << (w.config.k - 2)) - 1
    return x if x.type.limit <= most else w.emit("bound", x, limit=most, origin=ASSUMED)


def decided(w: Scope, name: str, x: Operand, y: Operand, dtype: Any) -> bool | None:
    """What an order of integers is for all that they can be: an index that cannot be negative is not tested."""
    if name not in ("lt", "le", "gt", "ge") or not is_integer(dtype) or bits_of(dtype) > w.config.k:
        return None
    if _is_whole(w, dtype) or not (is_settled(w, x, dtype) and is_settled(w, y, dtype)):
        return None
    (low, high), (least, most) = _bounds(w, x), _bounds(w, y)
    if name in ("gt", "le"):
        (low, high), (least, most) = (least, most), (low, high)
    sure = True if high < least else False if low >= most else None
    return sure if sure is None or name in ("lt", "gt") else not sure


def _bounds(w: Scope, x: Operand) -> Interval:
    """Of an operand that may be a constant."""
    if isinstance(x, Value):
        return interval(w, x)
    if x.concrete is not None and not x.owner and np.size(x.concrete):
        return int(np.min(x.concrete)), int(np.max(x.concrete))
    return of_dtype(x.dtype, w.config.k)


# --- unsigned integers as wide as the ring: their order is that of signed ones with the top bit turned


def needs_turning(w: Scope, eqn: Any, args: Sequence[Operand]) -> bool:
    if eqn.primitive.name not in ORDERED:
        return False
    return any(_is_whole(w, v.aval.dtype) for v in eqn.invars) and not all(
        isinstance(a, Value) and interval(w, a)[0] >= 0 for a in args
    )


def _is_whole(w: Scope, dtype: Any) -> bool:
    return is_integer(dtype) and not is_signed(dtype) and bits_of(dtype) == w.config.k


def turned(w: Scope, operands: Sequence[Operand], avals: Sequence[Any]) -> list[Operand]:
    """x + 2^(k-1) for unsigned integers as wide as the ring; twice is the identity."""
    return [turn(w, x) if _is_whole(w, aval.dtype) else x for x, aval in zip(operands, avals, strict=True)]


def turn(w: Scope, x: Operand) -> Value:
    value = w.secret(x)
    top = w.emit("const", value=-ops.whole(w.config), shape=value.shape, kind=INT, scale=0)
    return w.emit("add", value, top)
