"""Linear ops: one meaning, applied to plain integers and to each summand alike.

Each of these ops commutes with adding shares, so a party applies it to every summand that it holds and sends nothing.
Operands have one kind and one scale; those that are indices are public.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, cast

import jax
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import AnyArray, Array
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import (
    AXES,
    AXIS,
    DIMS,
    FLAG,
    INTS,
    MODE,
    RESHAPED,
    ROWS,
    SIZES,
    STRIDES,
    WINDOW,
    tuples,
)
from jmpc.ir.ops.operands import ANY, INDEX, NUMBER
from jmpc.ir.ops.record import COMMON, LINEAR, LOCAL, OPS, SELECTION, SUMMING, Apply, Attrs, Frame, Infer, Operand, op
from jmpc.ir.ops.visibility import held
from jmpc.ir.program import Op
from jmpc.ir.types import Type, weakest
from jmpc.ring import reduction


def apply(name: str, attrs: Attrs, *arrays: AnyArray) -> Array:
    """A linear op on plain arrays."""
    function = OPS[name].apply
    assert function is not None
    return function(attrs, *arrays)


def linear_shape(name: str, types: Sequence[Type], attrs: Attrs) -> tuple[int, ...]:
    """The shape of a linear op's result."""
    index_from = OPS[name].index_from
    index_from = len(types) if index_from is None else index_from
    return _shape_of(name, tuple(sorted(attrs.items())), tuple(t.shape for t in types), index_from)


@lru_cache(maxsize=4096)
def _shape_of(
    name: str, attrs: tuple[tuple[str, Any], ...], shapes: tuple[tuple[int, ...], ...], index_from: int
) -> tuple[int, ...]:
    specs = [jax.ShapeDtypeStruct(s, np.int32 if n >= index_from else np.uint32) for n, s in enumerate(shapes)]
    return _typed.eval_shape(partial(apply, name, dict(attrs)), *specs).shape


def summed(name: str, before: tuple[int, ...], after: tuple[int, ...], attrs: Attrs) -> int:
    """How many terms one element of a summing op's result has at most."""
    if name == "window_sum":
        return math.prod(attrs["window"])
    if name == "cumsum":
        axis: int = attrs["axis"]
        return max(before[axis], 1)
    return max(math.prod(before) // max(math.prod(after), 1), 1)


# --- types and meanings

_OfOne = Callable[[Attrs, np.ndarray], np.ndarray]
InNumPy = _OfOne | Callable[[Attrs, np.ndarray, np.ndarray], np.ndarray] | Callable[..., np.ndarray]


def _means(frame: Frame, op: Op, *arrays: np.ndarray) -> Array:
    """JAX asks for integers as indices, where the exact arithmetic has floats."""
    first = OPS[op.name].index_from
    count = len(arrays) if first is None else first
    return apply(op.name, op.attrs, *arrays[:count], *(x.astype(np.int64) for x in arrays[count:]))


def _rule(name: str, traits: Sequence[str]) -> Infer:
    def infer(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
        data = list(OPS[name].data(types))
        scales, kinds = {t.scale for t in data}, {t.kind for t in data}
        if len(scales) != 1 or len(kinds) != 1:
            raise ProgramError(f"{name}: operands of {sorted(kinds)} at scales {sorted(scales)}", todo="rescale first")
        shape = linear_shape(name, types, attrs)
        if SUMMING in traits:
            limit = data[0].limit * summed(name, data[0].shape, shape, attrs)
        elif SELECTION in traits or len(data) == 1:
            limit = max(t.limit for t in data)
        else:
            limit = sum(t.limit for t in data)
        return (Type(shape, data[0].kind, data[0].scale, limit, weakest(*(t.origin for t in data)), **held(data)),)

    return infer


def _linear(
    name: str,
    operands: tuple[Operand, ...],
    attrs: Attrs,
    apply: Apply,
    *traits: str,
    more: Operand | None = None,
    index_from: int | None = None,
    means: InNumPy | None = None,
) -> None:
    """means: in NumPy, of attributes and arrays; where there is none, `apply` says it."""

    def in_numpy(frame: Frame, op: Op, *arrays: np.ndarray) -> np.ndarray:
        assert means is not None
        return cast("Callable[..., np.ndarray]", means)(op.attrs, *arrays)

    op(
        name,
        COMMON,
        operands,
        attrs,
        means=_means if means is None else in_numpy,
        more=more,
        traits=(LINEAR, LOCAL, *traits),
        apply=apply,
        index_from=index_from,
    )(_rule(name, traits))


def _take(attrs: Attrs, x: Array) -> Array:
    """Rows along the first axis, by a static list."""
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(1, x.ndim)), collapsed_slice_dims=(0,), start_index_map=(0,)
    )
    index = np.array(attrs["rows"], np.int32).reshape(-1, 1)
    return _typed.gather(x, index, numbers, (1, *x.shape[1:]), "promise_in_bounds")


def _gather(attrs: Attrs, x: Array, index: Array) -> Array:
    offset_dims, collapsed, start_map, operand_batch, index_batch = attrs["dims"]
    numbers = lax.GatherDimensionNumbers(
        offset_dims=offset_dims,
        collapsed_slice_dims=collapsed,
        start_index_map=start_map,
        operand_batching_dims=operand_batch,
        start_indices_batching_dims=index_batch,
    )
    fill = 0 if attrs["mode"] == "fill" else None
    return _typed.gather(x, index, numbers, attrs["sizes"], attrs["mode"], fill)


