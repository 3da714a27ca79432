"""Eigenvalues of symmetric matrices and singular values, as plain JAX with fixed numbers of steps.

What goes in: small matrices (leading axes are a batch). What comes out: what `jnp.linalg.eigh` and `svd` give, vectors
up to their sign.

Idea: Jacobi's rotations, n / 2 at a time: all pairs meet once in n - 1 rounds (a tournament by the circle method), so
one round is one region of the program, whatever n. Angles come from an inverse root; an error in it only slows the
convergence, since each rotation is made orthogonal again by a step of Newton's method. Singular values are the
eigenvalues of the symmetric factor of the polar decomposition, which Newton's and Schulz's iteration finds with
products alone. Source: Golub and Van Loan, Matrix Computations, 8.5; Higham, Functions of Matrices, 8.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.numerics.language.words import number, within
from jmpc.numerics.linalg.orthogonal import qr

NORM = 2.0**8  # of the matrix whose rotations are sought: small differences of eigenvalues are seen, squares fit
TINY = 2.0**-10  # squares below it are no ground for a rotation
POLAR_STEPS = 28  # singular values of 2^-13 of the norm grow to 1 by 1.5 a step, the last steps settle them


def eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvectors (columns) and eigenvalues, which ascend, of a symmetric matrix.

    Domain: Frobenius norm in [2^-5, 2^10], n up to 64. Error of eigenvalues: 1e-4 of the norm; vectors of eigenvalues
    that are nearer than that to one another span the right space, but may be turned within it. Each of
    (n - 1) (5 + log2 n) rounds of rotations costs an inverse root, a comparison and eight products.
    """
    n = a.shape[-1]
    if n == 1:
        return _typed.ones_like(a), a[..., 0]
    odd = n % 2
    scaled = a * (NORM * lax.rsqrt(jnp.sum(a * a, axis=(-2, -1), keepdims=True)))
    scaled = _typed.pad(scaled, [(0, 0)] * (a.ndim - 2) + [(0, odd), (0, odd)])
    eye = jnp.broadcast_to(np.eye(n + odd, dtype=np.float32), scaled.shape)
    rounds = (n + odd - 1) * (5 + (n - 1).bit_length())
    (_, vectors), _ = lax.scan(lambda state, _: (_round(*state), None), (scaled, eye), None, length=rounds)
    vectors = _straightened(vectors[..., :n, :n])
    values = jnp.sum(vectors * (a @ vectors), axis=-2)
    return _ascending(vectors, values)


def _round(a: Array, vectors: Array) -> tuple[Array, Array]:
    """Rotate every pair (i, i + n/2), then move on to the next round's pairs."""
    half = a.shape[-1] // 2
    first, last = np.arange(half), np.arange(half, 2 * half)
    diagonal = _typed.diagonal(a)
    c, s = _angles(diagonal[..., :half] - diagonal[..., half:], 2 * a[..., first, last])
    rotated = _columns(jnp.concatenate([_rows(a, c, s), vectors], axis=-2), c, s)
    turn = _next_round(half)
    rotated = within(rotated[..., turn], limit=2 * NORM)
    top, bottom = rotated[..., : 2 * half, :], rotated[..., 2 * half :, :]
    return top[..., turn, :], within(bottom, limit=1.25)


def _angles(gap: Array, twice: Array) -> tuple[Array, Array]:
    """(cos, sin) of the rotation by at most 45 degrees that makes an element zero: tan of twice the angle is
    twice / gap. Where both are tiny, none."""
    square = gap * gap + twice * twice
    size = lax.rsqrt(square)
    cos2, sin2 = jnp.abs(gap) * size, jnp.where(gap < 0, -twice, twice) * size
    tiny = square < TINY
    y = 0.5 + 0.5 * within(jnp.where(tiny, 1.0, cos2), limit=1.25)
    half_sine = 0.5 * within(jnp.where(tiny, 0.0, sin2), limit=1.25)
    root = 1.8017 - 0.8284 * y  # 1 / sqrt(y) on [0.5, 1] within 3 per cent; what is left is taken out below
    c, s = y * root, half_sine * root
    for _ in range(2):
        norm = c * c + s * s
        c, s = (within(p * (1.5 - 0.5 * norm), limit=1.25) for p in (c, s))
    return c, s


