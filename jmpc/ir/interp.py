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
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc.errors import ProgramError
from jmpc.ir import ops_dealt, structural
from jmpc.ir.ops import conv_params
from jmpc.ir.ops_bits import FIRST, MINUS_ONE, negative_index
from jmpc.ir.program import Block, Op, Program, Value
from jmpc.ir.types import BOOL, Type
from jmpc.ring.element import Ring

Array = np.ndarray
Watch = Callable[[Op, list[Array]], None]


@dataclass(frozen=True)
class Frame:
    """What an op is evaluated with. watch: called with each op and its results, in the order of execution."""

    ring: Ring
    exact: bool
    watch: Watch | None

    def settle(self, x: Any, t: Type) -> Array:
        """An array of the dtype that values of type `t` have here, wrapped into the ring."""
        if t.kind == BOOL:
            return np.asarray(x, np.bool_)
        if self.exact:
            return np.asarray(x, np.float64)
        return np.asarray(self.ring.to_int(self.ring.from_int(np.asarray(x))))

    def enter(self, x: Array, t: Type) -> Array:
        """An integer in ring units, as the arithmetic holds it."""
        return np.ldexp(np.asarray(x, np.float64), -t.scale) if self.exact and t.kind != BOOL else self.settle(x, t)


def evaluate(
    program: Program, inputs: Sequence[np.ndarray], exact: bool = False, watch: Watch | None = None
) -> list[np.ndarray]:
    """The results of a program that `verify` accepts: int64 in ring units, bool for bits.

    exact: float64 real numbers instead, a fixed-point value x standing for x 2^-scale; inputs stay in ring units.
    watch: called with each op and the arrays of its results.
    Raises ProgramError where the number or the shapes of the inputs are not the program's.
    """
    frame = Frame(Ring(program.config.k), exact, watch)
    params = program.body.params
    if [np.shape(x) for x in inputs] != [value.shape for value in params]:
        raise ProgramError(f"{program.name}: the inputs have not the shapes {[value.shape for value in params]}")
    with jax.enable_x64(True), np.errstate(over="ignore"):
        arrays = [frame.enter(x, value.type) for x, value in zip(inputs, params, strict=True)]
        return _block(frame, program.body, arrays)


def _block(frame: Frame, block: Block, arrays: Sequence[Array]) -> list[Array]:
    known: dict[Value, Array] = dict(zip(block.params, arrays, strict=True))
    for op in block.ops:
        results = [
            frame.settle(x, value.type)
            for x, value in zip(_results(frame, op, [known[v] for v in op.inputs]), op.outputs, strict=True)
        ]
        if frame.watch is not None:
            frame.watch(op, results)
        known.update(zip(op.outputs, results, strict=True))
    return [known[value] for value in block.results]


def _results(frame: Frame, op: Op, arrays: list[Array]) -> Sequence[Any]:
    if op.name == "loop":
        return _loop(frame, op, arrays)
    if op.name == "dabit":  # any bit is allowed
        return np.zeros(op.attrs["shape"], np.bool_), np.zeros(op.attrs["shape"], np.int64)
    if op.name in ("random_bits", "random_words", "random_count", "random_chances"):  # any value is allowed
        return (np.zeros(op.output.shape, np.int64),)
    if op.name == "random_shuffle":  # any order is allowed
        return arrays
    if op.name == "low_bits":  # any way to cut x in two is allowed, this one too
        return _low(op, arrays[0]), np.zeros(arrays[0].shape, np.bool_)
    if op.name in ("hot_digits", "deal_hot_digits"):
        return _hot_digits(op, arrays[0])
    if op.name in structural.LINEAR:
        return (structural.apply(op.name, op.attrs, *_indices_as_integers(op, arrays)),)
    if op.name in ("exponent", "top_bit"):
        return _exponent(op, _as_integers(frame, op, arrays[0]))
    if op.name == "lookup":
        return _lookup(frame, op, arrays)
    if op.name not in MEANING:
        raise ProgramError(f"no op named {op.name!r}", where=op.loc)
    return (MEANING[op.name](frame, op, *arrays),)


def _indices_as_integers(op: Op, arrays: list[Array]) -> list[Array]:
    """JAX asks for integers where the exact arithmetic has floats."""
    first = structural.INDEX_OPERANDS_FROM.get(op.name, len(arrays))
    return arrays[:first] + [x.astype(np.int64) for x in arrays[first:]]


