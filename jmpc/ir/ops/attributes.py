"""How attributes of ops may look, by name: in words, for errors, and as a check."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from jmpc._types import is_tuple
from jmpc.config import Config
from jmpc.ir.ops.record import Attribute
from jmpc.ir.program import Block
from jmpc.ir.types import KINDS, ORIGINS, Type

GATHER_MODES = ("fill", "clip", "promise_in_bounds")
MAX_SIZE = 1 << 40


def _is_int(value: Any, low: int = -MAX_SIZE, high: int = MAX_SIZE) -> bool:
    return type(value) is int and low <= value <= high


def _are_ints(value: Any, low: int = -MAX_SIZE) -> TypeGuard[tuple[int, ...]]:
    return is_tuple(value) and all(_is_int(v, low) for v in value)


def integer(wanted: str, low: int, high: Callable[[Config], int] = lambda config: MAX_SIZE) -> Attribute:
    return Attribute(wanted, lambda v, types, config: _is_int(v, low, high(config)))


def tuples(wanted: str, count: int | None) -> Attribute:
    """A tuple of `count` tuples of integers, or of any number of them."""

    def holds(v: Any, types: Sequence[Type], config: Config) -> bool:
        return is_tuple(v) and (count is None or len(v) == count) and all(_are_ints(part) for part in v)

    return Attribute(wanted, holds)


def _are_coefficients(value: Any) -> bool:
    most = (1 << 31) - 1
    return is_tuple(value) and 1 <= len(value) <= 64 and all(_is_int(v, -most, most) for v in value)


def _are_wide(value: Any) -> bool:
    return is_tuple(value) and all(_is_int(v, 0, 1 << 62) for v in value)


def _distinct_axes(v: Any, types: Sequence[Type], config: Config) -> TypeGuard[tuple[int, ...]]:
    return _are_ints(v) and len(set(v)) == len(v) and all(0 <= a < len(types[0].shape) for a in v)


def _filled_axes(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _distinct_axes(v, types, config) and all(types[0].shape[a] > 0 for a in v)


def _rows(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _are_ints(v, 0) and len(types[0].shape) > 0 and all(row < types[0].shape[0] for row in v)


def _dot_dims(v: Any, types: Sequence[Type], config: Config) -> bool:
    return is_tuple(v) and len(v) == 2 and all(tuples("", 2).holds(part, types, config) for part in v)


def _same_size(v: Any, types: Sequence[Type], config: Config) -> bool:
    """JAX does not look before it compiles."""
    return _are_ints(v, 0) and math.prod(v) == types[0].size


def _one_each(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _are_ints(v, 0) and len(v) == len(set(v)) == len(types[0].shape)


def _permutations(v: Any, types: Sequence[Type], config: Config) -> bool:
    """One for the image, one for the kernel, one for the result: JAX accepts two that name an axis twice."""
    axes = list(range(len(types[0].shape)))
    return is_tuple(v) and len(v) == 3 and all(_are_ints(part) and sorted(part) == axes for part in v)


def _one_each_key(high: Callable[[Config], int]) -> Callable[[Any, Sequence[Type], Config], bool]:
    """Whether v has an integer of 1 to `high` for each operand."""

    def holds(v: Any, types: Sequence[Type], config: Config) -> bool:
        return _are_ints(v, 1) and len(v) == len(types) and max(v) <= high(config)

    return holds


def _tables(v: Any, types: Sequence[Type], config: Config) -> bool:
    most = 1 << (config.k - 2)
    return is_tuple(v) and all(is_tuple(t) and all(_is_int(e, -most, most) for e in t) for t in v)


INTS = Attribute("a tuple of integers", lambda v, types, config: _are_ints(v))
SIZES = Attribute("a tuple of integers of at least 0", lambda v, types, config: _are_ints(v, 0))
RESHAPED = Attribute("a shape of as many elements as the operand has", _same_size)
DIMS = Attribute("a dimension of the result for each of the operand", _one_each)
POSITIVE = Attribute("a tuple of integers of at least 1", lambda v, types, config: _are_ints(v, 1))
STRIDES = Attribute("none or a tuple of integers of at least 1", lambda v, types, config: v is None or _are_ints(v, 1))
PAIRS = tuples("a tuple of pairs of integers", None)
AXES = Attribute("a tuple of distinct axes of the operand", _distinct_axes)
FILLED_AXES = Attribute("a tuple of distinct axes of the operand that are not empty", _filled_axes)
ROWS = Attribute("a tuple of rows along the first axis", _rows)
AXIS = Attribute("an axis of the operand", lambda v, types, config: _distinct_axes((v,), types, config))
FILLED_AXIS = Attribute(
    "an axis of the operand that is not empty", lambda v, types, config: _filled_axes((v,), types, config)
)
FLAG = Attribute("true or false", lambda v, types, config: type(v) is bool)
COUNT = integer("an integer of at least 0", 0)
GROUPS = integer("an integer of at least 1", 1)
SHIFT = integer("a shift of 0 to k-2 bits", 0, lambda config: config.k - 2)
POINT = integer("a move of the point by -62 to k-2 bits", -62, lambda config: config.k - 2)
CUT = integer("a cut of 1 to k-2 bits", 1, lambda config: config.k - 2)
WIDTH = integer("a width of 1 to k bits", 1, lambda config: config.k)
RESIDUE = integer("a residue of 0 to 30 bits", 0, lambda config: min(config.k, 30))
BLOCK = integer("a block of 1 to 8 bits", 1, lambda config: 8)
WIDTHS = Attribute("a width of 1 to k bits for each key", _one_each_key(lambda config: config.k))
BLOCKS = Attribute("a block of 1 to 8 bits for each key", _one_each_key(lambda config: 8))
LIMIT = integer("an integer of 0 to 2^(k-1)", 0, lambda config: 1 << (config.k - 1))
CONSTANT = Attribute(
    "an integer of at most 2^(k-1) in magnitude",
    lambda v, types, config: isinstance(v, int) and abs(v) <= 1 << (config.k - 1),
)
SCALE = integer("a scale of 0 to k-2 bits", 0, lambda config: config.k - 2)
RATE = integer("a rate of 1 to 2^62 units", 1, lambda config: 1 << 62)
TOP = integer("a power of at most k-2 bits", -62, lambda config: config.k - 2)
DIGIT = integer("1 to 6 bits", 1, lambda config: 6)
COEFFICIENTS = Attribute("1 to 64 integers below 2^31 in magnitude", lambda v, types, config: _are_coefficients(v))
THRESHOLD = integer("an integer below 2^(k-2) in magnitude", -(1 << 62), lambda config: (1 << (config.k - 2)) - 1)
KIND = Attribute(f"one of {', '.join(KINDS)}", lambda v, types, config: v in KINDS)
ORIGIN = Attribute(f"one of {', '.join(ORIGINS)}", lambda v, types, config: v in ORIGINS)
MODE = Attribute(f"one of {', '.join(GATHER_MODES)}", lambda v, types, config: v in GATHER_MODES)
REGION = Attribute("a block", lambda v, types, config: isinstance(v, Block))

WINDOW = {
    "window": POSITIVE,
    "strides": POSITIVE,
    "padding": PAIRS,
    "base_dilation": POSITIVE,
    "window_dilation": POSITIVE,
}
CONV = {
    "strides": POSITIVE,
    "padding": PAIRS,
    "lhs_dilation": POSITIVE,
    "rhs_dilation": POSITIVE,
    "dims": Attribute("three permutations of the axes", _permutations),
    "feature_groups": GROUPS,
    "batch_groups": GROUPS,
}
DOT = {"dims": Attribute("((contracting, contracting), (batch, batch)), tuples of axes", _dot_dims)}
TABLES = Attribute("a tuple of tables, each a tuple of integers of at most 2^(k-2) in magnitude", _tables)
EXPONENT = {"width": WIDTH, "digits": integer("4 to 7 digits", 4, lambda config: 7), "symmetric": FLAG}
PERIODIC = {"rate": RATE, "sin": COEFFICIENTS, "cos": COEFFICIENTS, "scale": SCALE, "known": SCALE}
POWER2 = {"rate": RATE, "top": TOP, "high": DIGIT, "low": DIGIT, "scale": SCALE, "known": SCALE}
THRESHOLDS = {
    "thresholds": Attribute("a tuple of integers of at least 0", lambda v, types, config: _are_wide(v)),
    "bits": integer("1 to 62 bits", 1, lambda config: 62),
}
COMPARE = {"drop?": SHIFT, "width?": WIDTH, "block?": BLOCK}
