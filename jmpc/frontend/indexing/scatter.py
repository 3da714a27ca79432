"""Scatters and updates at secret places: products with one-hot rows.

What goes in: the operands of the `scatter` family and of `dynamic_update_slice`. What comes out: the updated array. Of
several updates of one place by `scatter`, the last stays, as on JAX's CPU.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc.frontend.expand import expand
from jmpc.frontend.indexing.gather import in_clear, scalar, windows
from jmpc.frontend.indexing.places import (
    CLIP,
    Column,
    as_bits,
    as_number,
    columns,
    constant_of,
    hot_rows,
    mode_of,
    reshaped,
    transposed,
)
from jmpc.frontend.kinds import kind_of
from jmpc.frontend.known import Known
from jmpc.frontend.rules.linear import same_scale
from jmpc.frontend.walk import Operand, Results, Walker
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INFERRED, INT, weakest


def scatter(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """As `jax.lax.scatter` and its kin."""
    d = eqn.params["dimension_numbers"]
    x, updates = _two_numbers(w, args[0], args[2])
    batch_axes, axes = tuple(d.operand_batching_dims), tuple(d.scatter_dims_to_operand_dims)
    rest = [n for n in range(len(x.shape)) if n not in (*batch_axes, *axes)]
    whole = [n for n in range(len(x.shape)) if n not in (*d.inserted_window_dims, *batch_axes)]
    window = dict(zip(whole, (updates.shape[n] for n in d.update_window_dims), strict=True))
    if any(window[n] != x.shape[n] for n in rest):
        return w.refuse(eqn, args, "a window that leaves part of an axis without an index has no secure form")
    sizes = [window.get(n, 1) for n in axes]
    batch, shape = math.prod(x.shape[n] for n in batch_axes), x.shape
    first, lead = tuple(d.scatter_indices_batching_dims), args[1].shape[:-1]
    order = (*first, *(n for n in range(len(lead)) if n not in first))
    table = _rows(w, x, (*batch_axes, *axes, *rest), (batch, math.prod(shape[n] for n in axes), -1))
    given = _rows(w, updates, _update_order(d, order, axes, rest, shape), (batch, -1, table.shape[2]))
    hot = _hot(w, eqn, args[1], (batch, math.prod(lead) // max(batch, 1)), order, [shape[n] for n in axes], sizes)
    made = _JOIN[eqn.primitive.name.replace("_", "-")](w, eqn, table, hot, given)
    perm = (*batch_axes, *axes, *rest)
    made = reshaped(w, made, tuple(shape[n] for n in perm))
    made = transposed(w, made, tuple(np.argsort(perm).tolist()))
    return as_bits(w, made) if kind_of(eqn.outvars[0].aval.dtype) == BOOL else made


def _two_numbers(w: Walker, x: Operand, y: Operand) -> list[Value]:
    first, second = (as_number(w, v) for v in (x, y))
    if all(isinstance(v, Known) and not v.owner for v in (first, second)):
        return [w.operand(first), w.operand(second)]
    return same_scale(w, [first, second])


def _rows(w: Walker, x: Value, perm: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    missing = x.type.size // max(math.prod(n for n in shape if n >= 0), 1)
    return reshaped(w, transposed(w, x, perm), tuple(missing if n < 0 else n for n in shape))


def _update_order(
    d: Any, order: tuple[int, ...], axes: tuple[int, ...], rest: list[int], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The axes of the updates: of the index, batch first, then those of indexed axes, then the others."""
    kept = [n for n in range(len(shape)) if n not in (*d.inserted_window_dims, *d.operand_batching_dims)]
    stands = dict(zip(kept, d.update_window_dims, strict=True))
    count = len(order) + len(d.update_window_dims)
    queries = [n for n in range(count) if n not in d.update_window_dims]
    indexed = [stands[n] for n in axes if n in stands]
    return (*(queries[n] for n in order), *indexed, *(stands[n] for n in rest))


# --- where updates go


def _hot(
    w: Walker, eqn: Any, index: Operand, queries: tuple[int, int], order: tuple[int, ...], lengths: list[int],
    sizes: list[int],
) -> Value:  # fmt: skip
    """(batch, rows, places): one row an element of each update's window."""
    mode, dtype = mode_of(eqn.params), np.dtype(eqn.invars[1].aval.dtype)
    parts = []
    for column, length, size in zip(_columns(w, index, dtype), lengths, sizes, strict=True):
        if isinstance(column, Known):
            rows = _public_rows(w, column, order, (*queries, length - size + 1), mode)
        else:
            moved = reshaped(w, column.index, index.shape[:-1])
            moved = transposed(w, moved, order)
            rows = hot_rows(w, Column(moved, dtype, column.size), queries, length - size + 1, mode)
        parts.append(windows(w, rows, size) if size > 1 else reshaped(w, rows, (*queries, 1, length)))
    return _outer(w, parts)