def _loop(frame: Frame, op: Op, arrays: list[Array]) -> list[Array]:
    body, consts, carried = op.attrs["body"], op.attrs["consts"], op.attrs["carry"]
    fixed, carry, stacked = arrays[:consts], arrays[consts : consts + carried], arrays[consts + carried :]
    rows: list[list[Array]] = []
    order = range(op.attrs["trip"])
    for step in reversed(order) if op.attrs.get("reverse") else order:
        results = _block(frame, body, [*fixed, *carry, *(x[step] for x in stacked)])
        carry = results[:carried]
        rows.append(results[carried:])
    rows = rows[::-1] if op.attrs.get("reverse") else rows
    empty = [np.zeros(value.shape) for value in op.outputs[carried:]]
    return carry + ([np.stack(column) for column in zip(*rows, strict=True)] if rows else empty)


# --- one function an op: (frame, op, arrays) -> array

Meaning = Callable[..., Any]


def _same(frame: Frame, op: Op, x: Array) -> Array:
    return x


def _const(frame: Frame, op: Op) -> Array:
    t = op.output.type
    return frame.enter(np.full(t.shape, op.attrs["value"], np.int64), t)


def _dot(frame: Frame, op: Op, x: Array, y: Array) -> Any:
    return lax.dot_general(x, y, op.attrs["dims"])


def _conv(frame: Frame, op: Op, x: Array, y: Array) -> Any:
    return lax.conv_general_dilated(jnp.asarray(x), jnp.asarray(y), **conv_params(op.attrs))


def _scale_up(frame: Frame, op: Op, x: Array) -> Array:
    return x if frame.exact else np.left_shift(x, op.attrs["bits"])


def _move_point(frame: Frame, op: Op, x: Array) -> Array:
    return np.ldexp(x, -op.attrs["bits"]) if frame.exact else x


def _truncate(frame: Frame, op: Op, x: Array) -> Array:
    """x / 2^bits to the nearest integer, halves up: floor, plus the highest bit that was cut."""
    bits = op.attrs["bits"]
    return x if frame.exact else np.right_shift(x, bits) + (np.right_shift(x, bits - 1) & 1)


def _floor(frame: Frame, op: Op, x: Array) -> Array:
    return np.floor(x) if frame.exact else np.right_shift(x, op.inputs[0].type.scale)


def _low(op: Op, x: Array) -> Array:
    """x mod 2^bits, by a mask: of 64 bits, all of them. Exact arithmetic holds integers too."""
    return x.astype(np.int64) & np.int64((1 << op.attrs["bits"]) - 1 if op.attrs["bits"] < 64 else -1)


def _wrap(frame: Frame, op: Op, x: Array) -> Array:
    low, bits = _low(op, x), op.attrs["bits"]
    return low - ((low >> (bits - 1)) << bits) if op.attrs["signed"] and bits < 64 else low


def _bit_at(frame: Frame, op: Op, x: Array) -> Array:
    return (x.astype(np.int64) >> (op.attrs["bits"] - 1)) & 1 == 1


def _is_negative(frame: Frame, op: Op, x: Array) -> Array:
    return x < 0


def _is_zero(frame: Frame, op: Op, x: Array) -> Array:
    return x == 0


def _as_integers(frame: Frame, op: Op, x: Array) -> Array:
    """The integers that stand for the numbers of the first operand."""
    return np.rint(np.ldexp(x, op.inputs[0].type.scale)).astype(np.int64) if frame.exact else x


def _bits(frame: Frame, op: Op, x: Array) -> Array:
    planes = np.arange(op.attrs["width"]).reshape(-1, *[1] * np.ndim(x)) + op.attrs["start"]
    return np.right_shift(_as_integers(frame, op, x)[None], planes) & 1 == 1


def _from_bits(frame: Frame, op: Op, bits: Array) -> Array:
    weights = np.left_shift(np.int64(1), np.arange(len(bits)))
    weights[-1] *= -1 if op.attrs["signed"] else 1
    return np.tensordot(weights, bits.astype(np.int64), (0, 0))


