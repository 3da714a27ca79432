"""What a small function inside an op computes: a reduction, a comparison to sort by, an update.

What goes in: a region, and how to run it. What comes out: its meaning, found by what it does on a few numbers that tell
it from all others; or nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

Run = Callable[[Sequence[Any]], Sequence[Any]]


def single_op(block: Any) -> str:
    """The op that is all that a region of two arguments does to them; empty if it does more."""
    ops = list(block.operations)
    if len(ops) == 2 and list(ops[1].operation.operands) == list(ops[0].operation.results):
        given = set(map(hash, ops[0].operation.operands))
        if given == set(map(hash, block.arguments)):
            return ops[0].operation.name
    return ""


def returns_argument(block: Any, number: int) -> bool:
    """Whether a region gives one of its arguments back."""
    ops = list(block.operations)
    return len(ops) == 1 and list(ops[0].operation.operands) == [block.arguments[number]]


def arg_of(run: Run, dtypes: Sequence[np.dtype]) -> str:
    """ "argmax" or "argmin" for a reducer of (value, place) pairs that keeps the first of equal values."""
    for name, sign in (("argmax", 1), ("argmin", -1)):
        for a, i, b, j in itertools.product((1, 2), (0, 3), (1, 2), (1, 4)):
            first = sign * a > sign * b or (a == b and i < j)
            wanted = (a, i) if first else (b, j)
            if wanted != _on(run, (a, i, b, j), (*dtypes, *dtypes)):
                break
        else:
            return name
    return ""


def keys_of(run: Run, dtypes: Sequence[np.dtype]) -> int:
    """By how many of its operands a comparator sorts, in order, each upwards; 0 if it does otherwise."""
    both = tuple(dtype for dtype in dtypes for _ in range(2))
    for keys in range(len(dtypes), 0, -1):
        for drawn in itertools.product((0, 1), repeat=2 * len(dtypes)):
            if (drawn[0 : 2 * keys : 2] < drawn[1 : 2 * keys : 2]) != bool(_on(run, drawn, both)[0]):
                break
        else:
            return keys
    return 0


def _on(run: Run, values: Sequence[int], dtypes: Sequence[np.dtype]) -> tuple[Any, ...]:
    with jax.ensure_compile_time_eval():
        found = run([np.asarray(v).astype(d) for v, d in zip(values, dtypes, strict=True)])
        return tuple(np.asarray(x).item() for x in found)
