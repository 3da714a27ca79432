"""Integer matrix products for XLA:CPU, in the form that its compiler turns into wide vector code.

In: pairs of unsigned arrays (B, M, K) and (B, K, N) of one dtype. Out: the sum of their products (B, M, N), which wraps
as the dtype does. It needs no limbs and no bound on K. It does not know about dimension numbers or convolutions.

How this works: XLA:CPU runs a `dot` of integers of 64 bits (and of 8, 16 and unsigned 32) as a plain triple loop.
Instead, the K dimension is cut in slabs of DEPTH columns, and one slab is one elementwise expression,
acc + x_0 y_0 + ... + x_15 y_15 with broadcast columns x_j and rows y_j: one fused loop whose inner dimension is N, so
that LLVM keeps 16 values of x in registers and multiplies whole vectors of y. DEPTH has a second reason. XLA copies a
producer into its consumer unless it would be evaluated more than 15 times; with 16 uses a slab is therefore written out
first, contiguous, and the loop that reads it vectorises; with 15 the same program is four times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

from jax import lax

from jmpc import _typed
from jmpc._types import Array

DEPTH = 16  # see above; measured against 4 to 40
UNROLLED = 4  # slabs written out before a loop pays
TILE_BYTES = 2048  # of a row of y: a slab of y must stay in the first-level cache
TINY = 1 << 14  # multiplications below which the plain dot is as fast


@_typed.jit
def product_sum(pairs: Sequence[tuple[Array, Array]]) -> Array:
    """sum of x . y over (B, M, K) and (B, K, N). A call of its own: traced once a shape, one equation of its user."""
    (batch, rows, _), columns = pairs[0][0].shape, pairs[0][1].shape[2]
    work = batch * rows * columns * sum(x.shape[2] for x, _ in pairs)
    if min(rows, columns) == 1 or work <= TINY:
        return plain_sum(pairs)
    width = TILE_BYTES // pairs[0][0].dtype.itemsize
    if columns <= width:
        return _tile(pairs)
    return _tiles(pairs, -(-columns // width))


def plain_sum(pairs: Sequence[tuple[Array, Array]]) -> Array:
    """The same through XLA's own dot: a vector code for vectors, a plain loop for matrices."""
    dims = (((2,), (1,)), ((0,), (0,)))
    total = _typed.dot_general(*pairs[0], dims)
    for x, y in pairs[1:]:
        total = lax.add(total, _typed.dot_general(x, y, dims))
    return total


def _tiles(pairs: Sequence[tuple[Array, Array]], count: int) -> Array:
    """Equal blocks of columns in a loop, so that the program does not grow with N."""
    batch, rows, columns = *pairs[0][0].shape[:2], pairs[0][1].shape[2]
    width = -(-columns // count)

    def split(y: Array) -> Array:
        y = _pad(y, 2, count * width)
        return lax.transpose(lax.reshape(y, (batch, y.shape[1], count, width)), (2, 0, 1, 3))

    def step(carry: tuple[()], ys: tuple[Array, ...]) -> tuple[tuple[()], Array]:
        return carry, _tile([(x, y) for (x, _), y in zip(pairs, ys, strict=True)])

    _, tiles = lax.scan(step, (), tuple(split(y) for _, y in pairs))
    joined = lax.reshape(lax.transpose(tiles, (1, 2, 0, 3)), (batch, rows, count * width))
    return lax.slice(joined, (0, 0, 0), (batch, rows, columns))


def _tile(pairs: Sequence[tuple[Array, Array]]) -> Array:
    (x, y), *more = pairs
    total = _slabs(x, y, None)
    for x, y in more:
        total = _slabs(x, y, total)
    return total


def _slabs(x: Array, y: Array, total: Array | None) -> Array:
    """total + x . y, slab by slab."""
    (batch, rows, inner), columns = x.shape, y.shape[2]
    whole = inner // DEPTH
    if inner % DEPTH:
        start = whole * DEPTH
        xs = _pad(lax.slice_in_dim(x, start, inner, axis=2), 2, DEPTH)
        total = _slab(xs, _pad(lax.slice_in_dim(y, start, inner, axis=1), 1, DEPTH), total)
    if whole <= UNROLLED:
        for start in range(0, whole * DEPTH, DEPTH):
            stop = start + DEPTH
            total = _slab(lax.slice_in_dim(x, start, stop, axis=2), lax.slice_in_dim(y, start, stop, axis=1), total)
    if total is None:
        total = lax.full((batch, rows, columns), 0, x.dtype)
    return total if whole <= UNROLLED else _typed.fori_loop(0, whole, partial(_slab_at, x, y), total)


def _slab_at(x: Array, y: Array, index: Array, total: Array) -> Array:
    """One turn of the loop."""
    (batch, rows, _), columns = x.shape, y.shape[2]
    integer = index.dtype.type  # fori_loop picks the dtype
    zero, start = integer(0), lax.mul(index, integer(DEPTH))
    xs = lax.dynamic_slice(x, (zero, zero, start), (batch, rows, DEPTH))
    return _slab(xs, lax.dynamic_slice(y, (zero, start, zero), (batch, DEPTH, columns)), total)


def _slab(xs: Array, ys: Array, total: Array | None) -> Array:
    """total + xs . ys, as one elementwise expression."""
    terms = (_term(xs, ys, j) for j in range(DEPTH))
    return reduce(lax.add, terms) if total is None else reduce(lax.add, terms, total)


def _term(xs: Array, ys: Array, j: int) -> Array:
    """Column j of xs times row j of ys."""
    shape = (*xs.shape[:2], ys.shape[2])
    column = _typed.broadcast_in_dim(lax.slice_in_dim(xs, j, j + 1, axis=2), shape, (0, 1, 2))
    row = _typed.broadcast_in_dim(lax.slice_in_dim(ys, j, j + 1, axis=1), shape, (0, 1, 2))
    return lax.mul(column, row)


def _pad(a: Array, axis: int, size: int) -> Array:
    """Zeros at the end of `axis` up to `size`."""
    config = [(0, size - n if i == axis else 0, 0) for i, n in enumerate(a.shape)]
    return lax.pad(a, a.dtype.type(0), config)