def _exponent(op: Op, x: Array) -> list[Array]:
    """The bits of the index of the top bit."""
    symmetric, digits = op.attrs["symmetric"], op.attrs["digits"]
    size = np.where(x < 0, ~x, x)
    place = np.sum([size >> n > 0 for n in range(63)], 0)
    index = np.where(place > 0, place + FIRST - 1, 0)
    below = np.where(place > 0, index, MINUS_ONE) if symmetric else negative_index(digits)
    index = np.where(x < 0, below, index)
    return [index >> n & 1 == 1 for n in range(digits)] + [x < 0] * symmetric


def _lookup(frame: Frame, op: Op, arrays: list[Array]) -> list[Array]:
    at = np.sum([b.astype(np.int64) << n for n, b in enumerate(arrays)], 0)
    found = [np.array(table)[at] for table in op.attrs["tables"]]
    return [np.ldexp(x, -s) if frame.exact else x for x, s in zip(found, op.attrs["scales"], strict=True)]


def _periodic(frame: Frame, op: Op, x: Array) -> Any:
    """In float64, which is more exact than the result's fraction bits."""
    a, t, k = op.attrs, op.inputs[0].type, frame.ring.k
    if frame.exact:
        turns = x * np.ldexp(float(a["rate"]), -ops_dealt.RATE)
    else:
        factor = np.uint64(ops_dealt.turn(a["rate"], t.scale, k) % (1 << 64))
        turns = np.ldexp(
            frame.ring.reduce_host(frame.ring.from_int(x) * frame.ring.dtype.type(factor)).astype(float), -k
        )
    pairs = enumerate(zip(a["sin"], a["cos"], strict=True))
    waves = (s * np.sin(w) + c * np.cos(w) for n, (s, c) in pairs for w in [2 * np.pi * (2 * n + 1) * turns])
    return _in_result_units(frame, op, np.ldexp(sum(waves), -ops_dealt.COEFFICIENT))


def _power2(frame: Frame, op: Op, x: Array) -> Any:
    """Outside the window, where any number is allowed, the one at its end."""
    a, t = op.attrs, op.inputs[0].type
    y = np.ldexp(np.asarray(x, float), 0 if frame.exact else -t.scale) * np.ldexp(float(a["rate"]), -ops_dealt.RATE)
    least = a["top"] - (1 << (a["high"] + a["low"])) + (1 << a["low"])
    return _in_result_units(frame, op, np.exp2(np.clip(y, least, a["top"] - 2.0**-20)))


def _in_result_units(frame: Frame, op: Op, value: Array) -> Array:
    return value if frame.exact else np.rint(np.ldexp(value, op.attrs["scale"])).astype(np.int64)


def _is_below(frame: Frame, op: Op, x: Array) -> Array:
    return x < op.attrs["threshold"] * (np.ldexp(1.0, -op.inputs[0].type.scale) if frame.exact else 1)


def _where(frame: Frame, op: Op, bit: Array, x: Array) -> Array:
    return np.where(bit, x, 0)


def _inject_dabit(frame: Frame, op: Op, bit: Array, mask_bits: Array, mask_arith: Array, x: Array) -> Array:
    return np.where(bit, x, 0)


def _to_arith(frame: Frame, op: Op, bit: Array, *dabit: Array) -> Array:
    return bit.astype(np.int64)


def _window_max(frame: Frame, op: Op, x: Array) -> Any:
    """Padding holds the smallest number there is, so it never wins."""
    lowest = -np.inf if frame.exact else np.iinfo(np.int64).min
    a = op.attrs
    dilations = a["base_dilation"], a["window_dilation"]
    return lax.reduce_window(x, x.dtype.type(lowest), lax.max, a["window"], a["strides"], a["padding"], *dilations)


def _rank(frame: Frame, op: Op, *keys: Array) -> Array:
    """np.lexsort is stable, and counts its last key first."""
    return np.argsort(np.lexsort([key.astype(np.int8) if key.dtype == np.bool_ else key for key in keys[::-1]]), -1)


def _pair_rank(frame: Frame, op: Op, *keys: Array) -> Array:
    """Of a number, the low bits count, read as signed."""

    def low(x: Array, width: int) -> Array:
        spare = np.int64(64 - width)
        return x if x.dtype == np.bool_ else x.astype(np.int64) << spare >> spare

    return _rank(frame, op, *(low(x, width) for x, width in zip(keys, op.attrs["widths"], strict=True)))


