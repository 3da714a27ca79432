"""Matrix products modulo 2^k from narrow limbs, on hardware that multiplies floats or bytes fast.

In: unsigned arrays (B, M, K) and (B, K, N). Out: their product (B, M, N) modulo 2^k, exact, in the same dtype (bits
above k are arbitrary). It does not know about dimension numbers or convolutions, and never calls an integer dot of
more than 8 bits.

How this works: a ring element is a sum of limbs d_i 2^(s_i), each w_i bits wide and balanced, |d_i| <= 2^(w_i - 1), so
that a product of a limb of w and one of v bits is at most 2^(w + v - 2). A sum of n of these is exact in float64 while
it stays within 2^53, that is for w + v + log2(n) <= 55. A product of limbs counts only where s_i + s_j < k, so the
pairs (bit of x, bit of y) that count form a triangle, and `cover` tiles it with as few rectangles as it can. The
triangle of 64 bits needs six; three products cover its corner of 42 by 44 in Karatsuba's way, and two more the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import pairwise

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.ring import reduction

Cuts = tuple[tuple[int, int], ...]  # (shift, width) of each limb, from bit 0 up without a gap

MANTISSA = 53
BLOCK = 1024  # terms that any plan can add exactly
LARGEST_BLOCK = 1 << 20
BYTE_BLOCK = 1 << 13  # 8 pairs of limbs, each pair 2^13 terms of at most 2^14: 2^30, within int32
KARATSUBA_X: Cuts = ((0, 21), (21, 21), (42, 22))
KARATSUBA_Y: Cuts = ((0, 22), (22, 21), (43, 21))
BLOCK_DIMS = (((3,), (2,)), ((0, 1), (0, 1)))


def float_product(x: Array, y: Array, k: int, x_bits: int, y_bits: int) -> Array:
    """x . y from limbs in float64; x and y as signed values fit in x_bits and y_bits."""
    block, tiles = plan(k, x_bits, y_bits, x.shape[2])
    xb, yb = _blocks(lax.convert_element_type(x, np.uint64), lax.convert_element_type(y, np.uint64), block)
    parts = _karatsuba(xb, yb) if tiles is None else _rectangles(xb, yb, k, tiles)
    total = reduction.total(parts, (1,))
    return lax.convert_element_type(total, x.dtype)


def byte_product(x: Array, y: Array, k: int, x_bits: int, y_bits: int) -> Array:
    """x . y from limbs in int8, summed in int32: what tensor cores and TPUs multiply."""
    xb, yb = _blocks(lax.convert_element_type(x, np.uint64), lax.convert_element_type(y, np.uint64), BYTE_BLOCK)
    xs = [lax.convert_element_type(d, np.int8) for d in limbs(xb, byte_cuts(k, x_bits))]
    ys = [lax.convert_element_type(d, np.int8) for d in limbs(yb, byte_cuts(k, y_bits))]
    total = reduce(lax.add, (_of_degree(xs, ys, n) for n in range(min(len(xs) + len(ys) - 1, -(-k // 8)))))
    return lax.convert_element_type(reduction.total(total, (1,)), x.dtype)


def _of_degree(xs: Sequence[Array], ys: Sequence[Array], degree: int) -> Array:
    """One product: the limbs side by side along the contracted dimension."""
    pairs = [(i, degree - i) for i in range(len(xs)) if 0 <= degree - i < len(ys)]
    left = lax.concatenate([xs[i] for i, _ in pairs], 3)
    right = lax.concatenate([ys[j] for _, j in pairs], 2)
    part = _typed.dot_general(left, right, BLOCK_DIMS, np.int32)
    return _shifted(_unsigned(part), 8 * degree)


def byte_cuts(k: int, bits: int) -> Cuts:
    """Limbs for a signed value of `bits` bits. Several balanced bytes reach only to 0x7f7f.., so one bit is spare,
    unless the value counts modulo 2^k only."""
    count = 1 if bits <= 8 else min(-(-(bits + 1) // 8), -(-k // 8))
    return tuple((8 * i, 8) for i in range(count))


@lru_cache(maxsize=4096)
def plan(k: int, x_bits: int, y_bits: int, inner: int) -> tuple[int, tuple[tuple[int, int, Cuts], ...] | None]:
    """The terms that one exact sum takes, and the tiles of `cover`, or None where Karatsuba's way is cheaper."""
    block = 1
    while block < min(inner, BLOCK):
        block *= 2
    fewest = _count(cover(k, x_bits, y_bits, block))
    if fewest > 5:
        return min(block, BLOCK), None
    while block < min(inner, LARGEST_BLOCK) and _count(cover(k, x_bits, y_bits, 2 * block)) == fewest:
        block *= 2
    return block, cover(k, x_bits, y_bits, block)


def _count(tiles: Sequence[tuple[int, int, Cuts]]) -> int:
    return sum(len(cuts) for _, _, cuts in tiles)


