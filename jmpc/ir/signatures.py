"""What each op takes: the kinds and forms of its operands, and its attributes. Data only; `spec.py` checks it.

What goes in: nothing. What comes out: `SIGNATURES`, one entry an op, for all ops of `ops.py`. An attribute whose name
ends in `?` may be left out. Shapes, scales and bounds are the business of `ops.infer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc.config import Config
from jmpc.ir.program import Block
from jmpc.ir.types import (
    ARITH,
    BITS,
    BOOL,
    FIXED,
    FORMS,
    INT,
    KINDS,
    MASK,
    OPENED_BY,
    ORIGINS,
    PLACES,
    PLAIN,
    SPLIT,
    SUM3,
    Type,
)

GATHER_MODES = ("fill", "clip", "promise_in_bounds")
MAX_SIZE = 1 << 40


@dataclass(frozen=True)
class Operand:
    """Kinds and forms that an operand may have."""

    kinds: tuple[str, ...]
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Attribute:
    """wanted: the attribute in words.  holds: whether (value, types of the operands, configuration) is as wanted."""

    wanted: str
    holds: Callable[[Any, Sequence[Type], Config], bool]


@dataclass(frozen=True)
class Signature:
    """more: how operands beyond the listed ones look; None allows no more."""

    operands: tuple[Operand, ...]
    attrs: dict[str, Attribute] = field(default_factory=dict)
    more: Operand | None = None

    def operand(self, position: int) -> Operand | None:
        return self.operands[position] if position < len(self.operands) else self.more


# --- operands

_NUMERIC = (FIXED, INT)
_ALL = tuple(form for form in FORMS if form not in OPENED_BY)
ANY = Operand(KINDS, _ALL)
NUMBER = Operand(_NUMERIC, (PLAIN, ARITH, SUM3, SPLIT))
INDEX = Operand((INT,), _ALL)  # any form here: the rule "index" refuses a secret one, by name
ARITH_NUMBER = Operand(_NUMERIC, (ARITH,))
ARITH_ANY = Operand(KINDS, (ARITH, BITS))
ARITH_FIXED = Operand((FIXED,), (ARITH,))
SUM3_NUMBER = Operand(_NUMERIC, (SUM3,))
SPLIT_FIXED = Operand((FIXED,), (SPLIT,))
SPLIT_NUMBER = Operand(_NUMERIC, (SPLIT,))
SPLIT_INT = Operand((INT,), (SPLIT,))
PLAIN_OR_ARITH = Operand(_NUMERIC, (PLAIN, ARITH))
BIT = Operand((BOOL,), (PLAIN, BITS))
SECRET_BIT = Operand((BOOL,), (BITS,))
ARITH_INT = Operand((INT,), (ARITH,))
PLAIN_ANY = Operand(KINDS, (PLAIN,))
SPLIT_OR_BIT = Operand(KINDS, (SPLIT, BITS))
ORDER = Operand((INT,), (PLACES,))
MASK_BIT = Operand((BOOL,), (MASK,))
MASK_INT = Operand((INT,), (MASK,))

# --- attributes


def _is_int(value: Any, low: int = -MAX_SIZE, high: int = MAX_SIZE) -> bool:
    return type(value) is int and low <= value <= high


def _are_ints(value: Any, low: int = -MAX_SIZE) -> bool:
    return isinstance(value, tuple) and all(_is_int(v, low) for v in value)


def _integer(wanted: str, low: int, high: Callable[[Config], int] = lambda config: MAX_SIZE) -> Attribute:
    return Attribute(wanted, lambda v, types, config: _is_int(v, low, high(config)))


def _tuples(wanted: str, count: int | None) -> Attribute:
    """A tuple of `count` tuples of integers, or of any number of them."""

    def holds(v: Any, types: Sequence[Type], config: Config) -> bool:
        return isinstance(v, tuple) and (count is None or len(v) == count) and all(_are_ints(part) for part in v)

    return Attribute(wanted, holds)


def _are_coefficients(value: Any) -> bool:
    most = (1 << 31) - 1
    return isinstance(value, tuple) and 1 <= len(value) <= 64 and all(_is_int(v, -most, most) for v in value)


def _are_wide(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_int(v, 0, 1 << 62) for v in value)


def _distinct_axes(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _are_ints(v) and len(set(v)) == len(v) and all(0 <= a < len(types[0].shape) for a in v)


def _filled_axes(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _distinct_axes(v, types, config) and all(types[0].shape[a] > 0 for a in v)


def _rows(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _are_ints(v, 0) and len(types[0].shape) > 0 and all(row < types[0].shape[0] for row in v)


def _dot_dims(v: Any, types: Sequence[Type], config: Config) -> bool:
    return isinstance(v, tuple) and len(v) == 2 and all(_tuples("", 2).holds(part, types, config) for part in v)


def _same_size(v: Any, types: Sequence[Type], config: Config) -> bool:
    """JAX does not look before it compiles."""
    return _are_ints(v, 0) and math.prod(v) == types[0].size


def _one_each(v: Any, types: Sequence[Type], config: Config) -> bool:
    return _are_ints(v, 0) and len(v) == len(set(v)) == len(types[0].shape)


def _permutations(v: Any, types: Sequence[Type], config: Config) -> bool:
    """One for the image, one for the kernel, one for the result: JAX accepts two that name an axis twice."""
    axes = list(range(len(types[0].shape)))
    return isinstance(v, tuple) and len(v) == 3 and all(_are_ints(part) and sorted(part) == axes for part in v)


def _one_each_key(high: Callable[[Config], int]) -> Callable[[Any, Sequence[Type], Config], bool]:
    """Whether v has an integer of 1 to `high` for each operand."""

    def holds(v: Any, types: Sequence[Type], config: Config) -> bool:
        return _are_ints(v, 1) and len(v) == len(types) and max(v) <= high(config)

    return holds


def _tables(v: Any, types: Sequence[Type], config: Config) -> bool:
    most = 1 << (config.k - 2)
    return isinstance(v, tuple) and all(isinstance(t, tuple) and all(_is_int(e, -most, most) for e in t) for t in v)


INTS = Attribute("a tuple of integers", lambda v, types, config: _are_ints(v))
SIZES = Attribute("a tuple of integers of at least 0", lambda v, types, config: _are_ints(v, 0))
RESHAPED = Attribute("a shape of as many elements as the operand has", _same_size)
DIMS = Attribute("a dimension of the result for each of the operand", _one_each)
POSITIVE = Attribute("a tuple of integers of at least 1", lambda v, types, config: _are_ints(v, 1))
STRIDES = Attribute("none or a tuple of integers of at least 1", lambda v, types, config: v is None or _are_ints(v, 1))
PAIRS = _tuples("a tuple of pairs of integers", None)
AXES = Attribute("a tuple of distinct axes of the operand", _distinct_axes)
FILLED_AXES = Attribute("a tuple of distinct axes of the operand that are not empty", _filled_axes)
ROWS = Attribute("a tuple of rows along the first axis", _rows)
AXIS = Attribute("an axis of the operand", lambda v, types, config: _distinct_axes((v,), types, config))
FILLED_AXIS = Attribute(
    "an axis of the operand that is not empty", lambda v, types, config: _filled_axes((v,), types, config)
)
FLAG = Attribute("true or false", lambda v, types, config: type(v) is bool)
COUNT = _integer("an integer of at least 0", 0)
GROUPS = _integer("an integer of at least 1", 1)
SHIFT = _integer("a shift of 0 to k-2 bits", 0, lambda config: config.k - 2)
POINT = _integer("a move of the point by -62 to k-2 bits", -62, lambda config: config.k - 2)
CUT = _integer("a cut of 1 to k-2 bits", 1, lambda config: config.k - 2)
WIDTH = _integer("a width of 1 to k bits", 1, lambda config: config.k)
RESIDUE = _integer("a residue of 0 to 30 bits", 0, lambda config: min(config.k, 30))
BLOCK = _integer("a block of 1 to 8 bits", 1, lambda config: 8)
WIDTHS = Attribute("a width of 1 to k bits for each key", _one_each_key(lambda config: config.k))
BLOCKS = Attribute("a block of 1 to 8 bits for each key", _one_each_key(lambda config: 8))
LIMIT = _integer("an integer of 0 to 2^(k-1)", 0, lambda config: 1 << (config.k - 1))
CONSTANT = Attribute(
    "an integer of at most 2^(k-1) in magnitude",
    lambda v, types, config: isinstance(v, int) and abs(v) <= 1 << (config.k - 1),
)
SCALE = _integer("a scale of 0 to k-2 bits", 0, lambda config: config.k - 2)
RATE = _integer("a rate of 1 to 2^62 units", 1, lambda config: 1 << 62)
TOP = _integer("a power of at most k-2 bits", -62, lambda config: config.k - 2)
DIGIT = _integer("1 to 6 bits", 1, lambda config: 6)
COEFFICIENTS = Attribute("1 to 64 integers below 2^31 in magnitude", lambda v, types, config: _are_coefficients(v))
THRESHOLD = _integer("an integer below 2^(k-2) in magnitude", -(1 << 62), lambda config: (1 << (config.k - 2)) - 1)
KIND = Attribute(f"one of {', '.join(KINDS)}", lambda v, types, config: v in KINDS)
ORIGIN = Attribute(f"one of {', '.join(ORIGINS)}", lambda v, types, config: v in ORIGINS)
MODE = Attribute(f"one of {', '.join(GATHER_MODES)}", lambda v, types, config: v in GATHER_MODES)
REGION = Attribute("a block", lambda v, types, config: isinstance(v, Block))

_WINDOW = {"window": POSITIVE, "strides": POSITIVE, "padding": PAIRS}
_WINDOW |= {"base_dilation": POSITIVE, "window_dilation": POSITIVE}
_CONV = {"strides": POSITIVE, "padding": PAIRS, "lhs_dilation": POSITIVE, "rhs_dilation": POSITIVE}
_CONV |= {
    "dims": Attribute("three permutations of the axes", _permutations),
    "feature_groups": GROUPS,
    "batch_groups": GROUPS,
}
_DOT = {"dims": Attribute("((contracting, contracting), (batch, batch)), tuples of axes", _dot_dims)}
TABLES = Attribute("a tuple of tables, each a tuple of integers of at most 2^(k-2) in magnitude", _tables)
_EXPONENT = {"width": WIDTH, "digits": _integer("4 to 7 digits", 4, lambda config: 7), "symmetric": FLAG}
_PERIODIC = {"rate": RATE, "sin": COEFFICIENTS, "cos": COEFFICIENTS, "scale": SCALE, "known": SCALE}
_POWER2 = {"rate": RATE, "top": TOP, "high": DIGIT, "low": DIGIT, "scale": SCALE, "known": SCALE}
_THRESHOLDS = {"thresholds": Attribute("a tuple of integers of at least 0", lambda v, types, config: _are_wide(v))}
_THRESHOLDS |= {"bits": _integer("1 to 62 bits", 1, lambda config: 62)}
_COMPARE = {"drop?": SHIFT, "width?": WIDTH, "block?": BLOCK}

SIGNATURES: dict[str, Signature] = {
    # linear and structural
    "reshape": Signature((ANY,), {"shape": RESHAPED}),
    "transpose": Signature((ANY,), {"perm": INTS}),
    "broadcast": Signature((ANY,), {"shape": SIZES, "dims": DIMS}),
    "slice": Signature((ANY,), {"start": SIZES, "limit": SIZES, "strides": STRIDES}),
    "rev": Signature((ANY,), {"axes": AXES}),
    "take": Signature((ANY,), {"rows": ROWS}),
    "concat": Signature((ANY,), {"axis": AXIS}, more=ANY),
    "pad": Signature((ANY, ANY), {"config": _tuples("a tuple of triples (low, high, interior)", None)}),
    "dynamic_slice": Signature((ANY,), {"sizes": SIZES}, more=INDEX),
    "dynamic_update": Signature((ANY, ANY), {}, more=INDEX),
    "gather": Signature((ANY, INDEX), {"dims": _tuples("five tuples of axes", 5), "sizes": SIZES, "mode": MODE}),
    "reduce_sum": Signature((NUMBER,), {"axes": AXES, "wide?": FLAG}),
    "cumsum": Signature((NUMBER,), {"axis": AXIS, "reverse": FLAG, "wide?": FLAG}),
    "window_sum": Signature((NUMBER,), {**_WINDOW, "wide?": FLAG}),
    "neg": Signature((NUMBER,)),
    "add": Signature((NUMBER, NUMBER)),
    "sub": Signature((NUMBER, NUMBER)),
    "gap": Signature((NUMBER, NUMBER)),
    # common
    "mul": Signature((NUMBER, NUMBER)),
    "dot": Signature((NUMBER, NUMBER), _DOT),
    "conv": Signature((NUMBER, NUMBER), _CONV),
    "scale_up": Signature((NUMBER,), {"bits": SHIFT}),
    "as_int": Signature((NUMBER,)),
    "move_point": Signature((NUMBER,), {"bits": POINT}),
    "bound": Signature((NUMBER,), {"limit": LIMIT, "origin?": ORIGIN}),
    "const": Signature((), {"shape": SIZES, "kind": KIND, "scale": SCALE, "value": CONSTANT}),
    "share": Signature((PLAIN_ANY,)),
    "xor": Signature((BIT, BIT)),
    "and": Signature((BIT, BIT)),
    "or": Signature((BIT, BIT)),
    "not": Signature((BIT,)),
    "loop": Signature((), {"body": REGION, "consts": COUNT, "carry": COUNT, "trip": COUNT, "reverse?": FLAG}, more=ANY),
    "lookup": Signature((SECRET_BIT,), {"tables": TABLES, "scales": SIZES}, more=SECRET_BIT),
    "from_bits": Signature((SECRET_BIT,), {"signed": FLAG}),
    "random_bits": Signature((), {"shape": SIZES, "number": COUNT}),
    "random_count": Signature((), {"shape": SIZES, "number": COUNT, "trials": GROUPS, **_THRESHOLDS}),
    "random_chances": Signature((), {"shape": SIZES, "number": COUNT, **_THRESHOLDS}),
    "random_shuffle": Signature((ARITH_ANY,), {"number": COUNT}, more=ARITH_ANY),
    "random_words": Signature((), {"shape": SIZES, "number": COUNT}),
    "permute": Signature((ORDER, ARITH_ANY)),
    # value level
    "hot_digits": Signature((ARITH_INT,), {"low": RESIDUE, "bits": RESIDUE}),
    "rank": Signature((ARITH_ANY,), more=ARITH_ANY),
    "one_hot": Signature((ARITH_INT,), {"size": GROUPS, "bits": RESIDUE, "wraps": FLAG}),
    "exponent": Signature((ARITH_NUMBER,), _EXPONENT),
    "bits": Signature((ARITH_NUMBER,), {"start": SHIFT, "width": WIDTH}),
    "truncate": Signature((PLAIN_OR_ARITH,), {"bits": CUT}),
    "is_negative": Signature((ARITH_NUMBER,), _COMPARE),
    "is_zero": Signature((ARITH_NUMBER,), _COMPARE),
    "floor": Signature((ARITH_FIXED,)),
    "relu": Signature((ARITH_NUMBER,), _COMPARE),
    "select_or_zero": Signature((SECRET_BIT, PLAIN_OR_ARITH)),
    "to_arith": Signature((SECRET_BIT,)),
    "reduce_and": Signature((BIT,), {"axes": AXES}),
    "reduce_or": Signature((BIT,), {"axes": AXES}),
    "reduce_max": Signature((ARITH_NUMBER,), {"axes": FILLED_AXES}),
    "argmax": Signature((ARITH_NUMBER,), {"axis": FILLED_AXIS}),
    "window_max": Signature((ARITH_NUMBER,), _WINDOW),
    "wrap": Signature((ARITH_INT,), {"bits": WIDTH, "signed": FLAG}),
    "bit_at": Signature((ARITH_INT,), {"bits": WIDTH}),
    "is_multiple": Signature((ARITH_INT,), {"bits": WIDTH}),
    "less": Signature((ARITH_INT, ARITH_INT)),
    "periodic": Signature((ARITH_FIXED,), _PERIODIC),
    "power2": Signature((ARITH_FIXED,), _POWER2),
    "is_below": Signature((ARITH_FIXED,), {"threshold": THRESHOLD, "drop": SHIFT}),
    # share level
    "deal_hot_digits": Signature((SPLIT_INT,), {"low": RESIDUE, "bits": RESIDUE}),
    "periodic_sum3": Signature((SPLIT_FIXED,), _PERIODIC),
    "power2_sum3": Signature((SPLIT_FIXED,), _POWER2),
    "pair_rank": Signature((SPLIT_OR_BIT,), {"widths": WIDTHS, "blocks": BLOCKS}, more=SPLIT_OR_BIT),
    "radix_rank": Signature((SECRET_BIT,), {"digit": BLOCK, "width": GROUPS, "turned": ROWS}),
    "bit_words": Signature((SPLIT_NUMBER,), {"width": WIDTH, "block": BLOCK}),
    "deal_one_hot": Signature((SPLIT_INT,), {"size": GROUPS, "bits": RESIDUE, "wraps": FLAG}),
    "top_bit": Signature((SPLIT_NUMBER,), {**_EXPONENT, "block": BLOCK}),
    "bits_of": Signature((SPLIT_NUMBER,), {"start": SHIFT, "width": WIDTH, "block": BLOCK}),
    "mul_sum3": Signature((ARITH_NUMBER, ARITH_NUMBER)),
    "dot_sum3": Signature((ARITH_NUMBER, ARITH_NUMBER), _DOT),
    "conv_sum3": Signature((ARITH_NUMBER, ARITH_NUMBER), _CONV),
    "to_sum3": Signature((ARITH_NUMBER,)),
    "reshare": Signature((SUM3_NUMBER,)),
    "split": Signature((ARITH_NUMBER,)),
    "open_split": Signature((SUM3_NUMBER,)),
    "truncate_wrap": Signature((SPLIT_NUMBER,), {"bits": CUT}),
    "truncate_local": Signature((SPLIT_NUMBER,), {"bits": CUT}),
    "msb": Signature((SPLIT_NUMBER,), {"drop": SHIFT, "width": WIDTH, "block": BLOCK, "coarse?": FLAG}),
    "zero_test": Signature((SPLIT_NUMBER,), {"width": WIDTH, "block": BLOCK}),
    "low_bits": Signature((SPLIT_INT,), {"bits": WIDTH, "block": BLOCK}),
    "bit_test": Signature((SPLIT_INT,), {"bits": WIDTH, "block": BLOCK}),
    "low_zero": Signature((SPLIT_INT,), {"bits": WIDTH, "block": BLOCK}),
    "dabit": Signature((), {"shape": SIZES}),
    "inject": Signature((SECRET_BIT, ARITH_NUMBER)),
    "inject_dabit": Signature((SECRET_BIT, MASK_BIT, MASK_INT, ARITH_NUMBER)),
    "bit_to_arith": Signature((SECRET_BIT,)),
    "bit_to_arith_dabit": Signature((SECRET_BIT, MASK_BIT, MASK_INT)),
}
