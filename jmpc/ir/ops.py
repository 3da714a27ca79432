"""The closed set of ops, and the type of each op's result: shape, scale, bound, form.

What goes in: an op's name, the types of its inputs, its attributes, the configuration. What comes out: the types
of its outputs. Bounds are propagated here and nowhere else. A bound inferred from declared bounds that the ring
cannot hold raises BoundError; a bound that rests on the number format's contract is capped by that contract.

The stages: `VALUE` ops say what is computed; `SHARE` ops say by which protocol. Linear ops belong to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc.config import Config
from jmpc.errors import BoundError, ProgramError
from jmpc.ir import structural
from jmpc.ir.program import Block
from jmpc.ir.types import (
    ARITH,
    ASSUMED,
    BITS,
    BOOL,
    DECLARED,
    FIXED,
    INFERRED,
    INT,
    LOCAL,
    PLAIN,
    PUBLIC,
    SECRET,
    SPLIT,
    SUM3,
    Type,
    secret_bits,
    weakest,
)

Attrs = Mapping[str, Any]
Infer = Callable[[Sequence[Type], Attrs, Config], tuple[Type, ...]]

COMMON: dict[str, Infer] = {}
VALUE: dict[str, Infer] = {}
SHARE: dict[str, Infer] = {}


def infer(name: str, types: Sequence[Type], attrs: Attrs, config: Config, where: str = "") -> tuple[Type, ...]:
    """The output types of op `name`. where: the user's file:line, for BoundError."""
    rule = COMMON.get(name) or VALUE.get(name) or SHARE.get(name)
    if rule is None:
        raise ProgramError(f"no op named {name!r}", where=where, todo="see jmpc/ir/ops.py for the closed set")
    return tuple(check_bound(t, config, name, where) for t in rule(types, attrs, config))


def contract(scale: int, config: Config, kind: str = FIXED) -> int:
    """The number format's promise for a value with `scale` fraction bits: |x| < 2^value_bits, in its units. Integers
    are never truncated, so they may fill the ring but for its gap bit."""
    bits = config.k - 2 if kind == INT else min(config.value_bits + scale, config.k - 2)
    return (1 << bits) - 1


def check_bound(t: Type, config: Config, name: str, where: str) -> Type:
    """`t` with a bound that the ring holds: capped by the contract if it is assumed, refused otherwise."""
    if t.form in (BITS,) or t.kind == BOOL:
        return t
    if t.limit < 1 << (config.k - 2):
        return t if t.origin != ASSUMED else t.with_(limit=min(t.limit, contract(t.scale, config, t.kind)))
    if t.origin == ASSUMED or t.kind == INT:
        return t.bounded(contract(t.scale, config, t.kind), ASSUMED)
    raise BoundError(
        f"{name}: the result may be as large as 2^{(t.limit >> t.scale).bit_length()}, "
        f"too large for a ring of {config.k} bits at {t.scale} fraction bits",
        where=where,
        why="its bound follows from the bounds of its operands",
        todo=[
            "scale an operand down",
            "declare a smaller bound with jmpc.bounded",
            "use fewer fraction bits: Config(f=...)",
        ],
    )


def rule(table: dict[str, Infer], *names: str) -> Callable[[Infer], Infer]:
    def register(function: Infer) -> Infer:
        for name in names:
            if name in COMMON or name in VALUE or name in SHARE:
                raise ValueError(f"op {name} is registered twice")
            table[name] = function
        return function

    return register


def _held(types: Sequence[Type]) -> dict[str, Any]:
    """Visibility and form of a result that is linear in `types`."""
    if not any(t.visibility == SECRET for t in types):
        owners = {t.owner for t in types if t.visibility == LOCAL}
        return {"visibility": LOCAL if owners else PUBLIC, "owner": next(iter(owners), ""), "form": PLAIN}
    forms = {t.form for t in types if t.secret}
    form = next((f for f in (SUM3, SPLIT, BITS) if f in forms), ARITH)
    return {"visibility": SECRET, "owner": "", "form": form}


@lru_cache(maxsize=4096)
def _shape_of(
    name: str, attrs: tuple[tuple[str, Any], ...], shapes: tuple[tuple[int, ...], ...], index_from: int
) -> tuple[int, ...]:
    specs = [jax.ShapeDtypeStruct(s, np.int32 if n >= index_from else np.uint32) for n, s in enumerate(shapes)]
    return jax.eval_shape(lambda *xs: structural.apply(name, dict(attrs), *xs), *specs).shape


def linear_shape(name: str, types: Sequence[Type], attrs: Attrs) -> tuple[int, ...]:
    index_from = structural.INDEX_OPERANDS_FROM.get(name, len(types))
    return _shape_of(name, tuple(sorted(attrs.items())), tuple(t.shape for t in types), index_from)


