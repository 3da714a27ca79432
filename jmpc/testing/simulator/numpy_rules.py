"""The equations of a party program in NumPy: no compile, so that a test may run hundreds of small programs.

What goes in: an equation of a party's jaxpr and arrays. What comes out: arrays. It knows the primitives that protocols
use; any other runs in JAX, op by op. Not here: masks, exchanges and loops (`lockstep.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jmpc import _jax

Array = np.ndarray
Params = Mapping[str, Any]


def bind(eqn: Any, *values: Any) -> list[Array]:
    """Run one equation."""
    arrays = [np.asarray(v) for v in values]
    if eqn.primitive.name == "scan":
        return _scan(_jax.scan_parts(eqn), arrays)
    body = _jax.body_of(eqn)
    if body is not None:
        return _call(body, arrays)
    rule = RULES.get(eqn.primitive.name)
    if rule is None or _negative_padding(eqn):
        with _jax.x64():
            return [np.asarray(out) for out in _jax.bind(eqn, *arrays)]
    with np.errstate(over="ignore"):
        out = rule(eqn.params, *arrays)
    return list(out) if eqn.primitive.multiple_results else [np.asarray(out)]


def _negative_padding(eqn: Any) -> bool:
    return eqn.primitive.name == "pad" and any(min(triple) < 0 for triple in eqn.params["padding_config"])


def read(env: Mapping[Any, Any], atom: Any) -> Array:
    if isinstance(atom, _jax.Literal):
        return np.asarray(atom.val, atom.aval.dtype)
    return env[atom]


def _slice(p: Params, x: Array) -> Array:
    strides = p["strides"] or (1,) * x.ndim
    return x[tuple(slice(*cut) for cut in zip(p["start_indices"], p["limit_indices"], strides, strict=True))]


def _broadcast(p: Params, x: Array, *sizes: Array) -> Array:
    shape, dims = p["shape"], p["broadcast_dimensions"]
    spread = [1] * len(shape)
    for axis, size in zip(dims, x.shape, strict=True):
        spread[axis] = size
    return np.broadcast_to(x.reshape(spread), shape)


def _pad(p: Params, x: Array, fill: Array) -> Array:
    config = p["padding_config"]
    shape = [low + high + max(n + (n - 1) * inner, 0) for n, (low, high, inner) in zip(x.shape, config, strict=True)]
    out = np.full(shape, fill, x.dtype)
    out[
        tuple(slice(low, low + max(n + (n - 1) * i, 0), i + 1) for n, (low, _, i) in zip(x.shape, config, strict=True))
    ] = x
    return out


def _iota(p: Params) -> Array:
    shape, axis = p["shape"], p["dimension"]
    line = np.arange(shape[axis], dtype=p["dtype"])
    return np.broadcast_to(line.reshape([-1 if d == axis else 1 for d in range(len(shape))]), shape)


def _bitcast(p: Params, x: Array) -> Array:
    new, old = np.dtype(p["new_dtype"]), x.dtype
    x = np.ascontiguousarray(x) if x.ndim else x.copy()
    if new.itemsize == old.itemsize:
        return x.view(new)
    if new.itemsize < old.itemsize:
        return x[..., None].view(new)
    return x.view(new)[..., 0]


def _inline(p: Params, *arrays: Array) -> list[Array]:
    return _call(p["jaxpr"], arrays)


def _scan(parts: Params, arrays: Sequence[Array]) -> list[Array]:
    consts, carried, length = parts["consts"], parts["carry"], parts["length"]
    carry, rows = list(arrays[consts : consts + carried]), []
    for step in range(length)[:: -1 if parts["reverse"] else 1]:
        out = _call(parts["body"], [*arrays[:consts], *carry, *(a[step] for a in arrays[consts + carried :])])
        carry = out[:carried]
        rows.append(out[carried:])
    rows = rows[::-1] if parts["reverse"] else rows
    return [*carry, *(np.stack(column) for column in zip(*rows, strict=True))]


def _call(body: Any, arrays: Sequence[Array]) -> list[Array]:
    jaxpr, consts = _jax.closed(body)
    env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arrays), strict=True))
    for eqn in jaxpr.eqns:
        env.update(zip(eqn.outvars, bind(eqn, *(read(env, a) for a in eqn.invars)), strict=True))
    return [read(env, a) for a in jaxpr.outvars]


RULES: dict[str, Callable[..., Any]] = {
    "add": lambda p, x, y: x + y,
    "sub": lambda p, x, y: x - y,
    "mul": lambda p, x, y: x * y,
    "neg": lambda p, x: np.negative(x),
    "and": lambda p, x, y: x & y,
    "or": lambda p, x, y: x | y,
    "xor": lambda p, x, y: x ^ y,
    "not": lambda p, x: ~x,
    "shift_left": lambda p, x, by: np.left_shift(x, by),
    "shift_right_logical": lambda p, x, by: np.right_shift(x, by),  # of unsigned arrays only
    "shift_right_arithmetic": lambda p, x, by: np.right_shift(x, by),  # of signed arrays only
    "slice": _slice,
    "squeeze": lambda p, x: np.squeeze(x, p["dimensions"]),
    "reshape": lambda p, x: x.reshape(p["new_sizes"]),
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda p, *xs: np.concatenate(xs, p["dimension"]),
    "pad": _pad,
    "iota": _iota,
    "convert_element_type": lambda p, x: x.astype(p["new_dtype"]),
    "bitcast_convert_type": _bitcast,
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "rev": lambda p, x: np.flip(x, p["dimensions"]),
    "reduce_sum": lambda p, x: x.sum(p["axes"], dtype=x.dtype),
    "reduce_or": lambda p, x: np.bitwise_or.reduce(x, axis=p["axes"]),
    "optimization_barrier": lambda p, *xs: xs,
    "jit": _inline,
    "pjit": _inline,
}