def _radix_rank(frame: Frame, op: Op, bits: Array) -> Array:
    return _rank(frame, op, *(bits[n] ^ (n in op.attrs["turned"]) for n in range(op.attrs["width"] - 1, -1, -1)))


def _bit_words(frame: Frame, op: Op, x: Array) -> Array:
    planes = [x.astype(np.int64) >> n & 1 == 1 for n in range(op.attrs["width"])]
    return np.stack(planes + [np.zeros(x.shape, np.bool_)] * (64 - len(planes)))


def _permute(frame: Frame, op: Op, place: Array, x: Array) -> Array:
    found = np.empty_like(x)
    np.put_along_axis(found, place.astype(np.int64), x, -1)
    return found


def _hot_digits(op: Op, x: Array) -> list[Array]:
    """Any carry is allowed, none too."""
    low, bits = op.attrs["low"], op.attrs["bits"]
    residue = x.astype(np.int64)[..., None] & ((1 << bits) - 1)
    hot = [(residue & ((1 << low) - 1)) == np.arange(1 << low), (residue >> low) == np.arange(1 << (bits - low))]
    return [*hot, np.zeros(x.shape)] if len(op.outputs) == 3 else list(hot)


def _one_hot(frame: Frame, op: Op, x: Array) -> Array:
    size, residues = op.attrs["size"], 1 << op.attrs["bits"]
    residue = x.astype(np.int64)[..., None] & (residues - 1)
    hit = residue == np.arange(size)
    return (hit | (residue == np.arange(residues - size, residues)) if op.attrs["wraps"] else hit).astype(np.int64)


MEANING: dict[str, Meaning] = {
    **dict.fromkeys(("as_int", "bound", "share", "to_sum3", "reshare", "split", "open_split"), _same),
    **dict.fromkeys(("truncate", "truncate_wrap", "truncate_local"), _truncate),
    **dict.fromkeys(("mul", "mul_sum3"), lambda frame, op, x, y: lax.mul(x, y)),
    **dict.fromkeys(("dot", "dot_sum3"), _dot),
    **dict.fromkeys(("conv", "conv_sum3"), _conv),
    **dict.fromkeys(("is_negative", "msb"), _is_negative),
    **dict.fromkeys(("is_zero", "zero_test"), _is_zero),
    **dict.fromkeys(("select_or_zero", "inject"), _where),
    **dict.fromkeys(("to_arith", "bit_to_arith", "bit_to_arith_dabit"), _to_arith),
    **dict.fromkeys(("bits", "bits_of"), _bits),
    "from_bits": _from_bits,
    "inject_dabit": _inject_dabit,
    **dict.fromkeys(("bit_at", "bit_test"), _bit_at),
    **dict.fromkeys(("is_multiple", "low_zero"), lambda frame, op, x: _low(op, x) == 0),
    "wrap": _wrap,
    "less": lambda frame, op, x, y: x < y,
    **dict.fromkeys(("one_hot", "deal_one_hot"), _one_hot),
    "rank": _rank,
    "pair_rank": _pair_rank,
    "radix_rank": _radix_rank,
    "bit_words": _bit_words,
    "permute": _permute,
    **dict.fromkeys(("periodic", "periodic_sum3"), _periodic),
    **dict.fromkeys(("power2", "power2_sum3"), _power2),
    "is_below": _is_below,
    "const": _const,
    "scale_up": _scale_up,
    "move_point": _move_point,
    "floor": _floor,
    "relu": lambda frame, op, x: np.maximum(x, 0),
    "xor": lambda frame, op, x, y: np.logical_xor(x, y),
    "and": lambda frame, op, x, y: np.logical_and(x, y),
    "or": lambda frame, op, x, y: np.logical_or(x, y),
    "not": lambda frame, op, x: np.logical_not(x),
    "reduce_and": lambda frame, op, x: np.all(x, op.attrs["axes"]),
    "reduce_or": lambda frame, op, x: np.any(x, op.attrs["axes"]),
    "reduce_max": lambda frame, op, x: np.max(x, op.attrs["axes"]),
    "argmax": lambda frame, op, x: np.argmax(x, op.attrs["axis"]),  # the first of equals
    "window_max": _window_max,
}
