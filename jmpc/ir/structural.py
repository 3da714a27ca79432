"""Linear and structural ops: one meaning, applied to plain integers and to each share alike.

What goes in: an op's name, its attributes and arrays. What comes out: one array. Each of these ops commutes with
adding shares, so a party applies it to every component that it holds and sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax import lax

Array = Any
Attrs = Mapping[str, Any]

SELECTION = {
    "reshape": lambda a, x: lax.reshape(x, a["shape"]),
    "transpose": lambda a, x: lax.transpose(x, a["perm"]),
    "broadcast": lambda a, x: lax.broadcast_in_dim(x, a["shape"], a["dims"]),
    "slice": lambda a, x: lax.slice(x, a["start"], a["limit"], a["strides"]),
    "rev": lambda a, x: lax.rev(x, a["axes"]),
    "take": lambda a, x: _take(x, a["rows"]),
    "concat": lambda a, *xs: lax.concatenate(xs, a["axis"]),
    "pad": lambda a, x, fill: lax.pad(x, fill, a["config"]),
    "dynamic_slice": lambda a, x, *index: lax.dynamic_slice(x, index, a["sizes"]),
    "dynamic_update": lambda a, x, update, *index: lax.dynamic_update_slice(x, update, index),
    "gather": lambda a, x, index: _gather(a, x, index),
}
SUMMING = {
    "reduce_sum": lambda a, x: lax.reduce(x, x.dtype.type(0), lax.add, a["axes"]),
    "cumsum": lambda a, x: lax.cumsum(x, a["axis"], a["reverse"]),
    "window_sum": lambda a, x: lax.reduce_window(
        x, x.dtype.type(0), lax.add, a["window"], a["strides"], a["padding"], a["base_dilation"], a["window_dilation"]
    ),
}
ARITHMETIC = {
    "neg": lambda a, x: lax.neg(x),
    "add": lambda a, x, y: lax.add(x, y),
    "sub": lambda a, x, y: lax.sub(x, y),
    "gap": lambda a, x, y: lax.sub(x, y),  # the compiler's own difference, twice as large as a value of the program
}
LINEAR: dict[str, Callable[..., Array]] = {**SELECTION, **SUMMING, **ARITHMETIC}

# Operands after these are public indices: never shared, never scaled.
INDEX_OPERANDS_FROM = {"dynamic_slice": 1, "dynamic_update": 2, "gather": 1}


def apply(name: str, attrs: Attrs, *arrays: Array) -> Array:
    """The op on plain arrays."""
    return LINEAR[name](attrs, *arrays)


def _take(x: Array, rows: tuple[int, ...]) -> Array:
    """Rows along the first axis, by a static list."""
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(1, x.ndim)), collapsed_slice_dims=(0,), start_index_map=(0,)
    )
    index = np.array(rows, np.int32).reshape(-1, 1)
    return lax.gather(x, index, numbers, (1, *x.shape[1:]), mode="promise_in_bounds")


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
    return lax.gather(x, index, numbers, attrs["sizes"], unique_indices=False, mode=attrs["mode"], fill_value=fill)


def window_attrs(**params: Any) -> dict[str, Any]:
    """The attributes of a window op, from the parameters of JAX's reduce_window."""
    return {
        "window": tuple(params["window_dimensions"]),
        "strides": tuple(params["window_strides"]),
        "padding": tuple(tuple(pair) for pair in params["padding"]),
        "base_dilation": tuple(params["base_dilation"]),
        "window_dilation": tuple(params["window_dilation"]),
    }
