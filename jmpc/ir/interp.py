"""The plain meaning of every op, without shares: the oracle that protocols, passes and executors are tested against.

What goes in: a program at either level and its inputs, as integers in ring units (a fixed-point number times
2^scale). What comes out: its results, likewise. Forms, owners and bounds mean nothing here: `share`, `reshare`,
`split` are the identity. Not here: encoding and decoding (`ring/fixed.py`).

Two arithmetics. The ring, the default: signed int64 that wraps mod 2^k; a truncation rounds to the nearest integer,
halves up, so each result that a protocol may give is less than 1 ulp from the exact quotient and at most 1 ulp from
ours. Exact: float64 real numbers, no rounding and no wrap, to measure what rounding and wrapping cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jmpc._types import AnyArray
from jmpc.errors import ProgramError
from jmpc.ir.ops.record import OPS, Frame
from jmpc.ir.program import Block, Op, Program, Value
from jmpc.ring.element import Ring

Watch = Callable[[Op, list[np.ndarray]], None]


def evaluate(
    program: Program, inputs: Sequence[np.ndarray], exact: bool = False, watch: Watch | None = None
) -> list[np.ndarray]:
    """The results of a program that `verify` accepts: int64 in ring units, bool for bits.

    exact: float64 real numbers instead, a fixed-point value x standing for x 2^-scale; inputs stay in ring units.
    watch: called with each op and the arrays of its results, in the order of execution.
    Raises ProgramError where the number or the shapes of the inputs are not the program's.
    """
    frame = Frame(Ring(program.config.k), exact)
    params = program.body.params
    if [np.shape(x) for x in inputs] != [value.shape for value in params]:
        raise ProgramError(f"{program.name}: the inputs have not the shapes {[value.shape for value in params]}")
    with jax.enable_x64(True), np.errstate(over="ignore"):
        arrays = [frame.enter(x, value.type) for x, value in zip(inputs, params, strict=True)]
        return _block(frame, program.body, arrays, watch)


def _block(frame: Frame, block: Block, arrays: Sequence[np.ndarray], watch: Watch | None) -> list[np.ndarray]:
    known: dict[Value, np.ndarray] = dict(zip(block.params, arrays, strict=True))
    for op in block.ops:
        found = _results(frame, op, [known[v] for v in op.inputs], watch)
        results = [frame.settle(x, value.type) for x, value in zip(found, op.outputs, strict=True)]
        if watch is not None:
            watch(op, results)
        known.update(zip(op.outputs, results, strict=True))
    return [known[value] for value in block.results]


def _results(frame: Frame, op: Op, arrays: list[np.ndarray], watch: Watch | None) -> Sequence[AnyArray | np.generic]:
    if op.name == "loop":
        return _loop(frame, op, arrays, watch)
    record = OPS.get(op.name)
    if record is None or record.meaning is None:
        raise ProgramError(f"no op named {op.name!r}", where=op.loc)
    found = record.meaning(frame, op, *arrays)
    return found if isinstance(found, list) else (found,)


def _loop(frame: Frame, op: Op, arrays: list[np.ndarray], watch: Watch | None) -> list[np.ndarray]:
    body, consts, carried = op.attrs["body"], op.attrs["consts"], op.attrs["carry"]
    fixed, carry, stacked = arrays[:consts], arrays[consts : consts + carried], arrays[consts + carried :]
    rows: list[list[np.ndarray]] = []
    order = range(op.attrs["trip"])
    for step in reversed(order) if op.attrs.get("reverse") else order:
        results = _block(frame, body, [*fixed, *carry, *(x[step] for x in stacked)], watch)
        carry = results[:carried]
        rows.append(results[carried:])
    rows = rows[::-1] if op.attrs.get("reverse") else rows
    empty = [np.zeros(value.shape) for value in op.outputs[carried:]]
    return carry + ([np.stack(column) for column in zip(*rows, strict=True)] if rows else empty)