def _concat(attrs: Attrs, *arrays: AnyArray) -> Array:
    return lax.concatenate(arrays, attrs["axis"])


def _dynamic_slice(attrs: Attrs, x: AnyArray, *index: AnyArray) -> Array:
    return lax.dynamic_slice(x, index, attrs["sizes"])


def _dynamic_update(attrs: Attrs, x: AnyArray, update: AnyArray, *index: AnyArray) -> Array:
    return lax.dynamic_update_slice(x, update, index)


def _joined(attrs: Attrs, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, attrs["axis"])


def _broadcast_to(attrs: Attrs, x: np.ndarray) -> np.ndarray:
    kept = dict(zip(attrs["dims"], x.shape, strict=True))
    return np.broadcast_to(x.reshape([kept.get(n, 1) for n in range(len(attrs["shape"]))]), attrs["shape"])


def _cumsum(attrs: Attrs, x: Array) -> Array:
    return lax.cumsum(x, attrs["axis"], attrs["reverse"])


def _window_sum(a: Attrs, x: Array) -> Array:
    dilations = a["base_dilation"], a["window_dilation"]
    return _typed.reduce_window(x, x.dtype.type(0), lax.add, a["window"], a["strides"], a["padding"], *dilations)


TRIPLES = tuples("a tuple of triples (low, high, interior)", None)
GATHER = {"dims": tuples("five tuples of axes", 5), "sizes": SIZES, "mode": MODE}

_linear(
    "reshape",
    (ANY,),
    {"shape": RESHAPED},
    lambda a, x: lax.reshape(x, a["shape"]),
    SELECTION,
    means=lambda a, x: x.reshape(a["shape"]),
)
_linear(
    "transpose",
    (ANY,),
    {"perm": INTS},
    lambda a, x: lax.transpose(x, a["perm"]),
    SELECTION,
    means=lambda a, x: x.transpose(a["perm"]),
)
_linear(
    "broadcast",
    (ANY,),
    {"shape": SIZES, "dims": DIMS},
    lambda a, x: _typed.broadcast_in_dim(x, a["shape"], a["dims"]),
    SELECTION,
    means=_broadcast_to,
)
_linear(
    "slice",
    (ANY,),
    {"start": SIZES, "limit": SIZES, "strides": STRIDES},
    lambda a, x: lax.slice(x, a["start"], a["limit"], a["strides"]),
    SELECTION,
    means=lambda a, x: x[tuple(map(slice, a["start"], a["limit"], a["strides"] or [1] * x.ndim))],
)
_linear(
    "rev",
    (ANY,),
    {"axes": AXES},
    lambda a, x: lax.rev(x, a["axes"]),
    SELECTION,
    means=lambda a, x: np.flip(x, a["axes"]),
)
_linear("take", (ANY,), {"rows": ROWS}, _take, SELECTION, means=lambda a, x: x[np.array(a["rows"], int)])
_linear("concat", (ANY,), {"axis": AXIS}, _concat, SELECTION, more=ANY, means=_joined)
_linear("pad", (ANY, ANY), {"config": TRIPLES}, lambda a, x, fill: lax.pad(x, fill, a["config"]), SELECTION)
_linear("dynamic_slice", (ANY,), {"sizes": SIZES}, _dynamic_slice, SELECTION, more=INDEX, index_from=1)
_linear("dynamic_update", (ANY, ANY), {}, _dynamic_update, SELECTION, more=INDEX, index_from=2)
_linear("gather", (ANY, INDEX), GATHER, _gather, SELECTION, index_from=1)
_linear(
    "reduce_sum",
    (NUMBER,),
    {"axes": AXES, "wide?": FLAG},
    lambda a, x: reduction.total(x, a["axes"]),
    SUMMING,
    means=lambda a, x: x.sum(a["axes"]),
)
_linear("cumsum", (NUMBER,), {"axis": AXIS, "reverse": FLAG, "wide?": FLAG}, _cumsum, SUMMING)
_linear("window_sum", (NUMBER,), {**WINDOW, "wide?": FLAG}, _window_sum, SUMMING)
_linear("neg", (NUMBER,), {}, lambda a, x: lax.neg(x), means=lambda a, x: -x)
_linear("add", (NUMBER, NUMBER), {}, lambda a, x, y: lax.add(x, y), means=lambda a, x, y: x + y)
_linear("sub", (NUMBER, NUMBER), {}, lambda a, x, y: lax.sub(x, y), means=lambda a, x, y: x - y)
# The compiler's own difference, twice as large as a value of the program may be.
_linear("gap", (NUMBER, NUMBER), {}, lambda a, x, y: lax.sub(x, y))


def window_attrs(**params: Any) -> dict[str, Any]:
    """The attributes of a window op, from the parameters of JAX's reduce_window."""
    return {
        "window": tuple(params["window_dimensions"]),
        "strides": tuple(params["window_strides"]),
        "padding": tuple(tuple(pair) for pair in params["padding"]),
        "base_dilation": tuple(params["base_dilation"]),
        "window_dilation": tuple(params["window_dilation"]),
    }
