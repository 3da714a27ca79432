"""How ranks, permutations and one-hot vectors become share-level ops.

What goes in: a value-level op and its lowered operands. What comes out: the lowered result. The rank of an element is
counted over all pairs of its row where rows are short and rounds dear, else found by a radix sort on the bits of the
keys; the registered costs and what a party computes decide, and the number of bits a pass as well. Bounds decide how
many bits of a key are looked at; that a rank is a permutation rests on no bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jmpc.config import Config
from jmpc.families.replicated3.lowering.choose import LOCAL_SECONDS, Choice
from jmpc.families.replicated3.lowering.predict import PREDICTED
from jmpc.families.replicated3.lowering.state import Lowering, rule
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ARITH, BOOL, INFERRED, SPLIT, secret_bits

MOST_CANDIDATES = 96  # longer rows are never compared pair by pair: each party has a table of all pairs
MOST_DIGIT = 6
PASS_SECONDS = 130e-9  # work of a party on one element in a pass of the radix sort, measured over ten thousand
VALUE_SECONDS = 34e-9  # and on each entry of its one-hot digit


@rule("rank")
def _rank(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    shape = op.output.shape
    n = shape[-1] if shape else 1
    if op.output.type.size == 0 or n == 1:
        return low.emit("const", value=0, shape=shape, kind="int", scale=0)
    widths = tuple(_width(low, x) for x in inputs)
    if _by_pairs(low.choice, inputs, widths):
        return _rank_by_pairs(low, inputs, widths)
    return _rank_by_digits(low, inputs, widths)


@rule("permute")
def _permute(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    place, x = inputs
    if x.type.size == 0 or x.shape[-1] == 1:
        return x
    return low.emit("permute", place, x if x.type.kind == BOOL else low.need(x, ARITH))


@rule("random_shuffle")
def _random_shuffle(low: Lowering, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
    if op.inputs[0].type.size == 0 or op.inputs[0].shape[1] == 1:
        return tuple(inputs)
    return low.emit_many(
        "random_shuffle", *(x if x.type.kind == BOOL else low.need(x, ARITH) for x in inputs), **op.attrs
    )


@rule("one_hot")
def _one_hot(low: Lowering, op: Op, inputs: list[Value]) -> Value:
    if op.output.type.size == 0 or op.attrs["bits"] == 0:
        return low.emit("const", value=1, shape=op.output.shape, kind="int", scale=0)
    return low.emit("deal_one_hot", low.need(inputs[0], SPLIT), **op.attrs)


@rule("hot_digits")
def _hot_digits(low: Lowering, op: Op, inputs: list[Value]) -> tuple[Value, ...]:
    """The high digit goes on by one where the low one makes a carry."""
    first, high, carry = low.emit_many("deal_hot_digits", low.need(inputs[0], SPLIT), **op.attrs)
    axis, count = len(high.shape) - 1, high.shape[-1]
    start, limit = (0,) * axis, high.shape[:-1]
    strides = (1,) * len(high.shape)
    last = low.emit("slice", high, start=(*start, count - 1), limit=(*limit, count), strides=strides)
    rest = low.emit("slice", high, start=(*start, 0), limit=(*limit, count - 1), strides=strides)
    step = low.emit("sub", low.emit("concat", last, rest, axis=axis), high)
    spread = low.emit("broadcast", carry, shape=high.shape, dims=tuple(range(axis)))
    moved = low.need(low.emit("mul_sum3", spread, step), ARITH)
    return first, low.emit("bound", low.emit("add", high, moved), limit=1, origin=INFERRED)


def _width(low: Lowering, x: Value) -> int:
    """Bits of a key, with its sign."""
    if x.type.kind == BOOL:
        return 1
    return min(max(x.type.limit, low.reach.get(x, 0)).bit_length() + 1, low.config.k)


# --- choices


def _by_pairs(choice: Choice, keys: Sequence[Value], widths: Sequence[int]) -> bool:
    n, rows = keys[0].shape[-1], keys[0].type.size // keys[0].shape[-1]
    if n > MOST_CANDIDATES:
        return False
    attrs = {"widths": tuple(widths), "blocks": _blocks(choice, keys, widths)}
    cost = PREDICTED["pair_rank"]([key.type for key in keys], attrs, choice.config)
    work = (len(keys) + 1) * rows * n * (n - 1) // 2 * LOCAL_SECONDS
    width = sum(widths)
    return choice.seconds(cost) + work < _digit_seconds(
        rows, n, width, best_digit(rows, n, width, choice.config), choice.config
    )


@lru_cache(maxsize=1024)
def best_digit(rows: int, n: int, width: int, config: Config) -> int:
    """How many bits a pass of the radix sort takes."""
    return min(range(1, MOST_DIGIT + 1), key=lambda digit: _digit_seconds(rows, n, width, digit, config))


def _digit_seconds(rows: int, n: int, width: int, digit: int, config: Config) -> float:
    cost = PREDICTED["radix_rank"]((secret_bits((width, rows, n)),), {"digit": digit, "width": width}, config)
    work = rows * n * -(-width // digit) * (PASS_SECONDS + (1 << digit) * VALUE_SECONDS)
    return config.profile.seconds(cost.rounds, cost.busiest) + work


# --- by digits


def _rank_by_digits(low: Lowering, keys: Sequence[Value], widths: Sequence[int]) -> Value:
    """The last key has the lowest bits. A sign bit counts the other way."""
    planes: list[Value] = []
    turned: list[int] = []
    at = 0
    if len(keys) == 1 and keys[0].type.kind != BOOL:
        return _rank_one(low, keys[0], widths[0])
    for key, width in reversed(list(zip(keys, widths, strict=True))):
        if key.type.kind == BOOL:
            planes.append(low.emit("reshape", key, shape=(1, *key.shape)))
        else:
            block = low.choice.bits_block(key.type.size, 0, width)
            planes.append(low.emit("bits_of", low.need(key, SPLIT), start=0, width=width, block=block))
            turned.append(at + width - 1)
        at += width
    bits = low.emit("concat", *planes, axis=0) if len(planes) > 1 else planes[0]
    return _ranked(low, bits, keys[0], sum(widths), turned)


def _rank_one(low: Lowering, key: Value, width: int) -> Value:
    """Of one number the bits come a word an element, as the sort wants them."""
    block = low.choice.bits_block(key.type.size, 0, width)
    return _ranked(low, low.emit("bit_words", low.need(key, SPLIT), width=width, block=block), key, width, [width - 1])


def _ranked(low: Lowering, bits: Value, key: Value, width: int, turned: Sequence[int]) -> Value:
    n = key.shape[-1]
    digit = best_digit(key.type.size // n, n, width, low.config)
    return low.emit("radix_rank", bits, digit=digit, width=width, turned=tuple(turned))


# --- by pairs


def _rank_by_pairs(low: Lowering, keys: Sequence[Value], widths: Sequence[int]) -> Value:
    keys = [key if key.type.kind == BOOL else low.need(key, SPLIT) for key in keys]
    return low.emit("pair_rank", *keys, widths=tuple(widths), blocks=_blocks(low.choice, keys, widths))


def _blocks(choice: Choice, keys: Sequence[Value], widths: Sequence[int]) -> tuple[int, ...]:
    """Of the comparisons of all pairs of each key."""
    shape = keys[0].shape
    size = keys[0].type.size * (shape[-1] - 1) // 2
    found = zip(keys, widths, strict=True)
    return tuple(1 if key.type.kind == BOOL else choice.sign_block(size, width) for key, width in found)
