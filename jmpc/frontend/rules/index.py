"""Rules for indexing: dynamic slices, gather, scatter. Public indices are free; secret ones take one-hot rows, in
`indexing/gather.py` and `indexing/scatter.py`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc import _jax
from jmpc.frontend.calls import call_rule
from jmpc.frontend.indexing import gather, scatter
from jmpc.frontend.indexing.places import FILL, Column, hot_rows, is_told_apart, transposed
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import kind_of
from jmpc.frontend.known import Known
from jmpc.frontend.rules.linear import same_scale
from jmpc.frontend.scope import Results, in_clear
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir.program import Value
from jmpc.ir.types import BOOL, FIXED, INFERRED, INT

MANY_CLASSES = 64
SCATTER_WORDS = 1 << 22  # a scatter that adds is a product with a public 0/1 matrix of at most this size


def _public(args: list[Operand]) -> bool:
    return not any(isinstance(a, Value) or a.owner for a in args)


def _indices(w: Walker, args: list[Operand]) -> list[Value]:
    """Public index operands, as integers."""
    return [w.operand(a) for a in args]


@rule("dynamic_slice")
def _dynamic_slice(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not _public(args[1:]):
        return gather.dynamic_slice(w, eqn, args)
    index = _indices(w, args[1:])
    return w.emit("dynamic_slice", w.secret(args[0]), *index, sizes=tuple(eqn.params["slice_sizes"]))


@rule("dynamic_update_slice")
def _dynamic_update_slice(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not _public(args[2:]):
        return scatter.dynamic_update_slice(w, eqn, args)
    return w.emit("dynamic_update", *same_scale(w, args[:2]), *_indices(w, args[2:]))


@rule("gather")
def _gather(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    if not _public(args[1:]):
        return gather.gather(w, eqn, args)
    p, d = eqn.params, eqn.params["dimension_numbers"]
    dims = (
        tuple(d.offset_dims),
        tuple(d.collapsed_slice_dims),
        tuple(d.start_index_map),
        tuple(d.operand_batching_dims),
        tuple(d.start_indices_batching_dims),
    )
    mode = {
        lax.GatherScatterMode.FILL_OR_DROP: "fill",
        lax.GatherScatterMode.CLIP: "clip",
    }.get(lax.GatherScatterMode.from_any(p["mode"]), "promise_in_bounds")
    x, index = w.secret(args[0]), _indices(w, args[1:])
    attrs = {"dims": dims, "sizes": tuple(p["slice_sizes"]), "mode": mode}
    if mode != "fill":
        return w.emit("gather", x, *index, **attrs)
    return _filled(w, eqn, args, x, index, attrs)


def _filled(w: Walker, eqn: Any, args: list[Operand], x: Value, index: list[Value], attrs: dict[str, Any]) -> Any:
    """What is out of bounds becomes 0 in the ring, and `fill_value` by a shift of everything. JAX's default fill of a
    float is NaN: refused where the indices are constants, a 0 where they are known only at a call."""
    fill = eqn.params["fill_value"]
    if fill is None and kind_of(eqn.invars[0].aval.dtype) != FIXED:
        fill = _integer_fill(eqn.invars[0].aval.dtype)
    if fill is None or np.isnan(fill):
        if _leaves_bounds(eqn, args):
            return w.refuse(eqn, args, "an index is out of bounds, which gives NaN: use mode='clip' or a fill_value")
        return w.emit("gather", x, *index, **attrs)
    if not fill or not _may_leave_bounds(eqn, args):
        return w.emit("gather", x, *index, **attrs)
    if x.type.kind not in (FIXED, INT):
        return w.emit("not", w.emit("gather", w.emit("not", x), *index, **attrs))
    base = w.constant(fill, x.shape, x.type.kind, x.type.scale)
    moved = w.emit("gather", w.emit("gap", x, base), *index, **attrs)
    return w.emit("add", moved, w.constant(fill, moved.shape, x.type.kind, x.type.scale))


def _integer_fill(dtype: Any) -> int:
    if np.dtype(dtype) == bool:
        return 1
    info = np.iinfo(dtype)
    return int(info.max if info.min == 0 else info.min)


def _may_leave_bounds(eqn: Any, args: list[Operand]) -> bool:
    return in_clear(args[1]).concrete is None or _leaves_bounds(eqn, args)


def _leaves_bounds(eqn: Any, args: list[Operand]) -> bool:
    """Whether a constant index leaves the operand: then a gather of ones has a zero."""
    index = in_clear(args[1]).concrete
    if index is None:
        return False
    ones = jax.numpy.ones(eqn.invars[0].aval.shape, np.int32)
    params: dict[str, Any] = {**eqn.params, "fill_value": 0}
    dims, sizes = params.pop("dimension_numbers"), params.pop("slice_sizes")
    return not bool(jax.numpy.all(lax.gather(ones, index, dims, sizes, **params)))


@rule("scatter")
def _scatter(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """Set elements: the same scatter of positions, in the clear, says where each element of the result comes from."""
    if not _public(args[1:2]):
        return scatter.scatter(w, eqn, args)
    x, updates = same_scale(w, [args[0], args[2]]) if kind_of(eqn.invars[0].aval.dtype) == FIXED else args[0::2]
    x, updates = w.operand(x), w.operand(updates)
    size, more = x.type.size, updates.type.size
    old, new = (np.arange(n, dtype=np.int32) for n in (size, more))

    def positions(index: Any) -> list[Any]:
        return _jax.bind(eqn, old.reshape(x.shape), index, size + new.reshape(updates.shape))

    places = in_clear(args[1])
    scope = places.scope or w.root
    (which,) = scope.add(positions, [places], [jax.ShapeDtypeStruct(x.shape, np.dtype(np.int32))])
    flat = [w.emit("reshape", v, shape=(v.type.size,)) for v in (x, updates)]
    return taken_in_clear(w, w.emit("concat", *flat, axis=0), which)


def taken_in_clear(w: Walker, x: Value, which: Known) -> Value:
    """Elements of an array, read flat, by their public numbers."""
    flat = w.emit("reshape", x, shape=(x.type.size,))
    column = _reshaped(w, which, (*which.shape, 1))
    attrs = {"dims": ((), (0,), (0,), (), ()), "sizes": (1,), "mode": "clip"}
    return w.emit("gather", flat, w.operand(column), **attrs)


def _reshaped(w: Walker, x: Known, shape: tuple[int, ...]) -> Known:
    (out,) = (x.scope or w.root).add(
        lambda v: [jax.numpy.reshape(v, shape)], [x], [jax.ShapeDtypeStruct(shape, x.dtype)]
    )
    return out


@rule("scatter-add", "scatter_add")
def _scatter_add(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """Add to elements: the product of the updates with a public 0/1 matrix."""
    dims, mode = eqn.params["dimension_numbers"], eqn.params["mode"]
    shape, more = eqn.invars[0].aval.shape, eqn.invars[2].aval.shape
    size, terms = int(np.prod(shape)), int(np.prod(more))
    if not _public(args[1:2]):
        return scatter.scatter(w, eqn, args)
    if size * terms > SCATTER_WORDS or kind_of(eqn.invars[0].aval.dtype) not in (FIXED, INT):
        return w.refuse(eqn, args)

    def matrix(index: Any) -> list[Any]:
        zero, basis = np.zeros(shape, np.int32), np.eye(terms, dtype=np.int32).reshape(terms, *more)
        rows = jax.vmap(lambda one: lax.scatter_add(zero, index, one, dims, mode=mode))(basis)
        return [rows.reshape(terms, size)]

    places = in_clear(args[1])
    scope = places.scope or w.root
    (chosen,) = scope.add(matrix, [places], [jax.ShapeDtypeStruct((terms, size), np.dtype(np.int32))])
    x, updates = same_scale(w, [args[0], args[2]])
    if terms == 0:
        return w.secret(x)
    flat = w.emit("reshape", w.secret(updates), shape=(terms,))
    ones = w.emit("bound", w.operand(chosen), limit=1, origin=INFERRED)
    added = w.emit("reshape", w.emit("dot", flat, ones, dims=(((0,), (0,)), ((), ()))), shape=shape)
    return w.emit("add", x, added)


@rule("scatter-sub", "scatter-mul", "scatter_mul", "scatter-max", "scatter_max", "scatter-min", "scatter_min")
def _scatter_by(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    return scatter.scatter(w, eqn, args)


@call_rule("_one_hot")
def _one_hot(w: Walker, eqn: Any, args: list[Operand]) -> Results | None:
    """jax.nn.one_hot compares with every class: a dealt one-hot vector is cheaper, unless the index would have to be
    compared with the ends of its range for few classes."""
    (index, *_), out = args, eqn.outvars[0].aval
    axis = _made_axis(eqn)
    if axis is None or not integers.is_integer(eqn.invars[0].aval.dtype) or kind_of(out.dtype) == BOOL:
        return None
    classes, dtype = out.shape[axis], np.dtype(eqn.invars[0].aval.dtype)
    column = Column(w.secret(integers.settle(w, index, dtype)), dtype)
    if not classes or (classes < MANY_CLASSES and not is_told_apart(w, column, classes)):
        return None
    hot = hot_rows(w, column, tuple(index.shape), classes, FILL)
    perm = list(range(len(index.shape)))
    perm.insert(axis, len(index.shape))
    hot = transposed(w, hot, tuple(perm))
    return [w.emit("scale_up", hot, bits=w.config.f) if kind_of(out.dtype) == FIXED else hot]


def _made_axis(eqn: Any) -> int | None:
    """The axis of the classes: that of the numbers with which the body compares."""
    body = _jax.body_of(eqn)
    numbers = [e for e in _jax.closed(body)[0].eqns if e.primitive.name == "iota"] if body is not None else []
    return int(numbers[0].params["dimension"]) if len(numbers) == 1 else None