def _columns(w: Walker, index: Operand, dtype: np.dtype) -> list[Column | Known]:
    """Columns that are public, as what they are in the clear."""
    if isinstance(index, Known) and not index.owner:
        return [_sliced(w, index, n) for n in range(index.shape[-1])]
    return [_in_clear(w, c) for c in columns(w, w.secret(index), dtype)]


def _in_clear(w: Walker, column: Column) -> Column | Known:
    """What a public column is in the clear: an input of the program, or a constant; another is shared."""
    inputs = dict(zip(w.params, (s.known for s in w.sources), strict=False)) if w.parent is None else {}
    number = constant_of(w.build.maker(column.index))
    if not column.public:
        return column
    if number is not None:
        return Known(column.index.shape, column.dtype, concrete=np.full(column.index.shape, number, column.dtype))
    return inputs.get(column.index) or Column(w.emit("share", column.index), column.dtype, column.size)


def _sliced(w: Walker, index: Known, n: int) -> Known:
    (one,) = (index.scope or w.root).add(
        lambda v: [v[..., n]], [index], [jax.ShapeDtypeStruct(index.shape[:-1], index.dtype)]
    )
    return one


def _public_rows(w: Walker, column: Known, order: tuple[int, ...], shape: tuple[int, ...], mode: str) -> Value:
    def rows(index: Any) -> list[Any]:
        index = jnp.transpose(jnp.reshape(index, lead), order)
        index = jnp.clip(index, 0, shape[-1] - 1) if mode == CLIP else index
        return [jnp.reshape(index, shape[:-1])[..., None] == jnp.arange(shape[-1], dtype=index.dtype)]

    lead = column.shape if len(column.shape) == len(order) else column.shape[:-1]
    (hot,) = (column.scope or w.root).add(
        lambda v: [rows(v)[0].astype(np.int32)], [column], [jax.ShapeDtypeStruct(shape, np.dtype(np.int32))]
    )
    return w.emit("bound", w.operand(hot), limit=1, origin=INFERRED)


def _outer(w: Walker, parts: list[Value]) -> Value:
    """Rows of several axes, each (batch, queries, size, length), joined: (batch, queries * sizes, lengths)."""
    found = parts[0]
    for part in parts[1:]:
        batch, queries, s, n = found.shape
        t, m = part.shape[2:]
        left = w.emit("broadcast", found, shape=(batch, queries, s, t, n, m), dims=(0, 1, 2, 4))
        right = w.emit("broadcast", part, shape=(batch, queries, s, t, n, m), dims=(0, 1, 3, 5))
        found = reshaped(w, w.emit("mul", left, right), (batch, queries, s * t, n * m))
    batch, queries, size, length = found.shape
    return reshaped(w, found, (batch, queries * size, length))


# --- what an update does: (batch, places, inner), (batch, rows, places), (batch, rows, inner)


def _placed(w: Walker, hot: Value, given: Value) -> Value:
    return w.emit("dot", hot, given, dims=(((1,), (1,)), ((0,), (0,))))


def _add(w: Walker, eqn: Any, table: Value, hot: Value, given: Value) -> Value:
    return w.emit("add", table, _placed(w, hot, given))


def _subtract(w: Walker, eqn: Any, table: Value, hot: Value, given: Value) -> Value:
    return w.emit("sub", table, _placed(w, hot, given))


def _set(w: Walker, eqn: Any, table: Value, hot: Value, given: Value) -> Value:
    if hot.shape[1] > 1 and not eqn.params["unique_indices"]:
        hot = _last_only(w, hot)
    return overwritten(w, table, hot, given)


def overwritten(w: Walker, table: Value, hot: Value, given: Value) -> Value:
    """x + (update - x) where there is one: one round for both products."""
    if table.type.kind != INT:
        table, given = (w.emit("bound", v, limit=v.type.limit, origin=ASSUMED) for v in (table, given))
    cover = w.emit("reduce_sum", hot, axes=(1,))
    cover = w.emit("bound", cover, limit=1, origin=INFERRED)
    cover = w.emit("broadcast", cover, shape=table.shape, dims=(0, 1))
    change = w.emit("gap", _placed(w, hot, given), w.emit("mul", table, cover))
    limit = max(table.type.limit, given.type.limit)
    return w.emit(
        "bound", w.emit("add", table, change), limit=limit, origin=weakest(table.type.origin, given.type.origin)
    )