@lru_cache(maxsize=4096)
def cover(k: int, x_bits: int, y_bits: int, block: int) -> tuple[tuple[int, int, Cuts], ...]:
    """The fewest limb products for x . y mod 2^k: (shift and width of a limb of x, the limbs of y that meet it)."""
    budget = MANTISSA + 2 - (block - 1).bit_length()
    top = min(k, x_bits)
    best: dict[int, tuple[int, tuple[tuple[int, int, Cuts], ...]]] = {top: (0, ())}
    for shift in reversed(range(top)):
        rest = min(k - shift, y_bits)
        choices: list[tuple[int, tuple[tuple[int, int, Cuts], ...]]] = []
        for width in range(1, min(top - shift, budget - 1) + 1):
            count = -(-rest // (budget - width))
            cost, tail = best[shift + width]
            choices.append((cost + count, ((shift, width, _even_cuts(rest, count)), *tail)))
        best[shift] = min(choices, key=lambda choice: choice[0])
    return best[0][1]


def _even_cuts(bits: int, count: int) -> Cuts:
    edges = [bits * i // count for i in range(count + 1)]
    return tuple((low, high - low) for low, high in pairwise(edges))


def limbs(x: Array, cuts: Cuts) -> list[Array]:
    """The balanced limbs of uint64 elements, in int64: x = sum of d_i 2^(s_i) modulo 2^(all widths)."""
    # Adding half of every limb once makes all digits non-negative; taking it off again balances them without a carry.
    half = sum(1 << (shift + width - 1) for shift, width in cuts)
    raised = lax.add(x, _full(x, half))
    return [_digit(raised, shift, width) for shift, width in cuts]


def _digit(raised: Array, shift: int, width: int) -> Array:
    bits = lax.shift_right_logical(raised, _full(raised, shift)) if shift else raised
    bits = lax.bitwise_and(bits, _full(bits, (1 << width) - 1))
    return lax.sub(lax.convert_element_type(bits, np.int64), lax.full(bits.shape, np.int64(1 << (width - 1))))


def _floats(x: Array, cuts: Cuts) -> list[Array]:
    return [lax.convert_element_type(digit, np.float64) for digit in limbs(x, cuts)]


def signed_cuts(cuts: Cuts, needed: int) -> Cuts:
    """How to read limbs that hold a whole narrow operand rather than its residue modulo 2^needed: a carry may take the
    top digit to +2^(w - 1), which w bits cannot tell from -2^(w - 1). The next bit of the operand repeats its sign."""
    shift, width = cuts[-1]
    return (*cuts[:-1], (shift, width + 1)) if shift + width < needed else cuts


def _rectangles(x: Array, y: Array, k: int, tiles: Sequence[tuple[int, int, Cuts]]) -> Array:
    lefts = _floats(x, signed_cuts(tuple((shift, width) for shift, width, _ in tiles), k))
    parts = (
        _shifted(_float_dot(left, right), shift + up)
        for left, (shift, _, cuts) in zip(lefts, tiles, strict=True)
        for right, (up, _) in zip(_floats(y, signed_cuts(cuts, k - shift)), cuts, strict=True)
    )
    return reduce(lax.add, parts)


def _karatsuba(x: Array, y: Array) -> Array:
    """All 64 bits in five products. |x0|, |x1| <= 2^20 and |y0|, |2 y1| <= 2^21, so the middle one is at most 2^43."""
    x0, x1, x2 = _floats(x, KARATSUBA_X)
    y0, y1, y2 = _floats(y, KARATSUBA_Y)
    low, high = _float_dot(x0, y0), _float_dot(x1, y1)
    both = _float_dot(lax.add(x0, x1), lax.add(y0, lax.add(y1, y1)))
    middle = lax.sub(lax.sub(both, low), lax.add(high, high))  # x1 y0 + 2 x0 y1
    total = lax.add(low, _shifted(middle, 21))
    total = lax.add(total, _shifted(lax.add(high, _float_dot(x0, y2)), 43))
    return lax.add(total, _shifted(_float_dot(x2, y0), 42))


def _float_dot(x: Array, y: Array) -> Array:
    return _unsigned(_typed.dot_general(x, y, BLOCK_DIMS))


def _unsigned(part: Array) -> Array:
    """Signed integers, whatever holds them, as ring elements."""
    return lax.convert_element_type(lax.convert_element_type(part, np.int64), np.uint64)


def _blocks(x: Array, y: Array, block: int) -> tuple[Array, Array]:
    """Cut the contracted dimension: (B, M, K), (B, K, N) to (B, n, M, K / n), (B, n, K / n, N), zeros at the end."""
    (batch, rows, inner), columns = x.shape, y.shape[2]
    count = -(-inner // block)
    size = -(-inner // count)
    spare = count * size - inner
    x = lax.pad(x, np.uint64(0), [(0, 0, 0), (0, 0, 0), (0, spare, 0)])
    y = lax.pad(y, np.uint64(0), [(0, 0, 0), (0, spare, 0), (0, 0, 0)])
    x = lax.transpose(lax.reshape(x, (batch, rows, count, size)), (0, 2, 1, 3))
    return x, lax.reshape(y, (batch, count, size, columns))


def _full(like: Array, value: int) -> Array:
    return lax.full(like.shape, np.uint64(value % (1 << 64)))


def _shifted(x: Array, bits: int) -> Array:
    return lax.shift_left(x, _full(x, bits)) if bits else x
