"""Rules for comparisons, selection, maxima, and logic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import jax
import numpy as np

from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import not_a_number, squares
from jmpc.frontend.fixed_point.never import is_nan, without_looking
from jmpc.frontend.fixed_point.variance import never_negative
from jmpc.frontend.indexing.places import note_wrapped
from jmpc.frontend.integer import bitwise, integers
from jmpc.frontend.kinds import constant, is_beyond, most
from jmpc.frontend.known import Known
from jmpc.frontend.rules.linear import beside, magnitude, number_of, same_scale
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import BOOL, FIXED, INFERRED, INT, weakest


def _less(w: Walker, x: Any, y: Any) -> Value:
    """[x < y]: the sign of x - y, where the ring holds that."""
    if isinstance(x, Value) and x.type.kind == INT and _is_zero_constant(y):
        return w.emit("is_negative", x)
    a, b = same_scale(w, [x, y])
    if _is_wide(w, a, b):
        return w.emit("less", *(v if v.type.secret else w.emit("share", v) for v in (a, b)))
    return w.emit("is_negative", w.emit("gap", a, b))


def _is_wide(w: Walker, x: Value, y: Value) -> bool:
    """Whether the difference of two integers may leave the ring."""
    if x.type.kind != INT:
        return False
    (low, high), (least, most) = integers.interval(w, x), integers.interval(w, y)
    half = ops.whole(w.config)
    return low - most < -half or high - least >= half


COMPARISONS: dict[str, Callable[[Walker, Any, Any], Value]] = {
    "lt": _less,
    "gt": lambda w, x, y: _less(w, y, x),
    "ge": lambda w, x, y: w.emit("not", _less(w, x, y)),
    "le": lambda w, x, y: w.emit("not", _less(w, y, x)),
    "eq": lambda w, x, y: _equal(w, x, y),
    "ne": lambda w, x, y: w.emit("not", _equal(w, x, y)),
}


def _equal(w: Walker, x: Any, y: Any) -> Value:
    a, b = same_scale(w, [x, y])
    if a.type.kind == BOOL:
        return w.emit("not", w.emit("xor", a, b))
    return w.emit("is_zero", w.emit("gap", a, b))


def _integers(w: Walker, name: str, x: Any, y: Any, dtype: Any) -> Value:
    """Equality of integers counts mod 2^n, and so does the sign of an n-bit integer; otherwise the true values."""
    bits = integers.bits_of(dtype)
    whole = all(integers.is_settled(w, v, dtype) for v in (x, y))
    if not whole and name in ("eq", "ne"):
        same = w.emit("is_multiple", w.emit("gap", *same_scale(w, [x, y])), bits=bits)
        return w.emit("not", same) if name == "ne" else same
    if not whole and name in ("lt", "ge") and _is_zero_constant(y) and integers.is_signed(dtype):
        below = w.emit("bit_at", x, bits=bits)
        return w.emit("not", below) if name == "ge" else below
    return COMPARISONS[name](w, *(integers.settle(w, v, dtype) for v in (x, y)))


@rule(*COMPARISONS, "eq_to", "le_to", "lt_to")
def _compare(w: Walker, eqn: Any, args: list[Operand]) -> Operand:
    """JAX's total order differs from the usual one for NaN and the sign of zero, which a ring has not."""
    (x, y), name = args, eqn.primitive.name.removesuffix("_to")
    decided = without_looking(name, x, y)
    if decided is None:
        decided = integers.decided(w, name, x, y, eqn.invars[0].aval.dtype)
    if decided is not None:
        return constant(np.full(x.shape, decided))
    if _is_bool(x) and name not in ("eq", "ne"):
        x, y = (w.emit("to_arith", w.secret(a)) for a in args)
    elif integers.is_integer(eqn.invars[0].aval.dtype):
        return _integers(w, name, x, y, eqn.invars[0].aval.dtype)
    return COMPARISONS[name](w, x, y)


def _is_bool(x: Any) -> bool:
    return x.type.kind == BOOL if isinstance(x, Value) else x.dtype == bool


def _is_zero_constant(x: Any) -> bool:
    return isinstance(x, Known) and x.uniform() == 0


