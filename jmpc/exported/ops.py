"""Each op of StableHLO that has no region, as a function of JAX.

What goes in: an op and arrays. What comes out: arrays. Not here: ops with regions, and calls (`inline.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxlib.mlir.dialects import stablehlo  # pyright: ignore[reportMissingTypeStubs]  (jaxlib ships none)

from jmpc import _typed
from jmpc.exported.attributes import constant, dtype_of, number, numbers, pairs, shape_of, word

# (op, *arrays) -> results. Those of few arrays stand by themselves, so that the arguments of a lambda have types.
Handler = Callable[[Any], Any] | Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any] | Callable[..., Any]
# Calls that say where a value is kept, and nothing of what it is.
IDENTITIES = ("Sharding", "annotate_device_placement", "LayoutConstraint", "shape_assertion")
COMPARE = {"LT": lax.lt, "LE": lax.le, "GT": lax.gt, "GE": lax.ge, "EQ": lax.eq, "NE": lax.ne}


def _plain(function: Callable[..., Any]) -> Handler:
    def handled(op: Any, *args: Any) -> Any:
        return function(*args)

    return handled


def _result(op: Any) -> Any:
    return op.results[0].type


def _constant(op: Any) -> Any:
    """A table; what is equal everywhere is one number, spread."""
    array = constant(op)
    return (
        lax.full(array.shape, array.reshape(-1)[0], array.dtype) if array.size > 1 and not any(array.strides) else array
    )


def _broadcast(op: Any, x: Any) -> Any:
    return _typed.broadcast_in_dim(x, shape_of(_result(op)), numbers(op, "broadcast_dimensions"))


def _pad(op: Any, x: Any, fill: Any) -> Any:
    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    return lax.pad(x, fill, list(zip(*(numbers(op, name) for name in names), strict=True)))


def _dot(op: Any, x: Any, y: Any) -> Any:
    d = stablehlo.DotDimensionNumbers(op.attributes["dot_dimension_numbers"])
    contracting = (list(d.lhs_contracting_dimensions), list(d.rhs_contracting_dimensions))
    batch = (list(d.lhs_batching_dimensions), list(d.rhs_batching_dimensions))
    return _typed.dot_general(x, y, (contracting, batch), dtype_of(_result(op)))


def _convolution(op: Any, x: Any, kernel: Any) -> Any:
    d = stablehlo.ConvDimensionNumbers(op.attributes["dimension_numbers"])
    spatial = list(d.input_spatial_dimensions)
    n = len(spatial)
    specs = lax.ConvDimensionNumbers(
        (d.input_batch_dimension, d.input_feature_dimension, *spatial),
        (d.kernel_output_feature_dimension, d.kernel_input_feature_dimension, *d.kernel_spatial_dimensions),
        (d.output_batch_dimension, d.output_feature_dimension, *d.output_spatial_dimensions),
    )
    turned = [
        axis for axis, flag in zip(d.kernel_spatial_dimensions, _flags(op, "window_reversal", n), strict=True) if flag
    ]
    return lax.conv_general_dilated(
        x,
        lax.rev(kernel, turned) if turned else kernel,
        numbers(op, "window_strides") or (1,) * n,
        pairs(op, "padding", n),
        numbers(op, "lhs_dilation") or (1,) * n,
        numbers(op, "rhs_dilation") or (1,) * n,
        specs,
        number(op, "feature_group_count"),
        number(op, "batch_group_count"),
        preferred_element_type=dtype_of(_result(op)),
    )


def _flags(op: Any, name: str, count: int) -> list[bool]:
    return [bool(flag) for flag in op.attributes[name]] if name in op.attributes else [False] * count


def _with_vectors_last(index: Any, axis: int) -> Any:
    """The axis of an index's coordinates at the end, where JAX has it."""
    return jnp.expand_dims(index, axis) if axis == len(index.shape) else jnp.moveaxis(index, axis, -1)


def _gather(op: Any, x: Any, index: Any) -> Any:
    d = stablehlo.GatherDimensionNumbers(op.attributes["dimension_numbers"])
    dims = lax.GatherDimensionNumbers(
        tuple(d.offset_dims),
        tuple(d.collapsed_slice_dims),
        tuple(d.start_index_map),
        tuple(d.operand_batching_dims),
        tuple(d.start_indices_batching_dims),
    )
    vectors = _with_vectors_last(index, d.index_vector_dim)
    return _typed.gather(x, vectors, dims, numbers(op, "slice_sizes"), "clip")


def scatter_dimensions(op: Any) -> lax.ScatterDimensionNumbers:
    d = stablehlo.ScatterDimensionNumbers(op.attributes["scatter_dimension_numbers"])
    return lax.ScatterDimensionNumbers(
        tuple(d.update_window_dims),
        tuple(d.inserted_window_dims),
        tuple(d.scattered_dims_to_operand_dims),
        tuple(d.input_batching_dims),
        tuple(d.scatter_indices_batching_dims),
    )


def _top_k(op: Any, x: Any) -> Any:
    return lax.top_k(x, shape_of(op.results[0].type)[-1])


def _triangular_solve(op: Any, a: Any, b: Any) -> Any:
    transposed = word(op, "transpose_a")
    return lax.linalg.triangular_solve(
        a,
        b,
        left_side=bool(op.attributes["left_side"].value),
        lower=bool(op.attributes["lower"].value),
        transpose_a=transposed != "NO_TRANSPOSE",
        conjugate_a=transposed == "ADJOINT",
        unit_diagonal=bool(op.attributes["unit_diagonal"].value),
    )


def _fft(op: Any, x: Any) -> Any:
    return _typed.fft(x, word(op, "fft_type"), numbers(op, "fft_length"))


