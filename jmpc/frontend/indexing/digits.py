"""Picking by the two digits of an index: short one-hot vectors in place of a long one, for a round more.

What goes in: places and the table that they are picked from. What comes out: the elements. A table of 1000 takes 96
words an index in place of 2047. The low digit picks first, for every value of the high one, in the clear if the table
is public; then the high one picks.
"""

from __future__ import annotations

from typing import Any

from jmpc.frontend.indexing.places import Places, picked, reshaped, transposed
from jmpc.frontend.walk import Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import INT


def best_digit(w: Walker, at: Places, table: Value) -> int:
    """Bits of the low digit; 0 where one vector is cheaper."""
    profile, word = w.config.profile, w.config.k // 8
    row = table.type.size // max(table.shape[0] * at.positions, 1)
    count = at.index.type.size * word

    def seconds(low: int) -> float:
        if not low:
            return profile.seconds(0, count * max((1 << at.bits) - 1, at.positions))
        first, second = 1 << low, 1 << (at.bits - low)
        between = second * (row + 1) if table.type.secret else second
        return profile.seconds(1, count * (first + second + 1 + between))

    return min(range(at.bits), key=seconds, default=0)


def picked_by_digits(w: Walker, at: Places, low: int, table: Value, axis: int, by_query: bool) -> Value:
    """(batch, *dims), or with `by_query` (batch, queries, *dims) -> (batch, queries, *the other dims)."""
    lead = 2 if by_query else 1
    others = [d for d in range(lead, len(table.shape)) if d != axis]
    table = transposed(w, table, (*range(lead), axis, *others))
    table = _by_residue(w, table, lead, at)
    shape = (*table.shape[:lead], 1 << (at.bits - low), 1 << low, *table.shape[lead + 1 :])
    attrs = {"low": low, "bits": at.bits}
    first, second = w.build.emit_many(
        "hot_digits", (at.index,), ops.infer("hot_digits", [at.index.type], attrs, w.config, w.build.loc), **attrs
    )
    together = tuple(range(lead))
    found = picked(w, first, reshaped(w, table, shape), (((2,), (lead + 1,)), (together, together)))
    return picked(w, second, found, (((2,), (2,)), ((0, 1), (0, 1))))


def _by_residue(w: Walker, table: Value, axis: int, at: Places) -> Value:
    """The element that each residue means, zeros where none."""
    spare = (1 << at.bits) - at.positions * (1 + at.wraps)
    kind, scale = table.type.kind, table.type.scale if table.type.kind != INT else 0
    zero = w.emit("const", value=0, shape=(), kind=kind, scale=scale)
    around: Any = [(0, 0, 0)] * len(table.shape)
    around[axis] = (0, spare, 0)
    padded = w.emit("pad", table, zero, config=tuple(around)) if spare else table
    return w.emit("concat", padded, table, axis=axis) if at.wraps else padded
