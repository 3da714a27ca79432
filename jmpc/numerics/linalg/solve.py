"""Cholesky and LU factors, and triangular systems, as plain JAX.

What goes in: matrices (leading axes are a batch). What comes out: what `jax.lax.linalg` gives. Not here: orthogonal
factors and eigenvalues (`linalg_orthogonal.py`, `linalg_eigen.py`).

Rounds count in a protocol, so a triangular matrix is inverted by doubling: with the inverses of diagonal blocks of size
s, those of size 2 s take two matrix products, hence 2 log2 n in all where substitution takes 2 n. Factors need their n
steps. Columns and pivots are chosen by public numbers, a pivot's row by a secret one-hot vector.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import AnyArray, Array
from jmpc.numerics.language.words import number, within

SPARE = 1.25  # how far values that are at most 1 may be beyond it by rounding


def inverse(x: Array) -> Array:
    """1 / x, with one step of Newton's method on top: twice the digits, as far as the format has them."""
    first = 1 / x
    return first * (2 - within(x * first, limit=SPARE))


def inverse_root(x: Array, shift: int = 3) -> Array:
    """1 / sqrt(x) of x at most about 1, with one step of Newton's method on top. The root is taken of 4^shift x, so
    that x may be as small as 4^-shift 2^-10."""
    first = lax.rsqrt(x * 4.0**shift) * 2.0**shift
    return first * (1.5 - 0.5 * within(within(x * first, limit=2 * SPARE) * first, limit=SPARE))


def _row(x: Array, k: Any, axis: int) -> Array:
    return _typed.dynamic_index_in_dim(x, k, axis, keepdims=False)


def cholesky(a: Array) -> Array:
    """The lower factor of a symmetric positive definite matrix, of which the lower triangle is read.

    Source: the outer product form, on the matrix scaled to a diagonal of ones, so that every value is at most 1 and
    every pivot at least the inverse of the scaled matrix's condition number c.
    Domain: diagonal in [2^-10, 2^20], c up to 2^10. Error: about 2^-17 c sqrt(n), relative to the root of the diagonal.
    Another matrix gives a wrong factor, where JAX gives NaN.
    """
    n = a.shape[-1]
    a = jnp.tril(a)
    whole = a + jnp.swapaxes(jnp.tril(a, -1), -1, -2)
    diagonal = _typed.diagonal(a)
    small = lax.rsqrt(diagonal)
    root = diagonal * small
    root = root * (2 - small * root)  # the inverse of `small` as it was rounded
    scaled = within(whole * small[..., None, :] * small[..., None], limit=SPARE)

    def step(rest: Array, k: Array) -> tuple[Array, Array]:
        below = _typed.arange(n) >= k
        column = jnp.where(below, _row(rest, k, -1), 0)
        column = within(column * inverse_root(within(_row(column, k, -1), limit=SPARE))[..., None], limit=SPARE)
        return within(rest - column[..., None] * column[..., None, :], limit=SPARE), column

    _, columns = lax.scan(step, scaled, _typed.arange(n))
    return jnp.moveaxis(columns, 0, -1) * root[..., None]


def inverse_lower(a: Array, unit: bool) -> Array:
    """The inverse of a lower triangular matrix; of what is above the diagonal nothing is read.

    Domain: the inverse's elements, and those of each diagonal block's, within the format; diagonal as for 1 / x.
    """
    n = a.shape[-1]
    levels = [_between_blocks(n, 2**level) for level in range(max(n - 1, 0).bit_length())]
    eye = np.eye(n, dtype=np.float32)
    start = eye * (1.0 if unit else inverse(_typed.diagonal(a))[..., None])
    start = jnp.broadcast_to(start, a.shape)
    if not levels:
        return start

    def double(x: Array, between: AnyArray) -> tuple[Array, None]:
        return x - x @ (jnp.where(between, a, 0) @ x), None

    return lax.scan(double, start, np.stack(levels))[0]


def _between_blocks(n: int, size: int) -> np.ndarray:
    """Where the second of each two neighbouring diagonal blocks meets the first."""
    block = np.arange(n) // size
    return (block[:, None] == block + 1) & (block[:, None] % 2 == 1)


def triangular_solve(
    a: Array, b: Array, *, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool
) -> Array:
    """X with op(A) X = B, or X op(A) = B, and one step of refinement.

    Domain: as for `inverse_lower`. Error: about 2^-17 sqrt(n) times the largest row sum of the inverse's magnitudes.
    """
    triangle = jnp.tril(a) if lower else jnp.triu(a)
    if unit_diagonal:
        ones = np.eye(a.shape[-1], dtype=np.float32)
        triangle = jnp.where(ones == 1, 1.0, triangle)
    turned = triangle if lower else jnp.swapaxes(triangle, -1, -2)
    inverted = inverse_lower(turned, unit_diagonal)
    flip = transpose_a if lower else not transpose_a
    inverted = jnp.swapaxes(inverted, -1, -2) if flip else inverted
    matrix = jnp.swapaxes(triangle, -1, -2) if transpose_a else triangle
    if not left_side:
        x = b @ inverted
        return x + (b - x @ matrix) @ inverted
    x = inverted @ b
    return x + inverted @ (b - matrix @ x)


def lu(a: Array) -> tuple[Array, Array, Array]:
    """L and U in one matrix, the row that each step swapped with, and the permutation; partial pivoting.

    Domain: pivots in [2^-8, 2^16] in magnitude, elements within the format. Error: about 2^-17 sqrt(n) times the
    growth of the elements, which is that of Gaussian elimination. Elements that are equal up to rounding may change
    places. Each step costs a maximum over a column, a one-hot vector, a reciprocal and four products.
    """
    if a.ndim > 2:
        return jax.vmap(lu)(a)
    rows, columns = a.shape
    start = (a, _typed.arange(rows, dtype=np.int32))
    (rest, order), swaps = lax.scan(_eliminate, start, _typed.arange(min(rows, columns), dtype=np.int32))
    return rest, swaps, order


def _eliminate(state: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], Array]:
    rest, order = state
    rows, columns = rest.shape
    places = _typed.arange(rows, dtype=np.int32)
    size = jnp.where(places >= k, jnp.abs(_row(rest, k, 1)), -1.0)
    chosen = jnp.argmax(size).astype(np.int32)
    here = places == chosen
    pivot_row, order = number(here) @ rest, _swapped(order, here, k)
    gap = pivot_row - _row(rest, k, 0)
    rest = rest + ((places == k) * 1.0 - number(here))[:, None] * gap
    factors = _row(rest, k, 1) * inverse(_row(pivot_row, k, 0))
    factors = within(jnp.where(places > k, factors, 0), limit=SPARE)
    later = _typed.arange(columns) > k
    rest = rest - factors[:, None] * jnp.where(later, pivot_row, 0)
    keep = (places > k)[:, None] & (_typed.arange(columns) == k)
    return (jnp.where(keep, factors[:, None], rest), order), chosen


def _swapped(order: Array, here: Array, k: Array) -> Array:
    """The integers with the one `here` and that at k in each other's place."""
    one = here.astype(np.int32)
    at = (_typed.arange(order.shape[0]) == k).astype(np.int32)
    return order + (at - one) * (jnp.sum(one * order) - _row(order, k, 0))