def _iota(op: Any) -> Any:
    return _typed.broadcasted_iota(dtype_of(_result(op)), shape_of(_result(op)), number(op, "iota_dimension"))


def _round_to_even(x: Any) -> Any:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def _as_they_are(op: Any, *arrays: Any) -> list[Any]:
    return list(arrays)


def _concatenate(op: Any, *arrays: Any) -> Any:
    return lax.concatenate([_typed.asarray(x) for x in arrays], number(op, "dimension"))


def _dynamic_slice(op: Any, x: Any, *start: Any) -> Any:
    return lax.dynamic_slice(x, start, numbers(op, "slice_sizes"))


def _dynamic_update(op: Any, x: Any, update: Any, *start: Any) -> Any:
    return lax.dynamic_update_slice(x, update, start)


def _slice(op: Any, x: Any) -> Any:
    return lax.slice(x, *(numbers(op, name) for name in ("start_indices", "limit_indices", "strides")))


OPS: dict[str, Handler] = {
    **{
        name: _plain(getattr(lax, name))
        for name in (
            *("abs", "add", "atan2", "bitwise_not", "cbrt", "ceil", "clamp", "complex", "floor", "imag", "is_finite"),
            *("log", "logistic", "real", "rsqrt", "select", "shift_left", "shift_right_arithmetic", "sign", "sqrt"),
            *("shift_right_logical", "tan", "tanh"),
        )
    },
    "and": _plain(lax.bitwise_and),
    "cosine": _plain(lax.cos),
    "count_leading_zeros": _plain(lax.clz),
    "divide": _plain(lax.div),
    "exponential": _plain(lax.exp),
    "exponential_minus_one": _plain(lax.expm1),
    "log_plus_one": _plain(lax.log1p),
    "maximum": _plain(lax.max),
    "minimum": _plain(lax.min),
    "multiply": _plain(lax.mul),
    "negate": _plain(lax.neg),
    "not": _plain(lax.bitwise_not),
    "or": _plain(lax.bitwise_or),
    "popcnt": _plain(lax.population_count),
    "power": _plain(lax.pow),
    "remainder": _plain(lax.rem),
    "round_nearest_even": _plain(_round_to_even),
    "round_nearest_afz": _plain(lax.round),
    "sine": _plain(lax.sin),
    "subtract": _plain(lax.sub),
    "xor": _plain(lax.bitwise_xor),
    "optimization_barrier": _as_they_are,
    "constant": _constant,
    "iota": _iota,
    "convert": lambda op, x: lax.convert_element_type(x, dtype_of(_result(op))),
    "bitcast_convert": lambda op, x: lax.bitcast_convert_type(x, dtype_of(_result(op))),
    "compare": lambda op, x, y: COMPARE[word(op, "comparison_direction")](x, y),
    "reduce_precision": lambda op, x: lax.reduce_precision(x, number(op, "exponent_bits"), number(op, "mantissa_bits")),
    "reshape": lambda op, x: _typed.reshape(x, shape_of(_result(op))),
    "transpose": lambda op, x: lax.transpose(x, numbers(op, "permutation")),
    "reverse": lambda op, x: lax.rev(x, numbers(op, "dimensions")),
    "concatenate": _concatenate,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update,
    "broadcast_in_dim": _broadcast,
    "pad": _pad,
    "dot_general": _dot,
    "convolution": _convolution,
    "gather": _gather,
    "triangular_solve": _triangular_solve,
    "cholesky": lambda op, x: lax.linalg.cholesky(x, symmetrize_input=False),
    "fft": _fft,
}
COMPOSITES: dict[str, Handler] = {
    **{
        f"chlo.{name}": _plain(getattr(lax, name))
        for name in (
            *(
                "acos",
                "acosh",
                "asin",
                "asinh",
                "atan",
                "atanh",
                "bessel_i1e",
                "cosh",
                "digamma",
                "erf",
                "erf_inv",
                "erfc",
            ),
            *("lgamma", "sinh", "tan", "square"),
        )
    },
    "chlo.top_k": _top_k,
}


def _is(number: float) -> Callable[[Any], bool]:
    """Whether a start of a reduction is known to be this."""
    return lambda x: isinstance(x, np.ndarray) and bool(x == number)


def _is_limit(sign: int) -> Callable[[Any], bool]:
    """Whether it is the smallest number of its dtype, or the largest."""

    def holds(start: Any) -> bool:
        if not isinstance(start, np.ndarray):
            return False
        x = cast(np.ndarray, start)
        if x.dtype.kind in "iu":
            info = np.iinfo(x.dtype)
            return bool(x == (info.max if sign > 0 else info.min))
        return bool(x == sign * np.inf)

    return holds


# The reduction, the operation of two, and whether a start changes nothing.
REDUCERS: dict[str, tuple[Callable[[Any, Sequence[int]], Any], Callable[..., Any], Callable[[Any], bool]]] = {
    "add": (lambda x, axes: jnp.sum(x, axes, dtype=x.dtype), lax.add, _is(0)),
    "multiply": (lambda x, axes: jnp.prod(x, axes, dtype=x.dtype), lax.mul, _is(1)),
    "maximum": (lambda x, axes: jnp.max(x, axes), lax.max, _is_limit(-1)),
    "minimum": (lambda x, axes: jnp.min(x, axes), lax.min, _is_limit(1)),
    "and": (lambda x, axes: jnp.all(x, axes), lax.bitwise_and, _is(1)),
    "or": (lambda x, axes: jnp.any(x, axes), lax.bitwise_or, _is(0)),
}
SCATTERS: dict[str, Callable[..., Any]] = {
    "": lax.scatter,
    "add": lax.scatter_add,
    "multiply": lax.scatter_mul,
    "maximum": lax.scatter_max,
    "minimum": lax.scatter_min,
}
