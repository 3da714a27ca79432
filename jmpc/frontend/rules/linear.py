"""Rules for linear and structural primitives: what each share can do alone. Not here: indexing (`index.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jmpc.errors import BoundError
from jmpc.frontend.expand import resting
from jmpc.frontend.fixed_point import averages, beyond, roots, squares, sums, unfit
from jmpc.frontend.fixed_point.divide import divide, note_power, over_power
from jmpc.frontend.fixed_point.variance import centred, mean_of_squares, never_negative
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import constant, kind_of
from jmpc.frontend.known import Known
from jmpc.frontend.scope import Results, in_clear
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INFERRED, INT

Attrs = Callable[[Any, Any], dict[str, Any]]


def _one_to_one(primitive: str, op: str, attrs: Attrs) -> None:
    def emit(w: Walker, eqn: Any, args: list[Operand]) -> Value:
        return w.emit(op, w.secret(args[0]), **attrs(eqn.params, eqn))

    rule(primitive)(emit)


def _out_shape(eqn: Any) -> tuple[int, ...]:
    return tuple(eqn.outvars[0].aval.shape)


_one_to_one("squeeze", "reshape", lambda p, e: {"shape": _out_shape(e)})
_one_to_one("expand_dims", "reshape", lambda p, e: {"shape": _out_shape(e)})
_one_to_one("transpose", "transpose", lambda p, e: {"perm": tuple(p["permutation"])})
_one_to_one(
    "broadcast_in_dim", "broadcast", lambda p, e: {"shape": _out_shape(e), "dims": tuple(p["broadcast_dimensions"])}
)
_one_to_one("rev", "rev", lambda p, e: {"axes": tuple(p["dimensions"])})


@rule("neg")
def _neg(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    made = w.emit("neg", w.secret(args[0]))
    roots.note_negative(w, made, args[0])
    return made


@rule("reshape")
def _reshape(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x, order = w.secret(args[0]), eqn.params["dimensions"]
    x = x if order is None else w.emit("transpose", x, perm=tuple(order))
    return w.emit("reshape", x, shape=_out_shape(eqn))


@rule("tile")
def _tile(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """A new axis before each, as long as its repetitions, then merged."""
    x, times = w.secret(args[0]), tuple(eqn.params["reps"])
    spread = tuple(n for pair in zip(times, x.shape, strict=True) for n in pair)
    dims = tuple(range(1, 2 * len(x.shape), 2))
    return w.emit("reshape", w.emit("broadcast", x, shape=spread, dims=dims), shape=_out_shape(eqn))


@rule("stack")
def _stack(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    axis, shape = eqn.params["axis"], _out_shape(eqn)
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [w.emit("reshape", a, shape=one) for a in same_scale(w, args)]
    return w.emit("concat", *parts, axis=axis) if len(parts) > 1 else w.secret(parts[0])


@rule("copy", "copy_p", "optimization_barrier", "sharding_constraint", "reduce_precision", "stop_gradient")
def _same(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    return args[: len(eqn.outvars)]


@rule("slice")
def _slice(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    p, x = eqn.params, w.secret(args[0])
    strides = p["strides"] or (1,) * len(x.shape)
    return w.emit("slice", x, start=tuple(p["start_indices"]), limit=tuple(p["limit_indices"]), strides=tuple(strides))


@rule("split")
def _split(w: Walker, eqn: Any, args: list[Operand]) -> list[Value]:
    x, axis, parts, at = w.secret(args[0]), eqn.params["axis"], [], 0
    for size in eqn.params["sizes"]:
        start = tuple(at if d == axis else 0 for d in range(len(x.shape)))
        limit = tuple(at + size if d == axis else n for d, n in enumerate(x.shape))
        parts.append(w.emit("slice", x, start=start, limit=limit, strides=(1,) * len(x.shape)))
        at += size
    return parts


@rule("concatenate")
def _concatenate(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    if len(args) == 1:
        return w.secret(args[0])
    return w.emit("concat", *same_scale(w, args), axis=eqn.params["dimension"])


@rule("pad")
def _pad(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    config = tuple(tuple(int(n) for n in c) for c in eqn.params["padding_config"])
    return w.emit("pad", *same_scale(w, args), config=config)


@rule("reduce_sum")
def _reduce_sum(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x, axes = w.secret(args[0]), tuple(eqn.params["axes"])
    if all(x.shape[d] == 1 for d in axes):  # as derivatives of broadcasts have it
        return w.emit("reshape", x, shape=_out_shape(eqn))
    return _summed(w, "reduce_sum", [x], axes=axes)


@rule("cumsum")
def _cumsum(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return _summed(w, "cumsum", [w.secret(args[0])], axis=eqn.params["axis"], reverse=eqn.params["reverse"])


@rule("reduce_window_sum")
def _window_sum(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return _summed(w, "window_sum", [w.secret(args[0])], **ops.window_attrs(**eqn.params))


def _summed(w: Walker, name: str, args: list[Operand], **attrs: Any) -> Value:
    """Of terms that keep more fraction bits than the number format has: without those, where all would not fit."""
    try:
        return w.emit(name, *same_scale(w, args), **attrs)
    except BoundError:
        held = [w.secret(a) if isinstance(a, Known) and a.owner else a for a in args]
        if all(not isinstance(a, Value) or a.type.scale <= w.config.f for a in held):
            raise
    return w.emit(name, *same_scale(w, [truncated(w, a) if isinstance(a, Value) else a for a in held]), **attrs)


def same_scale(w: Walker, args: list[Operand]) -> list[Value]:
    """Operands of a sum or a comparison: all at the largest scale of the secret ones, at which public ones are encoded.
    Where all are public, at that of the number format."""
    held = [w.secret(a) if isinstance(a, Known) and a.owner else a for a in args]
    scales = [a.type.scale for a in held if isinstance(a, Value)]
    scale = max(scales) if scales else None
    return [_at_scale(w, w.operand(a, scale), scale) for a in held]


def _at_scale(w: Walker, x: Value, scale: int | None) -> Value:
    short = 0 if scale is None or x.type.kind != FIXED else scale - x.type.scale
    return w.emit("scale_up", x, bits=short) if short else x


@rule("add", "add_any")
def _add(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    for a in args:
        beyond.refuse_sum(w, a)
    return beside(w, _summed(w, "add", args), args)


def beside(w: Walker, made: Value, args: list[Operand]) -> Value:
    """Where a root is added to a constant, or compared with one."""
    for x, other in (args, args[::-1]):
        made = roots.beside(w, made, x, number_of(other))
    return made


def number_of(x: Any) -> float | None:
    """The real number that all elements of a public constant are."""
    if not isinstance(x, Known) or x.owner or kind_of(x.dtype) != FIXED:
        return None
    number = x.uniform()
    return None if number is None else float(number)


@rule("sub")
def _sub(w: Walker, eqn: Any, args: list[Operand]) -> Operand:
    if args[0] is args[1]:
        return _zeros(eqn)
    for a in args:
        beyond.refuse_sum(w, a)
    spread = centred(w, *args)
    return _summed(w, "sub", args) if spread is None else spread


@rule("mul")
def _mul(w: Walker, eqn: Any, args: list[Operand]) -> Operand:
    if _vanishes(w, *args) or _vanishes(w, *args[::-1]):
        return _zeros(eqn)
    for x, y in (args, args[::-1]):
        found = roots.normalised(w, x, y)
        if found is None:
            found = over_power(w, x, y)
        if found is not None:
            return found
    made = product(w, "mul", args)
    for x, y in (args, args[::-1]):
        roots.note_product(w, made, x, y)
    return made


def _zeros(eqn: Any) -> Known:
    out = eqn.outvars[0].aval
    return constant(np.zeros(out.shape, out.dtype))


def _vanishes(w: Walker, x: Operand, factor: Operand) -> bool:
    """Whether a product is less than half of the last fraction bit, for all that x can be."""
    number = factor.uniform() if isinstance(factor, Known) else None
    if not number or abs(number) >= 2.0**-w.config.f:
        return number == 0
    kind = w.secret(x).type
    return w.wanted is None and kind.kind == FIXED and abs(number) * 2 * kind.limit < 2.0 ** (kind.scale - w.config.f)


def product(w: Walker, op: str, args: list[Operand], **attrs: Any) -> Value:
    """A product, truncated back to the scale of the number format."""
    large = next((n for n, a in enumerate(args) if beyond.is_beyond(a, w.config)), None)
    if large is not None:
        return _large_product(w, op, w.secret(args[1 - large]), in_clear(args[large]), attrs)
    x, y = (w.factor(a) if isinstance(a, Known) and not a.owner else w.secret(a, exact=True) for a in args)
    made = (_variance(w, args, x, y) or _scaled(w, args, x, y) or _part_of_square(w, x, y)) if op == "mul" else None
    if made is None:
        x, y = (_operand(w, v, other) for v, other in ((x, y), (y, x)))
        bits = w.wanted and (w.wanted.product if x.type.secret and y.type.secret else w.wanted.by_constant)
        is_square = args[0] is args[1] or (w.wanted is not None and squares.same(w, x, y))
        made = unfit.product(w, op, x, x, attrs) if is_square else w.emit(op, x, y, **attrs)
        made = w.in_format(truncated(w, made, bits))
    for given, other in (args, args[::-1]) if op == "mul" else ():
        made = roots.times(w, made, given, number_of(other))
    return made


def _variance(w: Walker, args: list[Operand], x: Value, y: Value) -> Value | None:
    return mean_of_squares(w, x, number_of(args[1])) or mean_of_squares(w, y, number_of(args[0]))


def _scaled(w: Walker, args: list[Operand], x: Value, y: Value) -> Value | None:
    """By one number, where more fraction bits are wanted than the number format has."""
    if w.wanted is None or sums.hidden(w, x) or sums.hidden(w, y):
        return None
    for value, other in ((x, args[1]), (y, args[0])):
        number = number_of(other)
        if number is not None and value.type.secret:
            return averages.times(w, value, number, w.wanted)
        if value.type.secret and value.type.scale > w.config.f and isinstance(other, Known) and not other.owner:
            return averages.times_public(w, value, other, w.wanted)
    return None


def _part_of_square(w: Walker, x: Value, y: Value) -> Value | None:
    """(c y) y as c y^2, where the square keeps its bits."""
    if w.wanted is None or w.wanted.product <= w.config.f:
        return None
    for part, other in ((x, y), (y, x)):
        made = sums.unrounded(w, part)
        number = squares.number(w, made.inputs[1]) if made is not None and made.name == "mul" else None
        if made is not None and number is not None and squares.same(w, made.inputs[0], other):
            return averages.times(w, product(w, "mul", [other, other]), number, w.wanted)
    return None


def _operand(w: Walker, x: Value, other: Value) -> Value:
    """A factor with no more fraction bits than leave the product room."""
    if x.type.kind != FIXED or not x.type.secret:
        return x
    part = x if other.type.secret else sums.part(w, x, other)
    return truncated(w, x) if part is x else part


def _large_product(w: Walker, op: str, x: Value, factor: Known, attrs: dict[str, Any]) -> Value:
    """By a constant of which some elements are beyond the format."""
    x = truncated(w, x)
    found, rest = beyond.times(w, op, x, factor), beyond.rest(factor, w.config)
    return found if rest is None else w.emit("add", *same_scale(w, [found, product(w, op, [x, rest], **attrs)]))


def truncated(w: Walker, x: Value, bits: int | None = None) -> Value:
    """With at most so many fraction bits, those of the number format by default."""
    extra = x.type.scale - (w.config.f if bits is None else bits)
    return w.emit("truncate", x, bits=extra) if x.type.kind == FIXED and extra > 0 else x


@rule("dot_general")
def _dot(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    (lc, rc), (lb, rb) = eqn.params["dimension_numbers"]
    return _product_of_any(w, eqn, "dot", args, dims=((tuple(lc), tuple(rc)), (tuple(lb), tuple(rb))))


@rule("conv_general_dilated")
def _conv(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    p, d = eqn.params, eqn.params["dimension_numbers"]
    return _product_of_any(
        w,
        eqn,
        "conv",
        args,
        strides=tuple(p["window_strides"]),
        padding=tuple(tuple(int(n) for n in pair) for pair in p["padding"]),
        lhs_dilation=tuple(p["lhs_dilation"]),
        rhs_dilation=tuple(p["rhs_dilation"]),
        dims=(tuple(d.lhs_spec), tuple(d.rhs_spec), tuple(d.out_spec)),
        feature_groups=p["feature_group_count"],
        batch_groups=p["batch_group_count"],
    )


def _product_of_any(w: Walker, eqn: Any, op: str, args: list[Operand], **attrs: Any) -> Value:
    """Of two arrays of bools: whether any pair of true ones meets, or how many, if the result is a number."""
    if any(v.aval.dtype != bool for v in eqn.invars):
        return product(w, op, args, **attrs)
    pairs = product(w, op, [w.emit("to_arith", w.secret(a)) for a in args], **attrs)
    if (to := kind_of(eqn.outvars[0].aval.dtype)) == BOOL:
        return w.emit("not", w.emit("is_zero", pairs))
    return w.emit("scale_up", pairs, bits=w.config.f) if to == FIXED else pairs


@rule("square")
def _square(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    return product(w, "mul", [args[0], args[0]])


@rule("integer_pow")
def _integer_pow(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if eqn.params["y"] == 2:
        return product(w, "mul", [args[0], args[0]])
    return power_of(w, eqn, args, eqn.params["y"])


def power_of(w: Walker, eqn: Any, args: list[Operand], power: int) -> Any:
    """By squaring."""
    if power < 0:
        positive = power_of(w, eqn, args, -power)
        made = divide(w, constant(np.ones(positive.shape, eqn.outvars[0].aval.dtype)), positive)
        return note_power(w, made, w.secret(args[0]), -power)
    if power == 0:
        return w.secret(constant(np.ones(args[0].shape, eqn.outvars[0].aval.dtype)))
    base, result = w.secret(args[0]), None
    while power:
        if power & 1:
            result = base if result is None else product(w, "mul", [result, base])
        power >>= 1
        base = product(w, "mul", [base, base]) if power else base
    return result


@rule("convert_element_type")
def _convert(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    x, before, after = w.secret(args[0]), eqn.invars[0].aval.dtype, eqn.params["new_dtype"]
    kind, to = x.type.kind, kind_of(after)
    if kind == INT:
        return _from_integer(w, x, before, after)
    if kind == to:
        return x
    if to == BOOL:
        return w.emit("not", w.emit("is_zero", x))
    if kind == BOOL:
        x = w.emit("to_arith", x)
        return w.emit("scale_up", x, bits=w.config.f) if to == FIXED else x
    return _to_integer(w, x, after)


def _from_integer(w: Walker, x: Value, before: Any, after: Any) -> Value:
    """To a narrower integer as it is: the low bits are the same. A real number is assumed to be one of the format."""
    to = kind_of(after)
    if to == BOOL:
        test = {} if integers.is_settled(w, x, before) else {"bits": integers.bits_of(before)}
        return w.emit("not", w.emit("is_multiple" if test else "is_zero", x, **test))
    if to == INT and integers.bits_of(after) <= integers.bits_of(before):
        return x
    x = w.secret(integers.settle(w, x, before))
    if to == INT:
        return x
    most = ops.contract(0, w.config)
    x = x if x.type.limit <= most else w.emit("bound", x, limit=most, origin=ASSUMED)
    return w.secret(resting(w, w.emit("scale_up", x, bits=w.config.f)))


def _to_integer(w: Walker, x: Value, dtype: Any) -> Value:
    """As JAX casts on a CPU: without its fraction, and what the dtype does not hold is its nearest number."""
    x, (low, high) = truncated(w, x), integers.of_dtype(dtype, w.config.k)
    if not low and not never_negative(w, x):
        x = w.emit("relu", x)
    most, scale = x.type.limit, x.type.scale
    up = _excess(w, _whole_number(w, x, low), x) if low and most > -low << scale else None
    down = _excess(w, x, _whole_number(w, x, high)) if most > high << scale else None
    x = x if up is None else w.emit("add", x, up)
    x = x if down is None else w.emit("sub", x, down)
    held = min(most, max(-low, high) << scale)
    x = w.emit("bound", x, limit=held, origin=INFERRED if held < most else x.type.origin) if up or down else x
    whole = _toward_zero(w, x) if low else w.emit("floor", x)
    return integers.within(w, whole, (max(low, -(held >> scale)), min(high, held >> scale)))


def _whole_number(w: Walker, like: Value, number: int) -> Value:
    return w.emit("const", value=number << like.type.scale, shape=like.shape, kind=FIXED, scale=like.type.scale)


def _excess(w: Walker, x: Value, y: Value) -> Value:
    return w.emit("relu", w.emit("gap", x, y))


def _toward_zero(w: Walker, x: Value) -> Value:
    """The sign of the floor of the magnitude."""
    negative = w.emit("is_negative", x)
    whole = w.emit("floor", magnitude(w, x, negative))
    return magnitude(w, whole, negative)


def magnitude(w: Walker, x: Value, negative: Value) -> Value:
    """x, negated where the bit is one: x - 2 b x."""
    part = w.emit("select_or_zero", negative, x)
    out = w.emit("sub", x, w.emit("add", part, part))
    return w.emit("bound", out, limit=x.type.limit, origin=x.type.origin)