def _last_only(w: Walker, hot: Value) -> Value:
    """Without the rows whose place a later row takes too: those meet it in the product of the rows with each other."""
    rows = hot.shape[1]
    if hot.type.visibility == "public":
        hot = w.emit("share", hot)
    meets = w.emit("dot", hot, hot, dims=(((2,), (2,)), ((0,), (0,))))
    meets = w.emit("bound", meets, limit=1, origin=INFERRED)
    later = Known((rows, rows), np.dtype(np.int32), concrete=np.triu(np.ones((rows, rows), np.int32), 1))
    spread = w.emit("broadcast", w.operand(later), shape=meets.shape, dims=(1, 2))
    count = w.emit("reduce_sum", w.emit("mul", meets, spread), axes=(2,))
    alive = w.emit("is_zero", w.emit("bound", count, limit=rows, origin=INFERRED))
    alive = w.emit("broadcast", alive, shape=hot.shape, dims=(0, 1))
    return w.emit("select_or_zero", alive, hot)


def _chosen(w: Walker, hot: Value, yes: Value, no: Value) -> Value:
    """(batch, rows, places, inner): `yes`, of a row, where it goes, else `no`, of a place."""
    shape = (*hot.shape, yes.shape[2])
    yes = w.emit("broadcast", yes, shape=shape, dims=(0, 1, 3))
    no = w.emit("broadcast", no, shape=shape, dims=(0, 2, 3))
    where = w.emit("broadcast", hot, shape=shape, dims=(0, 1, 2))
    out = w.emit("add", no, w.emit("mul", where, w.emit("gap", yes, no)))
    widest = max((yes, no), key=lambda v: v.type.limit).type
    return w.emit("bound", out, limit=widest.limit, origin=weakest(yes.type.origin, no.type.origin))


def _extreme(w: Walker, eqn: Any, table: Value, hot: Value, given: Value) -> Value:
    rows = _chosen(w, hot, given, table)
    first = reshaped(w, table, (table.shape[0], 1, *table.shape[1:]))
    rows = w.emit("concat", first, rows, axis=1)
    dtype = eqn.invars[0].aval.dtype
    aval = jax.ShapeDtypeStruct(rows.shape, np.dtype(np.int32) if kind_of(dtype) == BOOL else dtype)
    found = expand(w, _largest if "max" in eqn.primitive.name else _smallest, rows, avals=[aval])
    return w.secret(found[0])


def _largest(rows: Any) -> Any:
    return jnp.max(rows, axis=1)


def _smallest(rows: Any) -> Any:
    return jnp.min(rows, axis=1)


def _times(w: Walker, eqn: Any, table: Value, hot: Value, given: Value) -> Value:
    scale = table.type.scale if table.type.kind == FIXED else 0
    one = w.emit("const", value=1 << scale, shape=table.shape, kind=table.type.kind, scale=scale)
    rows, dtype = _chosen(w, hot, given, one), eqn.invars[0].aval.dtype
    rows = rows if rows.type.secret else w.emit("share", rows)
    avals = [jax.ShapeDtypeStruct(v.shape, dtype) for v in (table, rows)]
    return w.secret(expand(w, _product, table, rows, avals=avals)[0])


def _product(table: Any, rows: Any) -> Any:
    return table * jnp.prod(rows, axis=1)


_JOIN = {
    "scatter": _set,
    "scatter-add": _add,
    "scatter-sub": _subtract,
    "scatter-mul": _times,
    "scatter-max": _extreme,
    "scatter-min": _extreme,
}


# --- a slice


def dynamic_update_slice(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """As `jax.lax.dynamic_update_slice`: of axes with public starts, only the slice is touched."""
    x, update = _two_numbers(w, args[0], args[1])
    starts, sizes = args[2:], tuple(update.shape)
    secret = [n for n, s in enumerate(starts) if (isinstance(s, Value) or s.owner) and sizes[n] < x.shape[n]]
    part = in_clear(w, x, starts, sizes, secret)
    if secret:
        rest = [n for n in range(len(sizes)) if n not in secret]
        rows = []
        for n in secret:
            hot = hot_rows(
                w, scalar(w, starts[n], eqn.invars[2 + n].aval.dtype), (1, 1), x.shape[n] - sizes[n] + 1, CLIP
            )
            rows.append(windows(w, hot, sizes[n]) if sizes[n] > 1 else reshaped(w, hot, (1, 1, *hot.shape[1:])))
        perm, inner = (*secret, *rest), math.prod(sizes[n] for n in rest)
        made = overwritten(
            w, _rows(w, part, perm, (1, -1, inner)), _outer(w, rows), _rows(w, update, perm, (1, -1, inner))
        )
        made = reshaped(w, made, tuple(part.shape[n] for n in perm))
        update = transposed(w, made, tuple(np.argsort(perm).tolist()))
    if update.shape != x.shape:
        zero = w.emit("const", value=0, shape=(), kind=INT, scale=0)
        index = [zero if n in secret or sizes[n] == x.shape[n] else w.operand(s) for n, s in enumerate(starts)]
        update = w.emit("dynamic_update", x, update, *index)
    return as_bits(w, update) if kind_of(eqn.outvars[0].aval.dtype) == BOOL else update
