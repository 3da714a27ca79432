"""Secret indices: where they can be, what JAX does with those that are out of range, and their one-hot vectors.

What goes in: index operands of gathers, scatters and slices. What comes out: columns of indices, and for each a one-hot
vector of numbers, from which a product picks. An index is compared with the ends of its range only where its interval
does not prove it inside, and where the residues of a one-hot vector do not tell it from the positions anyway.

JAX counts a negative index from the end: i < 0 ? i + n : i. `note_wrapped` knows that step when it meets it, and a
column that was made by it keeps i itself, of which a one-hot vector can count from both ends without a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc.frontend.expand import expand
from jmpc.frontend.facts import Fact
from jmpc.frontend.integer import integers
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ASSUMED, BOOL, INT, PUBLIC

PROMISED, CLIP, FILL = "promise_in_bounds", "clip", "fill"
WRAPPED: Fact[tuple[Value, int]] = Fact("it is i < 0 ? i + n : i, of this i and n")
SPARE_BITS = 2  # a one-hot vector may be so much longer, in bits, to save comparisons


def mode_of(params: Any) -> str:
    """What happens to an index that is out of range."""
    mode = lax.GatherScatterMode.from_any(params["mode"])
    return {lax.GatherScatterMode.FILL_OR_DROP: FILL, lax.GatherScatterMode.CLIP: CLIP}.get(mode, PROMISED)


# --- indices that count from the end


def note_wrapped(w: Walker, which: Operand, cases: Sequence[Operand], out: Operand) -> None:
    """Remember that `out` is `i < 0 ? i + n : i`, if it is."""
    if len(cases) != 2 or not all(isinstance(v, Value) and v.type.kind == INT for v in (cases[1], out)):
        return
    index = w.secret(cases[0])
    size = _added(w, which, index, cases[1])
    if size > 0 and isinstance(out, Value):
        low, high = integers.interval(w, index)
        integers.within(w, out, (min(0, low + size), max(high, size - 1)))
        w.facts.note(WRAPPED, out, (index, size))


def _added(w: Walker, which: Operand, index: Value, moved: Operand) -> int:
    """n, if `which` says that the index is below 0 and `moved` is the index plus n; else 0."""
    test, step = w.build.maker(which), w.build.maker(moved)
    if test is None or step is None or test.name not in ("is_negative", "bit_at") or step.name != "add":
        return 0
    difference, number = w.build.maker(test.inputs[0]), w.build.maker(step.inputs[1])
    tested = test.inputs[0]
    if difference is not None and difference.name == "gap" and constant_of(w.build.maker(difference.inputs[1])) == 0:
        tested = difference.inputs[0]
    if tested is not index or step.inputs[0] is not index:
        return 0
    return constant_of(number) or 0


def constant_of(op: Op | None) -> int | None:
    return op.attrs["value"] if op is not None and op.name == "const" else None


# --- columns


@dataclass(frozen=True)
class Column:
    """The indices of one axis. index: of any shape with as many elements as wanted.  size: of the axis, where a
    negative index counts from its end.  dtype: of the index in the user's function."""

    index: Value
    dtype: np.dtype
    size: int | None = None

    @property
    def public(self) -> bool:
        return self.index.type.visibility == PUBLIC


def columns(w: Walker, index: Value, dtype: np.dtype) -> list[Column]:
    """The columns along the last axis, each found where it was made, if only its shape was changed since."""
    found = _pieces(w, index)
    if len(found) != index.shape[-1]:
        found = [_column(w, index, n) for n in range(index.shape[-1])]
    return [_traced(w, v, dtype) for v in found]


def _pieces(w: Walker, index: Value) -> list[Value]:
    """Of a concatenation of columns, the columns."""
    op = w.build.maker(index)
    if op is None or op.name != "concat" or op.attrs["axis"] != len(index.shape) - 1:
        return [index]
    return [piece for v in op.inputs for piece in _pieces(w, v)]


def _column(w: Walker, index: Value, n: int) -> Value:
    start, limit = (0,) * (len(index.shape) - 1), index.shape[:-1]
    return w.emit("slice", index, start=(*start, n), limit=(*limit, n + 1), strides=(1,) * len(index.shape))


def _traced(w: Walker, v: Value, dtype: np.dtype) -> Column:
    inner = v
    while (wrapped := w.facts.of(WRAPPED, inner)) is None:
        op = w.build.maker(inner)
        if op is None or op.name not in ("reshape", "broadcast") or op.inputs[0].type.size != inner.type.size:
            return Column(v, dtype)
        inner = op.inputs[0]
    return Column(wrapped[0], dtype, wrapped[1])


# --- one-hot vectors


@dataclass(frozen=True)
class Places:
    """Indices of which the residues mod 2^bits say all: of `positions`, with `wraps` also counted from the end; any
    other residue is out of range."""

    index: Value
    positions: int
    bits: int
    wraps: bool


