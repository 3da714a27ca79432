"""Gathers and slices at secret places: one product with one-hot rows for each indexed axis.

What goes in: the operands of `gather` and `dynamic_slice`, some index of them secret. What comes out: the elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jmpc.frontend.indexing.digits import best_digit, picked_by_digits
from jmpc.frontend.indexing.places import (
    FILL,
    Column,
    as_bits,
    as_number,
    columns,
    mode_of,
    one_hot,
    picked,
    placed,
    reshaped,
    transposed,
)
from jmpc.frontend.kinds import kind_of
from jmpc.frontend.walk import Operand, Results, Walker
from jmpc.ir.program import Value
from jmpc.ir.types import BOOL, FIXED, INFERRED, INT


class Picking:
    """A table of shape (batch, *dims), then (batch, queries, *dims) once an axis was picked from. axes: the number of
    each axis in the user's array, in the order in which they stand now."""

    def __init__(self, w: Walker, table: Value, queries: int, axes: list[int], mode: str) -> None:
        self.w, self.table, self.queries, self.axes, self.mode = w, table, queries, axes, mode
        self.picked = False
        self.inside: Value | None = None

    @property
    def lead(self) -> int:
        return 2 if self.picked else 1

    @property
    def batch(self) -> int:
        return self.table.shape[0]

    def in_clear(self, column: Column, axis: int) -> None:
        """Rows of this axis by public numbers."""
        at, rank = self.lead + self.axes.index(axis), len(self.table.shape)
        index = reshaped(self.w, column.index, (self.batch, self.queries, 1))
        assert not self.picked, "public columns come first"
        sizes = tuple(1 if d in (0, at) else n for d, n in enumerate(self.table.shape))
        dims = (tuple(range(2, rank)), (at,), (at,), (0,), (0,))
        mode = "fill" if self.mode == FILL else "clip"
        self.table = self.w.emit("gather", self.table, index, dims=dims, sizes=sizes, mode=mode)
        self._drop(axis)

    def secretly(self, column: Column, axis: int, size: int, fills: bool) -> None:
        """`size` elements from a secret start. fills: somebody will ask which queries were in range."""
        at = self.lead + self.axes.index(axis)
        length = self.table.shape[at]
        places = placed(self.w, column, (self.batch, self.queries), length - size + 1, self.mode)
        low = 0 if fills or size > 1 else best_digit(self.w, places, self.table)
        if low:
            self.table = picked_by_digits(self.w, places, low, self.table, at, self.picked)
            return self._drop(axis)
        hot = one_hot(self.w, places)
        if fills:
            self._note_inside(hot)
        if size > 1:
            hot = windows(self.w, hot, size)
        shared = (0, 1) if self.picked else (0,)
        dims = (((len(hot.shape) - 1,), (at,)), (shared, shared))
        self.table = picked(self.w, hot, self.table, dims)
        self._drop(axis)
        if size > 1:
            self.axes.insert(0, axis)

    def _drop(self, axis: int) -> None:
        self.axes.remove(axis)
        self.picked = True

    def _note_inside(self, hot: Value) -> None:
        one = self.w.emit("reduce_sum", hot, axes=(2,))
        one = self.w.emit("bound", one, limit=1, origin=INFERRED)
        self.inside = one if self.inside is None else self.w.emit("mul", self.inside, one)


def windows(w: Walker, hot: Value, size: int) -> Value:
    """(..., starts) -> (..., size, starts + size - 1): row t has the one t places further on."""
    rows = []
    for t in range(size):
        zero = w.emit("const", value=0, shape=(), kind=INT, scale=0)
        config = (*((0, 0, 0) for _ in hot.shape[:-1]), (t, size - 1 - t, 0))
        row = w.emit("pad", hot, zero, config=config)
        rows.append(reshaped(w, row, (*row.shape[:-1], 1, row.shape[-1])))
    return w.emit("concat", *rows, axis=len(hot.shape) - 1)