def _linear(name: str) -> Infer:
    def of(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
        data = list(types[: structural.INDEX_OPERANDS_FROM.get(name, len(types))])
        scales = {t.scale for t in data}
        kinds = {t.kind for t in data}
        if len(scales) != 1 or len(kinds) != 1:
            raise ProgramError(f"{name}: operands of {sorted(kinds)} at scales {sorted(scales)}", todo="rescale first")
        shape = linear_shape(name, types, attrs)
        if name == "add" or name == "sub":
            limit = sum(t.limit for t in data)
        elif name in structural.SUMMING:
            limit = data[0].limit * _summed(name, data[0].shape, shape, attrs)
        else:
            limit = max(t.limit for t in data)
        return (Type(shape, data[0].kind, data[0].scale, limit, weakest(*(t.origin for t in data)), **_held(data)),)

    return of


def _summed(name: str, before: tuple[int, ...], after: tuple[int, ...], attrs: Attrs) -> int:
    """How many terms one output of a summing op has at most."""
    if name == "window_sum":
        return math.prod(attrs["window"])
    if name == "cumsum":
        return max(before[attrs["axis"]], 1)
    return max(math.prod(before) // max(math.prod(after), 1), 1)


for _name in structural.LINEAR:
    COMMON[_name] = _linear(_name)


def _product(shape: tuple[int, ...], x: Type, y: Type, terms: int) -> Type:
    kind = FIXED if FIXED in (x.kind, y.kind) else INT
    held = _held((x, y))
    if x.secret and y.secret:
        held["form"] = ARITH
    return Type(shape, kind, x.scale + y.scale, x.limit * y.limit * terms, weakest(x.origin, y.origin), **held)


@rule(COMMON, "mul")
def _mul(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.shape != y.shape:
        raise ProgramError(f"mul: shapes {x.shape} and {y.shape} differ")
    return (_product(x.shape, x, y, 1),)


@rule(COMMON, "dot")
def _dot(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _dot_shape(attrs["dims"], x.shape, y.shape)
    terms = math.prod(x.shape[d] for d in attrs["dims"][0][0])
    return (_product(shape, x, y, max(terms, 1)),)


@lru_cache(maxsize=1024)
def _dot_shape(dims: Any, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.uint32), jax.ShapeDtypeStruct(y, np.uint32))
    return jax.eval_shape(lambda a, b: lax.dot_general(a, b, dims), *specs).shape


@rule(COMMON, "conv")
def _conv(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _conv_shape(tuple(sorted(attrs.items())), x.shape, y.shape)
    kernel = [y.shape[d] for d in attrs["dims"][1]]
    return (_product(shape, x, y, max(math.prod(kernel[1:]), 1)),)


@lru_cache(maxsize=1024)
def _conv_shape(attrs: tuple[tuple[str, Any], ...], x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.float32), jax.ShapeDtypeStruct(y, np.float32))
    return jax.eval_shape(lambda a, b: lax.conv_general_dilated(a, b, **conv_params(dict(attrs))), *specs).shape


def conv_params(attrs: Attrs) -> dict[str, Any]:
    """Keyword arguments of lax.conv_general_dilated for the attributes of a conv."""
    return {
        "window_strides": attrs["strides"],
        "padding": attrs["padding"],
        "lhs_dilation": attrs["lhs_dilation"],
        "rhs_dilation": attrs["rhs_dilation"],
        "dimension_numbers": lax.ConvDimensionNumbers(*attrs["dims"]),
        "feature_group_count": attrs["feature_groups"],
        "batch_group_count": attrs["batch_groups"],
    }


@rule(COMMON, "scale_up")
def _scale_up(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    (x,) = types
    bits = attrs["bits"]
    return (x.with_(kind=FIXED, scale=x.scale + bits, limit=x.limit << bits),)


@rule(COMMON, "as_int")
def _as_int(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A number without fraction bits, as an integer."""
    (x,) = types
    if x.scale:
        raise ProgramError(f"as_int of a value with {x.scale} fraction bits")
    return (x.with_(kind=INT),)


@rule(COMMON, "bound")
def _bound(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A bound from outside: declared by the user, or, with `origin`, set by the compiler. The identity on the value."""
    (x,) = types
    if "origin" in attrs:
        return (x.bounded(attrs["limit"], attrs["origin"]),)
    return (x.bounded(min(attrs["limit"], x.limit), DECLARED),)


@rule(COMMON, "const")
def _const(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    limit = max(abs(attrs["value"]), 1)
    return (Type(attrs["shape"], attrs["kind"], attrs["scale"], limit, INFERRED, PUBLIC, "", PLAIN),)


@rule(COMMON, "share")
def _share(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """An owner's input, or a public value, becomes secret."""
    (x,) = types
    return (x.with_(visibility=SECRET, owner="", form=BITS if x.kind == BOOL else ARITH),)


@rule(COMMON, "xor", "and", "or")
def _logic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.kind != BOOL or y.kind != BOOL or x.shape != y.shape:
        raise ProgramError(f"logic on {x.kind}{x.shape} and {y.kind}{y.shape}")
    return (Type(x.shape, BOOL, **_held((x, y))),)


@rule(COMMON, "not")
def _not(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0],)


@rule(COMMON, "loop")
def _loop(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Runs `body` `trip` times: params are consts, carry, slices of the stacked inputs; results are carry, outputs.
    With `reverse`, from the last slice to the first."""
    body: Block = attrs["body"]
    consts, carry, trip = attrs["consts"], attrs["carry"], attrs["trip"]
    expected = list(types[: consts + carry]) + [t.with_(shape=t.shape[1:]) for t in types[consts + carry :]]
    if [p.type.shape for p in body.params] != [t.shape for t in expected]:
        raise ProgramError("loop: the shapes of the operands are not those of the body's parameters")
    if [v.type for v in body.results[:carry]] != [p.type for p in body.params[consts : consts + carry]]:
        raise ProgramError("loop: the carry changes its type")
    stacked = [v.type.with_(shape=(trip, *v.type.shape)) for v in body.results[carry:]]
    return tuple([v.type for v in body.results[:carry]] + stacked)


# --- value level ----------------------------------------------------------------------------------------------------


@rule(VALUE, "truncate")
def _truncate(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Divide by 2^bits, rounding up or down; the scale drops by `bits`."""
    return (truncated(types[0], attrs["bits"]),)


def truncated(x: Type, bits: int) -> Type:
    if bits > x.scale:
        raise ProgramError(f"truncate: {bits} bits of a value with {x.scale} fraction bits")
    held = ARITH if x.secret else PLAIN
    return x.with_(scale=x.scale - bits, limit=(x.limit >> bits) + 1, form=held)


@rule(VALUE, "is_negative", "is_zero")
def _test(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (secret_bits(types[0].shape),)


@rule(VALUE, "floor")
def _floor(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The largest integer below, exactly."""
    (x,) = types
    return (Type(x.shape, INT, 0, (x.limit >> x.scale) + 1, x.origin),)


@rule(VALUE, "relu")
def _relu(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0].with_(form=ARITH),)


@rule(VALUE, "select_or_zero")
def _select_or_zero(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The value where the bit is one, else zero."""
    b, x = types
    if b.kind != BOOL or b.shape != x.shape:
        raise ProgramError(f"select_or_zero: {b.kind}{b.shape} and {x.shape}")
    return (x.with_(visibility=SECRET, owner="", form=ARITH),)


@rule(VALUE, "to_arith")
def _to_arith(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (Type(types[0].shape, INT, 0, 1),)


@rule(VALUE, "reduce_and", "reduce_or")
def _reduce_logic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (Type(kept, BOOL, **_held((x,))),)


@rule(VALUE, "reduce_max")
def _reduce_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    kept = tuple(n for d, n in enumerate(x.shape) if d not in attrs["axes"])
    return (x.with_(shape=kept, form=ARITH),)


@rule(VALUE, "argmax")
def _argmax(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Index of the first largest element along one axis."""
    x = types[0]
    axis = attrs["axis"]
    kept = tuple(n for d, n in enumerate(x.shape) if d != axis)
    return (Type(kept, INT, 0, max(x.shape[axis] - 1, 1)),)


@rule(VALUE, "window_max")
def _window_max(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x = types[0]
    return (x.with_(shape=linear_shape("window_sum", types, attrs), form=ARITH),)


# --- share level ----------------------------------------------------------------------------------------------------


def _unmasked(product: Infer) -> Infer:
    """A product of two secrets before its round: one summand at each party."""
    return lambda types, attrs, config: (product(types, attrs, config)[0].with_(form=SUM3),)


for _name in ("mul", "dot", "conv"):
    SHARE[f"{_name}_sum3"] = _unmasked(COMMON[_name])


def _to_form(form: str) -> Infer:
    return lambda types, attrs, config: (types[0].with_(form=form, visibility=SECRET, owner=""),)


rule(SHARE, "to_sum3")(_to_form(SUM3))
rule(SHARE, "reshare")(_to_form(ARITH))
rule(SHARE, "split", "open_split")(_to_form(SPLIT))


@rule(SHARE, "truncate_wrap", "truncate_local")
def _truncate_split(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (truncated(types[0], attrs["bits"]),)


@rule(SHARE, "msb", "zero_test")
def _bit_of_split(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (secret_bits(types[0].shape),)


@rule(SHARE, "dabit")
def _dabit(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A random bit that no party knows, in both forms."""
    return secret_bits(attrs["shape"]), Type(attrs["shape"], INT, 0, 1)


@rule(SHARE, "inject", "inject_dabit")
def _inject(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[-1].with_(form=ARITH),)


@rule(SHARE, "bit_to_arith", "bit_to_arith_dabit")
def _bit_to_arith(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (Type(types[0].shape, INT, 0, 1),)
