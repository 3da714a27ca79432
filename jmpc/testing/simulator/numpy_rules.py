"""The equations of a party program in NumPy: no compile, so that a test may run hundreds of small programs.

What goes in: an equation of a party's jaxpr. What comes out: a function of arrays. It knows the primitives that
protocols use; any other runs in JAX, op by op. Not here: masks, exchanges and loops (`lockstep.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax import lax

from jmpc import _jax
from jmpc.testing.simulator.tape import Function

Array = np.ndarray
Params = Mapping[str, Any]


def function_of(eqn: Any) -> Function:
    """What computes one equation that has no body."""
    rule = RULES.get(eqn.primitive.name)
    if rule is None or cuts(eqn) or (eqn.primitive.name == "gather" and not _takes_rows(eqn)):
        return lambda *arrays: _in_jax(eqn, *arrays)
    compute = rule(eqn.params)
    if eqn.primitive.multiple_results:
        return compute
    if not eqn.outvars[0].aval.shape:
        return lambda *arrays: [_number(compute, *arrays)]
    return lambda *arrays: (compute(*arrays),)


def _in_jax(eqn: Any, *arrays: Array) -> list[Array]:
    with _jax.x64():
        return [np.asarray(out) for out in _jax.bind(eqn, *arrays)]


def _number(compute: Callable[..., Any], *arrays: Array) -> Array:
    """NumPy makes a scalar of a result without axes, and warns where one wraps."""
    with np.errstate(over="ignore"):
        return np.asarray(compute(*arrays))


def cuts(eqn: Any) -> bool:
    """Whether it is a padding that takes elements away."""
    return eqn.primitive.name == "pad" and any(min(triple) < 0 for triple in eqn.params["padding_config"])


def _slice(p: Params) -> Any:
    starts, limits = p["start_indices"], p["limit_indices"]
    index = tuple(map(slice, starts, limits, p["strides"] or (None,) * len(starts)))
    return lambda x: x[index]


def _broadcast(p: Params) -> Any:
    shape, dims = p["shape"], p["broadcast_dimensions"]

    def spread(x: Array, *sizes: Array) -> Array:
        axes = [1] * len(shape)
        for axis, size in zip(dims, x.shape, strict=True):
            axes[axis] = size
        return np.broadcast_to(x.reshape(axes), shape)

    return spread


def _pad(p: Params) -> Any:
    config = p["padding_config"]

    def padded(x: Array, fill: Array) -> Array:
        inside = [max(n + (n - 1) * inner, 0) for n, (_, _, inner) in zip(x.shape, config, strict=True)]
        out = np.empty([low + n + high for n, (low, high, _) in zip(inside, config, strict=True)], x.dtype)
        out[...] = fill
        out[tuple(slice(low, low + n, i + 1) for n, (low, _, i) in zip(inside, config, strict=True))] = x
        return out

    return padded


def _iota(p: Params) -> Any:
    shape, axis = p["shape"], p["dimension"]
    line = np.arange(shape[axis], dtype=p["dtype"])
    return lambda: np.broadcast_to(line.reshape([-1 if d == axis else 1 for d in range(len(shape))]), shape)


def _bitcast(p: Params) -> Any:
    new = np.dtype(p["new_dtype"])

    def cast(x: Array) -> Array:
        old = x.dtype
        x = np.ascontiguousarray(x) if x.ndim else x.copy()
        if new.itemsize == old.itemsize:
            return x.view(new)
        return x[..., None].view(new) if new.itemsize < old.itemsize else x.view(new)[..., 0]

    return cast


def _takes_rows(eqn: Any) -> bool:
    """Whether a gather takes whole rows of an array, by indices that are all inside."""
    p, (x, index) = eqn.params, (v.aval for v in eqn.invars)
    how, axes = p["dimension_numbers"], range(len(index.shape) - 1, len(index.shape) + len(x.shape) - 2)
    by_row = how.collapsed_slice_dims == how.start_index_map == (0,) and how.offset_dims == tuple(axes)
    whole = p["slice_sizes"] == (1, *x.shape[1:]) and not how.operand_batching_dims
    return by_row and whole and p["mode"] == lax.GatherScatterMode.PROMISE_IN_BOUNDS


RULES: dict[str, Callable[[Params], Callable[..., Any]]] = {
    "add": lambda p: np.add,
    "sub": lambda p: np.subtract,
    "mul": lambda p: np.multiply,
    "neg": lambda p: np.negative,
    "and": lambda p: np.bitwise_and,
    "or": lambda p: np.bitwise_or,
    "xor": lambda p: np.bitwise_xor,
    "not": lambda p: np.invert,
    "ne": lambda p: np.not_equal,
    "shift_left": lambda p: np.left_shift,
    "shift_right_logical": lambda p: np.right_shift,  # of unsigned arrays only
    "shift_right_arithmetic": lambda p: np.right_shift,  # of signed arrays only
    "slice": _slice,
    "squeeze": lambda p: lambda x: np.squeeze(x, p["dimensions"]),
    "reshape": lambda p: lambda x: x.reshape(p["new_sizes"]),
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda p: lambda *xs: np.concatenate(xs, p["dimension"]),
    "pad": _pad,
    "iota": _iota,
    "convert_element_type": lambda p: lambda x: x.astype(p["new_dtype"]),
    "bitcast_convert_type": _bitcast,
    "transpose": lambda p: lambda x: x.transpose(p["permutation"]),
    "rev": lambda p: lambda x: np.flip(x, p["dimensions"]),
    "gather": lambda p: lambda x, index: x[index[..., 0]],
    "reduce_sum": lambda p: lambda x: x.sum(p["axes"], dtype=x.dtype),
    "reduce_or": lambda p: lambda x: np.bitwise_or.reduce(x, axis=p["axes"]),
    "optimization_barrier": lambda p: lambda *xs: xs,
}
