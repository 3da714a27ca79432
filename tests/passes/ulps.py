"""By how much may two valid runs of a program differ? An error for every value, from its operands' errors.

What goes in: a program and inputs. What comes out: what the oracle gives, and for each element of each result the
largest distance between that and a run in which every truncation is within one unit of the exact quotient. Where a
bit may go either way (a comparison with something that close) its error is 1. Also whether every value, with its
error, keeps the static bound on which protocols rely.

How this works: `interp.evaluate` tells each op's results in the order of execution; the walk here replays that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc.ir import ops
from jmpc.ir.interp import evaluate
from jmpc.ir.ops import conv_params
from jmpc.ir.ops.record import LINEAR
from jmpc.ir.program import Block, Op, Program, Value
from jmpc.ir.types import BOOL

Array = np.ndarray
Known = dict[Value, tuple[Array, Array]]  # by value: what the oracle says, and the error


@dataclass
class Judged:
    """results; errors; kept: whether no value can pass its static bound."""

    results: list[Array]
    errors: list[Array]
    kept: bool


def judge(program: Program, inputs: Sequence[Array]) -> Judged:
    seen: deque[tuple[Op, list[Array]]] = deque()
    results = evaluate(program, inputs, watch=lambda op, out: seen.append((op, out)))
    replay = _Replay(seen)
    start = {v: (np.asarray(x), np.zeros(v.shape)) for v, x in zip(program.body.params, inputs, strict=True)}
    with jax.enable_x64(True):
        errors = replay.block(program.body, start)
    return Judged(results, [e for _, e in errors], replay.kept)


class _Replay:
    def __init__(self, seen: deque[tuple[Op, list[Array]]]) -> None:
        self.seen, self.kept = seen, True

    def block(self, block: Block, known: Known) -> list[tuple[Array, Array]]:
        for op in block.ops:
            errors = self.loop(op, known) if op.name == "loop" else None
            met, results = self.seen.popleft()
            assert met is op
            if errors is None:
                errors = [np.asarray(ERRORS[op.name](op, *(known[v] for v in op.inputs)), np.float64)]
            for value, x, e in zip(op.outputs, results, errors, strict=True):
                known[value] = x, e
                if value.type.kind != BOOL and value.type.secret:
                    self.kept &= bool((np.abs(x.astype(np.float64)) + e <= value.type.limit).all())
        return [known[v] for v in block.results]

    def loop(self, op: Op, known: Known) -> list[Array]:
        body, consts, carried, trip = (op.attrs[n] for n in ("body", "consts", "carry", "trip"))
        operands = [known[v] for v in op.inputs]
        carry, rows = operands[consts : consts + carried], []
        for step in range(trip)[:: -1 if op.attrs.get("reverse") else 1]:
            slices = [(x[step], e[step]) for x, e in operands[consts + carried :]]
            results = self.block(body, dict(zip(body.params, [*operands[:consts], *carry, *slices], strict=True)))
            carry = results[:carried]
            rows.append([e for _, e in results[carried:]])
        rows = rows[::-1] if op.attrs.get("reverse") else rows
        return [*(e for _, e in carry), *(np.stack(column) for column in zip(*rows, strict=True))]


Operand = tuple[Array, Array]


def _structural(op: Op, *operands: Operand) -> Any:
    """Errors move as the elements do, and add up where they do."""
    first = len(ops.OPS[op.name].data(operands))
    return ops.apply(op.name, op.attrs, *(e for _, e in operands[:first]), *(x for x, _ in operands[first:]))


def _sum(op: Op, x: Operand, y: Operand) -> Array:
    return x[1] + y[1]


def _product(times: Callable[[Op, Any, Any], Any]) -> Callable[..., Array]:
    def error(op: Op, x: Operand, y: Operand) -> Array:
        a, b = np.abs(x[0].astype(np.float64)), np.abs(y[0].astype(np.float64))
        return np.asarray(times(op, a, y[1])) + np.asarray(times(op, x[1], b)) + np.asarray(times(op, x[1], y[1]))

    return error


def _conv(op: Op, x: Any, y: Any) -> Any:
    return lax.conv_general_dilated(jax.numpy.asarray(x), jax.numpy.asarray(y), **conv_params(op.attrs))


def _truncate(op: Op, x: Operand) -> Array:
    """The oracle rounds to the nearest integer, another run to either side."""
    return np.floor(x[1] / 2 ** op.attrs["bits"] + 1.5)


def _near_zero(op: Op, x: Operand) -> Array:
    return (x[1] > 0) & (np.abs(x[0].astype(np.float64)) <= x[1])


def _either(op: Op, *bits: Operand) -> Array:
    return np.maximum.reduce([e for _, e in bits])


def _over(op: Op, x: Operand) -> Array:
    return np.max(x[1], op.attrs["axes"], initial=0)


def _selected(op: Op, bit: Operand, x: Operand) -> Array:
    return np.where(bit[1] > 0, np.abs(x[0].astype(np.float64)) + x[1], x[1])


def _argmax(op: Op, x: Operand) -> Array:
    axis = op.attrs["axis"]
    return np.where(np.max(x[1], axis) > 0, x[0].shape[axis] - 1.0, 0.0)


def _rank(op: Op, *keys: Operand) -> Array:
    """A key that is not certain may move every element of its row."""
    shape = op.output.shape
    doubt = np.max([np.max(e, -1, keepdims=True) for _, e in keys], 0) > 0
    return np.broadcast_to(np.where(doubt, shape[-1] - 1.0, 0.0), shape)


def _permute(op: Op, place: Operand, x: Operand) -> Array:
    """Of a row in doubt, an element may be any other."""
    moved, wide = np.empty(x[1].shape), x[0].astype(np.float64)
    np.put_along_axis(moved, place[0].astype(np.int64), x[1], -1)
    apart = np.max(wide, -1, keepdims=True) - np.min(wide, -1, keepdims=True) + np.max(x[1], -1, keepdims=True)
    return np.where(np.max(place[1], -1, keepdims=True) > 0, apart, moved)


def _floor(op: Op, x: Operand) -> Array:
    return np.where(x[1] > 0, np.floor(x[1] / 2 ** op.inputs[0].type.scale) + 1, 0.0)


def _same(op: Op, x: Operand) -> Array:
    return x[1]


ERRORS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(ops.with_trait(LINEAR), _structural),
    **dict.fromkeys(("add", "sub", "gap"), _sum),
    **dict.fromkeys(("neg", "bound", "share", "as_int", "move_point", "relu", "not", "to_arith"), _same),
    **dict.fromkeys(("xor", "and", "or"), _either),
    **dict.fromkeys(("reduce_and", "reduce_or", "reduce_max"), _over),
    **dict.fromkeys(("is_negative", "is_zero"), _near_zero),
    "mul": _product(lambda op, x, y: x * y),
    "dot": _product(lambda op, x, y: lax.dot_general(x, y, op.attrs["dims"])),
    "conv": _product(_conv),
    "const": lambda op: np.zeros(op.attrs["shape"]),
    "scale_up": lambda op, x: x[1] * 2 ** op.attrs["bits"],
    "truncate": _truncate,
    "select_or_zero": _selected,
    "argmax": _argmax,
    "rank": _rank,
    "permute": _permute,
    "floor": _floor,
    "window_max": lambda op, x: np.full(op.output.shape, np.max(x[1], initial=0)),
}


def small_inputs(program: Program, seed: int) -> list[Array]:
    """Numbers far below the contract of the number format, so that sums and products keep their bounds: whole ones,
    units in the last place, zeros, and anything of a few bits."""
    rng = np.random.default_rng(seed)
    found = []
    for value in program.body.params:
        t = value.type
        top = min(t.limit, 3 << t.scale)
        if t.kind == BOOL:
            found.append(rng.integers(0, 2, t.shape).astype(bool))
            continue
        kinds = [rng.integers(-top, top, t.shape, endpoint=True), rng.choice([-1, 0, 1], t.shape) << t.scale]
        kinds.append(rng.choice([-1, 0, 1], t.shape))
        found.append(np.clip(np.choose(rng.integers(0, 3, t.shape), kinds), -top, top))
    return found