def _rows(a: Array, c: Array, s: Array) -> Array:
    half = c.shape[-1]
    first, last = a[..., :half, :], a[..., half:, :]
    c, s = c[..., None], s[..., None]
    return jnp.concatenate([c * first + s * last, c * last - s * first], axis=-2)


def _columns(a: Array, c: Array, s: Array) -> Array:
    half = c.shape[-1]
    first, last = a[..., :half], a[..., half:]
    c, s = c[..., None, :], s[..., None, :]
    return jnp.concatenate([c * first + s * last, c * last - s * first], axis=-1)


def _next_round(half: int) -> np.ndarray:
    """Where the players of the next round sat: the first keeps its seat, the others move on by one."""
    if half == 1:
        return np.arange(2)
    upper, lower = np.arange(half), np.arange(half, 2 * half)
    return np.concatenate([upper[:1], lower[:1], upper[1:-1], lower[1:], upper[-1:]])


def _ascending(vectors: Array, values: Array) -> tuple[Array, Array]:
    """In the order of the values: the rank of each by comparing all pairs at once."""
    n = values.shape[-1]
    less = values[..., :, None] < values[..., None, :]
    before = np.arange(n)[:, None] < np.arange(n)
    ahead = jnp.where(before, ~jnp.swapaxes(less, -1, -2), less)
    ahead = ahead & ~np.eye(n, dtype=bool)
    rank = jnp.sum(ahead.astype(np.int32), axis=-2)
    place = number(rank[..., :, None] == np.arange(n, dtype=np.int32))
    return vectors @ place, jnp.sum(values[..., :, None] * place, axis=-2)


def polar(a: Array) -> Array:
    """The orthogonal factor of the polar decomposition of a matrix at least as tall as wide.

    Domain: as for `svd`. Directions whose singular value is below 2^-13 of the norm do not reach length 1.
    """
    start = within(a * lax.rsqrt(jnp.sum(a * a, axis=(-2, -1), keepdims=True)), limit=1.25)

    return lax.scan(lambda x, _: (_straightened(x), None), start, None, length=POLAR_STEPS)[0]


def _straightened(x: Array) -> Array:
    """Columns nearer to orthonormal: a step of Newton's and Schulz's iteration."""
    return within(1.5 * x - 0.5 * (x @ (jnp.swapaxes(x, -1, -2) @ x)), limit=1.25)


def svd(a: Array, *, full: bool) -> tuple[Array, Array, Array]:
    """Singular values, which descend, and the vectors U and V^T.

    Domain: Frobenius norm in [2^-5, 2^10], the smaller side up to 64. Error of singular values: 2e-4 of the norm. The
    columns of U of singular values below 2^-13 of the norm may be shorter than 1, zero at worst.
    """
    m, n = a.shape[-2:]
    if m < n:
        values, u, v = svd(jnp.swapaxes(a, -1, -2), full=full)
        return values, jnp.swapaxes(v, -1, -2), jnp.swapaxes(u, -1, -2)
    if full and m > n:
        q, r = qr(a, full=True)
        values, u, v = svd(r[..., :n, :], full=False)
        return values, jnp.concatenate([q[..., :n] @ u, q[..., n:]], axis=-1), v
    turn = polar(a)
    symmetric = jnp.swapaxes(turn, -1, -2) @ a
    symmetric = 0.5 * (symmetric + jnp.swapaxes(symmetric, -1, -2))
    vectors, values = eigh(symmetric)
    vectors, values = vectors[..., ::-1], values[..., ::-1]
    return jnp.maximum(values, 0), turn @ vectors, jnp.swapaxes(vectors, -1, -2)
