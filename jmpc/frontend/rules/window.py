"""Rules for windows and for reductions by any operator: plain JAX stands for them (`numerics/arrays/windows.py`).

Not here: sums and maxima, which have an op of their own (`linear.py`, `compare.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from jmpc import _jax
from jmpc.frontend.expand import expand
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.numerics.arrays.windows import Window, fold, patches, window_max_gradient, window_max_tangent


def window_of(params: Any) -> Window:
    """The window of a primitive; a gradient's has no dilation."""
    shape = tuple(params["window_dimensions"])
    return Window(
        shape,
        tuple(params["window_strides"]),
        tuple((int(low), int(high)) for low, high in params["padding"]),
        tuple(params.get("window_dilation", (1,) * len(shape))),
    )


@lru_cache(maxsize=256)
def _of_minimum(function: Callable[..., Any], window: Window, minimum: bool) -> Callable[..., Any]:
    return lambda moved, x: function(moved, -x if minimum else x, window=window)


@rule("select_and_scatter_add", "select_and_gather_add")
def _window_derivative(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    p = eqn.params
    if any(d != 1 for d in p.get("base_dilation", ())):
        return w.refuse(eqn, args, "a dilated base has no secure form: insert the gaps with jax.lax.pad first")
    function = window_max_gradient if eqn.primitive.name == "select_and_scatter_add" else window_max_tangent
    minimum = p["select_prim"].name in ("le", "lt")
    return expand(w, _of_minimum(function, window_of(p), minimum), *args)


def _joined(body: Any) -> Callable[..., Sequence[Any]]:
    """The operator of a reduction, on arrays."""
    count = len(_jax.closed(body)[0].invars) // 2

    def join(*arrays: Any) -> Sequence[Any]:
        shape = arrays[0].shape
        rows = [jnp.broadcast_to(a, shape).reshape(-1) for a in arrays]
        outs = jax.vmap(lambda *pair: _jax.apply(body, *pair))(*rows)
        return [out.reshape(shape) for out in outs[:count]]

    return join


@rule("reduce")
def _reduce(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    axes, join, count = tuple(eqn.params["dimensions"]), _joined(eqn.params["jaxpr"]), len(args) // 2

    def whole(*arrays: Any) -> list[Any]:
        return fold([_rows(x, axes) for x in arrays[:count]], arrays[count:], join)

    return expand(w, whole, *args, avals=[v.aval for v in eqn.invars])


@rule("reduce_prod", "reduce_xor")
def _reduce_one(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    function = _product if eqn.primitive.name == "reduce_prod" else _parity
    axes = tuple(eqn.params["axes"])
    return expand(w, partial(function, axes=axes), *args, avals=[v.aval for v in eqn.invars])


def _product(x: Any, axes: tuple[int, ...]) -> Any:
    return fold([_rows(x, axes)], [jnp.ones((), x.dtype)], lambda a, b: [a * b])[0]


def _parity(x: Any, axes: tuple[int, ...]) -> Any:
    return fold([_rows(x, axes)], [jnp.zeros((), x.dtype)], lambda a, b: [a ^ b])[0]


def _rows(x: Any, axes: tuple[int, ...]) -> Any:
    """The axes merged into one, which comes first."""
    kept = [d for d in range(x.ndim) if d not in axes]
    shape = [x.shape[d] for d in kept]
    return jnp.transpose(x, [*axes, *kept]).reshape(-1 if shape.count(0) == 0 else 0, *shape)


@rule("reduce_window")
def _reduce_window(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    p, count = eqn.params, len(args) // 2
    if any(d != 1 for d in p["base_dilation"]):
        return w.refuse(eqn, args, "a dilated base has no secure form: insert the gaps with jax.lax.pad first")
    window, join = window_of(p), _joined(_jax.reduction_of(eqn))

    def whole(*arrays: Any) -> list[Any]:
        given = zip(arrays[:count], arrays[count:], strict=True)
        return fold([patches(x, window, start) for x, start in given], arrays[count:], join)

    return expand(w, whole, *args, avals=[v.aval for v in eqn.invars])