def gather(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """As `jax.lax.gather`. Where JAX fills with NaN, zeros come out."""
    p, d = eqn.params, eqn.params["dimension_numbers"]
    table, index = _number_table(w, args[0]), w.secret(args[1])
    mode, sizes = mode_of(p), tuple(p["slice_sizes"])
    batch_axes, index_batch = tuple(d.operand_batching_dims), tuple(d.start_indices_batching_dims)
    axes = [n for n in range(len(table.shape)) if n not in batch_axes]
    table = _narrowed(w, table, {n: sizes[n] for n in axes if n not in d.start_index_map})
    batch = math.prod(table.shape[n] for n in batch_axes)
    table = transposed(w, table, (*batch_axes, *axes))
    table = reshaped(w, table, (batch, *table.shape[len(batch_axes) :]))
    order = (*index_batch, *(n for n in range(len(index.shape) - 1) if n not in index_batch))
    fill = _fill_of(eqn) if mode == FILL else 0
    queries = math.prod(index.shape[:-1]) // max(batch, 1)
    state = Picking(w, table, queries, axes, mode)
    found = [_ordered(w, c, index.shape[:-1], order) for c in columns(w, index, np.dtype(eqn.invars[1].aval.dtype))]
    _pick(state, list(zip(found, d.start_index_map, strict=True)), sizes, bool(fill))
    out = _laid_out(w, state, eqn, [index.shape[n] for n in order], order, sizes)
    out = _filled(w, out, state, fill, eqn, [index.shape[n] for n in order], order) if fill else out
    return as_bits(w, out) if kind_of(eqn.outvars[0].aval.dtype) == BOOL else out


def _number_table(w: Walker, x: Operand) -> Value:
    return w.operand(as_number(w, x))


def _narrowed(w: Walker, x: Value, sizes: dict[int, int]) -> Value:
    """Axes without an index start at 0."""
    limit = tuple(sizes.get(n, length) for n, length in enumerate(x.shape))
    if limit == x.shape:
        return x
    return w.emit("slice", x, start=(0,) * len(limit), limit=limit, strides=(1,) * len(limit))


def _ordered(w: Walker, column: Column, shape: tuple[int, ...], order: tuple[int, ...]) -> Column:
    """With the batch axes of the index in front."""
    index = column.index
    if order != tuple(range(len(order))):
        index = transposed(w, reshaped(w, index, shape), order)
    return Column(index, column.dtype, column.size)


def _pick(state: Picking, columns: list[tuple[Column, int]], sizes: tuple[int, ...], fills: bool) -> None:
    """Axes with public indices first, one at most: they cost nothing, and leave less to pick from."""
    clear = next((at for at, (c, n) in enumerate(columns) if c.public and sizes[n] == 1), None)
    if clear is not None and not fills:
        state.in_clear(*columns.pop(clear))
    for column, axis in columns:
        state.secretly(column, axis, sizes[axis], fills)


def _laid_out(
    w: Walker, state: Picking, eqn: Any, queries: list[int], order: tuple[int, ...], sizes: tuple[int, ...]
) -> Value:
    """From (batch, queries, axes as they came) to the shape of the result."""
    d, rank = eqn.params["dimension_numbers"], len(sizes)
    ranked = sorted(state.axes)
    x = transposed(w, state.table, (0, 1, *(2 + state.axes.index(n) for n in ranked)))
    dropped = (*d.collapsed_slice_dims, *d.operand_batching_dims)
    window = [sizes[n] for n in range(rank) if n not in dropped]
    x = reshaped(w, x, (*queries, *window))
    return transposed(w, x, _placed(tuple(d.offset_dims), len(x.shape), order))


def _placed(offset_dims: tuple[int, ...], rank: int, order: tuple[int, ...]) -> tuple[int, ...]:
    """Where each axis of the result is: the windows stand at `offset_dims`, the index's axes in their order."""
    back, queries, window = np.argsort(order).tolist(), 0, 0
    perm = []
    for n in range(rank):
        if n in offset_dims:
            perm.append(len(order) + window)
            window += 1
        else:
            perm.append(back[queries])
            queries += 1
    return tuple(perm)


def _fill_of(eqn: Any) -> float:
    """0 where JAX fills with NaN, which a ring has not."""
    dtype, fill = eqn.invars[0].aval.dtype, eqn.params["fill_value"]
    if fill is None and kind_of(dtype) == BOOL:
        return 1
    if fill is None and kind_of(dtype) == INT:
        info = np.iinfo(dtype)
        return int(info.max if info.min == 0 else info.min)
    return 0 if fill is None or np.isnan(fill) else fill


def _filled(
    w: Walker, out: Value, state: Picking, fill: float, eqn: Any, queries: list[int], order: tuple[int, ...]
) -> Value:
    """Plus `fill` where a query was out of range, which left zeros."""
    assert state.inside is not None
    d = eqn.params["dimension_numbers"]
    one = w.emit("const", value=1, shape=state.inside.shape, kind=INT, scale=0)
    outside = w.emit("sub", one, state.inside)
    outside = w.emit("bound", outside, limit=1, origin=INFERRED)
    outside = w.emit("transpose", reshaped(w, outside, tuple(queries)), perm=tuple(np.argsort(order).tolist()))
    kept = tuple(n for n in range(len(out.shape)) if n not in d.offset_dims)
    outside = w.emit("broadcast", outside, shape=out.shape, dims=kept)
    scale = out.type.scale if out.type.kind == FIXED else 0
    added = w.emit("mul", outside, w.constant(fill, out.shape, out.type.kind, scale))
    return w.emit("add", out, added)


def dynamic_slice(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """As `jax.lax.dynamic_slice`: axes with public starts first; a start is moved so that the slice fits."""
    sizes, starts = tuple(eqn.params["slice_sizes"]), args[1:]
    table = _number_table(w, args[0])
    secret = [n for n, s in enumerate(starts) if (isinstance(s, Value) or s.owner) and sizes[n] < table.shape[n]]
    table = in_clear(w, table, starts, sizes, secret)
    for n in secret:
        axes = list(range(len(table.shape)))
        state = Picking(w, reshaped(w, table, (1, *table.shape)), 1, axes, "clip")
        state.secretly(scalar(w, starts[n], eqn.invars[1 + n].aval.dtype), n, sizes[n], False)
        ranked = sorted(state.axes)
        x = transposed(w, state.table, (0, 1, *(2 + state.axes.index(d) for d in ranked)))
        table = reshaped(w, x, tuple(sizes[n] if d == n else s for d, s in enumerate(table.shape)))
    return as_bits(w, table) if kind_of(eqn.outvars[0].aval.dtype) == BOOL else table


def scalar(w: Walker, start: Operand, dtype: Any) -> Column:
    index = reshaped(w, w.secret(start), (1,))
    return columns(w, index, np.dtype(dtype))[0]


def in_clear(w: Walker, x: Value, starts: list[Any], sizes: tuple[int, ...], secret: list[int]) -> Value:
    """Slice the axes whose starts are public."""
    if all(n in secret or sizes[n] == length for n, length in enumerate(x.shape)):
        return x
    zero = w.emit("const", value=0, shape=(), kind=INT, scale=0)
    index = [zero if n in secret or sizes[n] == x.shape[n] else w.operand(s) for n, s in enumerate(starts)]
    whole = tuple(x.shape[n] if n in secret else size for n, size in enumerate(sizes))
    return w.emit("dynamic_slice", x, *index, sizes=whole)