def hot_rows(w: Walker, column: Column, shape: tuple[int, ...], positions: int, mode: str) -> Value:
    """[index = v] for v below `positions`, of shape (*shape, positions). All zero for an index that is out of range
    where the mode fills or drops."""
    return one_hot(w, placed(w, column, shape, positions, mode))


def one_hot(w: Walker, at: Places) -> Value:
    return w.emit("one_hot", at.index, size=at.positions, bits=at.bits, wraps=at.wraps)


def placed(w: Walker, column: Column, shape: tuple[int, ...], positions: int, mode: str) -> Places:
    """The indices of a column, brought where the mode wants them if they may be elsewhere."""
    index = column.index if column.index.type.secret else w.emit("share", column.index)
    index = reshaped(w, index, shape)
    integers.within(w, index, integers.interval(w, column.index))
    wraps = column.size == positions
    if column.size is not None and not wraps:
        index = _from_start(w, index, column)
    least, most = -positions if wraps else 0, positions - 1
    low, high = integers.interval(w, index)
    proven = least <= low and high <= most
    bits = (most - least).bit_length()
    if mode == CLIP and not proven:
        index = _clamped(w, index, column.dtype, (least, most))
    elif mode == FILL and not proven:
        reach = max(high - least, most - low).bit_length()
        if reach <= bits + SPARE_BITS:
            bits = reach
        else:
            index, bits = _aside(w, index, column.dtype, (least, most)), (most - least + 1).bit_length()
    return Places(index, positions, bits, wraps)


def is_told_apart(w: Walker, column: Column, positions: int) -> bool:
    """Whether a little longer one-hot vector tells an index that is out of range from the positions."""
    low, high = integers.interval(w, column.index)
    return max(high, positions - 1 - low).bit_length() <= (positions - 1).bit_length() + SPARE_BITS


def _from_start(w: Walker, index: Value, column: Column) -> Value:
    """`i < 0 ? i + n : i`, where only the range of starts counts."""
    assert column.size is not None
    (found,) = expand(w, _wrapped(column.size), index, avals=[jax.ShapeDtypeStruct(index.shape, column.dtype)])
    assert isinstance(found, Value)
    return found


def _clamped(w: Walker, index: Value, dtype: np.dtype, ends: tuple[int, int]) -> Value:
    (found,) = expand(w, _clamp(*ends), index, avals=[jax.ShapeDtypeStruct(index.shape, dtype)])
    assert isinstance(found, Value)
    return integers.within(w, found, ends)


def _aside(w: Walker, index: Value, dtype: np.dtype, ends: tuple[int, int]) -> Value:
    """An index that is out of range is put on the first place beyond it."""
    (found,) = expand(w, _put_aside(*ends), index, avals=[jax.ShapeDtypeStruct(index.shape, dtype)])
    assert isinstance(found, Value)
    return integers.within(w, found, (ends[0], ends[1] + 1))


@lru_cache(maxsize=256)
def _clamp(low: int, high: int) -> Any:
    return lambda index: lax.clamp(np.asarray(low, index.dtype), index, np.asarray(high, index.dtype))


@lru_cache(maxsize=256)
def _put_aside(low: int, high: int) -> Any:
    return lambda index: jax.numpy.where((index >= low) & (index <= high), index, high + 1)


@lru_cache(maxsize=256)
def _wrapped(size: int) -> Any:
    return lambda index: jax.numpy.where(index < 0, index + size, index)


def reshaped(w: Walker, x: Value, shape: tuple[int, ...]) -> Value:
    return x if x.shape == tuple(shape) else w.emit("reshape", x, shape=tuple(shape))


def transposed(w: Walker, x: Value, perm: tuple[int, ...]) -> Value:
    return x if tuple(perm) == tuple(range(len(perm))) else w.emit("transpose", x, perm=tuple(perm))


def as_number(w: Walker, x: Operand) -> Operand:
    """A table of bools as numbers 0 and 1."""
    is_bool = x.type.kind == BOOL if isinstance(x, Value) else x.dtype == np.dtype(bool)
    return expand(w, _to_int32, x)[0] if is_bool else x


def _to_int32(x: Any) -> Any:
    return x.astype(np.int32)


def as_bits(w: Walker, x: Value) -> Value:
    """The inverse: the lowest bit, which takes one round."""
    found = w.emit("bits", x, start=0, width=1)
    return reshaped(w, found, x.shape)


def picked(w: Walker, hot: Value, table: Value, dims: Any) -> Value:
    """A product with one-hot rows: elements of the table or zeros, so within its bounds."""
    limit, origin = table.type.limit, table.type.origin
    if table.type.kind != INT:  # the bound of a sum of so many such elements could be too large for the ring
        table = w.emit("bound", table, limit=limit, origin=ASSUMED)
    found = w.emit("dot", hot, table, dims=dims)
    return w.emit("bound", found, limit=limit, origin=origin)