def _first_is_it(name: str, x: Any, y: Any) -> bool | None:
    """Whether the larger (or the smaller) one is x, where that needs no look at them: a NaN is, on either side."""
    return True if is_nan(x) else without_looking(name, x, y)


@rule("max")
def _max(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    x, y = args
    decided = _first_is_it("ge", x, y)
    if decided is not None:
        return x if decided else y
    if _is_bool(x):
        return w.emit("or", *(w.operand(a) for a in args))
    for one, other in ((x, y), (y, x)):
        if _is_never_reached(w, one, other, below=True):
            return other
    if _is_zero_constant(x) or _is_zero_constant(y):
        other = w.secret(y if _is_zero_constant(x) else x)
        return other if never_negative(w, other) else w.emit("relu", other)
    made = beside(w, bigger(w, *same_scale(w, args)), args)
    for one, other in (args, args[::-1]):
        squares.note_larger(w, made, one, number_of(other))
    return made


def bigger(w: Walker, x: Value, y: Value) -> Value:
    """max(x, y) = y + relu(x - y), y public where one is."""
    if _is_wide(w, x, y):
        return _select_secret(w, _less(w, x, y), x, y)
    if not x.type.secret:
        x, y = y, x
    return _within(w, w.emit("add", y, w.emit("relu", w.emit("gap", x, y))), x, y)


def smaller(w: Walker, x: Value, y: Value) -> Value:
    if _is_wide(w, y, x):
        return _select_secret(w, _less(w, x, y), y, x)
    if not x.type.secret:
        x, y = y, x
    return _within(w, w.emit("sub", y, w.emit("relu", w.emit("gap", y, x))), x, y)


def _within(w: Walker, result: Value, *operands: Value) -> Value:
    """One of the operands, so within their bounds: the widest, and of equal ones the least sure."""
    limit = max(v.type.limit for v in operands)
    origin = reduce(weakest, (v.type.origin for v in operands if v.type.limit == limit))
    out = w.emit("bound", result, limit=limit, origin=origin)
    return integers.within(w, out, integers.hull(*(integers.interval(w, v) for v in operands)))


def _is_never_reached(w: Walker, end: Any, x: Any, below: bool) -> bool:
    """Whether a constant is beyond all that a real number can be, below it or above."""
    if not is_beyond(end, w.config) or (isinstance(x, Value) and x.type.limit > ops.contract(x.type.scale, w.config)):
        return False
    number = np.asarray(end.concrete, np.float64)
    return bool((number < -most(w.config)).all() if below else (number > most(w.config)).all())


@rule("min")
def _min(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    decided = _first_is_it("le", *args)
    if decided is not None:
        return args[0] if decided else args[1]
    if _is_bool(args[0]):
        return w.emit("and", *(w.operand(a) for a in args))
    for one, other in (args, args[::-1]):
        if _is_never_reached(w, one, other, below=False):
            return other
    return smaller(w, *same_scale(w, args))


@rule("clamp")
def _clamp(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    low, x, high = args
    lo, mid, hi = same_scale(w, [low, x, high])
    wide = _is_wide(w, lo, mid) or _is_wide(w, mid, hi)
    if all(not v.type.secret for v in (lo, hi)) and not wide:  # both comparisons at once
        up = w.emit("relu", w.emit("gap", lo, mid))
        down = w.emit("relu", w.emit("gap", mid, hi))
        out = w.emit("sub", w.emit("add", mid, up), down)
        limit = max(lo.type.limit, hi.type.limit)
        out = w.emit("bound", out, limit=limit, origin=INFERRED) if _constants(low, high) else out
        return integers.within(w, out, (integers.interval(w, lo)[0], integers.interval(w, hi)[1]))
    return smaller(w, bigger(w, mid, lo), hi)


def _constants(*args: Any) -> bool:
    return all(isinstance(a, Known) and a.concrete is not None for a in args)


@rule("abs")
def _abs(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x = w.secret(args[0])
    low, high = integers.interval(w, x)
    return integers.within(w, magnitude(w, x, w.emit("is_negative", x)), (0, max(-low, high)))


@rule("sign")
def _sign(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    """1 - [x = 0] - 2 [x < 0]."""
    x = w.secret(args[0])
    if eqn.invars[0].aval.dtype.kind == "u":
        return w.emit("to_arith", w.emit("not", w.emit("is_zero", x)))
    below, zero = (w.emit("to_arith", w.emit(test, x)) for test in ("is_negative", "is_zero"))
    one = w.emit("const", value=1, shape=x.shape, kind="int", scale=0)
    out = w.emit("sub", w.emit("sub", one, zero), w.emit("add", below, below))
    out = w.emit("bound", out, limit=1, origin=INFERRED)
    return w.emit("scale_up", out, bits=w.config.f) if x.type.kind == FIXED else out


@rule("select_n")
def _select(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    which, cases = args[0], not_a_number.without(w, args[0], args[1:])
    if not _is_bool(which):
        return _select_many(w, which, cases)
    out = select_one(w, which, *cases)
    note_wrapped(w, which, cases, out)
    return out


def _select_many(w: Walker, which: Any, cases: list[Any]) -> Any:
    """By an integer: case after case takes over where the number is its own."""
    out = cases[0]
    for number, case in enumerate(cases[1:], 1):
        out = select_one(w, _is_number(w, which, number), out, case)
    return out


def _is_number(w: Walker, which: Any, number: int) -> Any:
    """The bit [which = number], in the clear where `which` is."""
    if isinstance(which, Value) or which.owner:
        shape = which.shape
        return _equal(w, w.secret(which), constant(np.full(shape, number, np.int32)))
    out = jax.ShapeDtypeStruct(which.shape, np.dtype(bool))
    return (which.scope or w.root).add(lambda v: [v == number], [which], [out])[0]


@dataclass(frozen=True)
class Choice:
    """A secret choice between two constants."""

    which: Value
    no: np.ndarray = field(repr=False)
    yes: np.ndarray = field(repr=False)

    def inverse(self, w: Walker) -> Value:
        return _select_secret(w, self.which, constant(1 / self.no), constant(1 / self.yes))


CHOICE: Fact[Choice] = Fact("it is a secret choice between two constants")


def select_one(w: Walker, which: Any, no: Any, yes: Any) -> Any:
    if isinstance(which, Known) and not which.owner and which.concrete is not None and which.uniform() is not None:
        return yes if which.uniform() else no
    if _is_bool(no):
        return _select_bits(w, which, no, yes)
    if (isinstance(which, Value) and which.type.secret) or (isinstance(which, Known) and which.owner):
        out = _select_secret(w, w.secret(which), no, yes)
        if _constants(no, yes):
            w.facts.note(CHOICE, out, Choice(w.secret(which), np.asarray(no.concrete), np.asarray(yes.concrete)))
        return out
    return _select_public(w, which, no, yes)


def _select_public(w: Walker, which: Any, no: Any, yes: Any) -> Value:
    """no + bit (yes - no), where a case in the clear is 0 where it is not chosen: it may be infinite or NaN there."""
    bit = _public_number(w, which)
    if isinstance(which, Known):
        no, yes = _chosen(w, which, no, False), _chosen(w, which, yes, True)
    a, b = same_scale(w, [no, yes])
    out = w.emit("add", a, w.emit("mul", w.emit("gap", b, a), bit))
    return _within(w, out, a, b)


def _chosen(w: Walker, which: Known, case: Any, wanted: bool) -> Any:
    if isinstance(case, Value) or case.owner:
        return case
    scope = max((k.scope or w.root for k in (which, case)), key=lambda s: s.depth)
    most = _largest(w, case)

    def keep(bit: Any, value: Any) -> list[Any]:
        value = value if most is None else jax.numpy.clip(value, -most, most)
        return [jax.numpy.where(bit == wanted, value, jax.numpy.zeros_like(value))]

    (kept,) = scope.add(
        keep,
        [which, case],
        [jax.ShapeDtypeStruct(case.shape, case.dtype)],
    )
    return kept


def _select_secret(w: Walker, which: Value, no: Any, yes: Any) -> Value:
    if _is_zero_constant(no):
        return w.emit("select_or_zero", which, w.secret(yes))
    if _is_zero_constant(yes):
        return w.emit("select_or_zero", w.emit("not", which), w.secret(no))
    a, b = same_scale(w, [no, yes])
    gap = w.emit("gap", b, a)
    gap = gap if gap.type.secret else w.emit("share", gap)
    return _within(w, w.emit("add", a, w.emit("select_or_zero", which, gap)), a, b)


def _largest(w: Walker, case: Known) -> float | None:
    """Where a constant saturates (masks of -inf), well within the format; other values are checked at the call."""
    if case.concrete is None or not jax.numpy.issubdtype(case.dtype, np.floating):
        return None
    within = 0.99 * ops.contract(w.config.f, w.config) / 2**w.config.f
    return min(within, float(jax.numpy.finfo(case.dtype).max))


def _select_bits(w: Walker, which: Any, no: Any, yes: Any) -> Value:
    a, b = w.operand(no), w.operand(yes)
    differ = w.emit("xor", a, b)
    return w.emit("xor", a, w.emit("and", w.operand(which), differ))


def _public_number(w: Walker, which: Any) -> Value:
    """A public bool as an integer 0 or 1."""
    if isinstance(which, Value):
        return which
    scope = which.scope or w.root
    out = jax.ShapeDtypeStruct(which.shape, np.dtype(np.int32))
    (number,) = scope.add(lambda b: [jax.numpy.asarray(b, np.int32)], [which], [out])
    value = w.operand(number)
    return w.emit("bound", value, limit=1, origin=INFERRED)


@rule("not")
def _not(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not _is_bool(args[0]):
        return bitwise.complement(w, args[0])
    return w.emit("not", w.secret(args[0]))


@rule("and", "or", "xor")
def _logic(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not _is_bool(args[0]):
        return bitwise.combined(w, eqn.primitive.name, args, eqn.outvars[0].aval.dtype)
    return bitwise.logic(w, eqn.primitive.name, *args)


@rule("reduce_and", "reduce_or")
def _reduce_logic(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x = w.secret(args[0])
    return w.emit(eqn.primitive.name, x, axes=tuple(eqn.params["axes"])) if eqn.params["axes"] else x


@rule("reduce_max")
def _reduce_max(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x, axes = w.secret(args[0]), tuple(eqn.params["axes"])
    if x.type.kind == BOOL:
        return w.emit("reduce_or", x, axes=axes)
    return w.emit("reduce_max", x, axes=axes)


@rule("reduce_min")
def _reduce_min(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x, axes = w.secret(args[0]), tuple(eqn.params["axes"])
    if x.type.kind == BOOL:
        return w.emit("reduce_and", x, axes=axes)
    return _reversed(w, w.emit("reduce_max", _reversed(w, x), axes=axes))


def _reversed(w: Walker, x: Value) -> Value:
    """In the opposite order: -x, of integers -1 - x, which never leaves the ring."""
    if x.type.kind != INT:
        return w.emit("neg", x)
    return w.emit("sub", w.emit("const", value=-1, shape=x.shape, kind=INT, scale=0), x)


@rule("argmax", "argmin")
def _argmax(w: Walker, eqn: Any, args: list[Operand]) -> Value:
    x = w.secret(args[0])
    (axis,) = eqn.params["axes"]
    x = w.emit("to_arith", x) if x.type.kind == BOOL else x
    x = _reversed(w, x) if eqn.primitive.name == "argmin" else x
    return w.emit("argmax", x, axis=int(axis))


@rule("reduce_window_max", "reduce_window_min")
def _window_max(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    attrs = ops.window_attrs(**eqn.params)
    if any(d != 1 for d in attrs["base_dilation"]):
        return w.refuse(eqn, args, "a dilated base has no secure form: insert the gaps with jax.lax.pad first")
    x = w.secret(args[0])
    if eqn.primitive.name == "reduce_window_min":
        return _reversed(w, w.emit("window_max", _reversed(w, x), **attrs))
    return w.emit("window_max", x, **attrs)
