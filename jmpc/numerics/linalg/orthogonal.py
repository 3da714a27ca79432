"""Orthogonal and triangular factors, as plain JAX.

What goes in: matrices (leading axes are a batch). What comes out: what `jnp.linalg.qr` gives. Not here: eigenvalues
(`linalg_eigen.py`).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.numerics.language.words import within
from jmpc.numerics.linalg.solve import SPARE, inverse_root


def qr(a: Array, *, full: bool) -> tuple[Array, Array]:
    """Q and R by Householder's reflections; of a wide or square matrix the last row is left as it is, as in LAPACK.

    The columns are scaled to length 1 first, which changes R alone, so that no value is above 1. A reflection keeps the
    sign that avoids cancellation, as in LAPACK; a column that is already zero below its diagonal is reflected too,
    which LAPACK does not, so Q and R of such a matrix may differ from NumPy's by signs.
    Domain: columns of length [2^-5, 2^10], each at least 2^-8 of its length away from the span of those before it.
    Error: about 2^-17 sqrt(m n) in Q, and that times the columns' lengths in R. Each reflection costs an inverse root,
    a reciprocal and two products.
    """
    m, n = a.shape[-2:]
    small = lax.rsqrt(jnp.sum(a * a, axis=-2))
    length = jnp.sum(a * a, axis=-2) * small
    length = length * (2 - small * length)  # the inverse of `small` as it was rounded
    eye = jnp.broadcast_to(np.eye(m, dtype=np.float32), (*a.shape[:-1], m))
    start = within(jnp.concatenate([a * small[..., None, :], eye], axis=-1), limit=SPARE)
    steps = min(m - 1, n)
    rest = lax.scan(_reflect, start, _typed.arange(steps))[0] if steps else start
    kept = m if full else min(m, n)
    r = jnp.triu(rest[..., :kept, :n]) * length[..., None, :]
    return jnp.swapaxes(rest[..., :kept, n:], -1, -2), r


def _reflect(rest: Array, k: Array) -> tuple[Array, None]:
    """Turn column k to its diagonal; the same reflection turns the identity on the right into Q's transpose."""
    rows = _typed.arange(rest.shape[-2])
    column = jnp.where(rows >= k, _typed.dynamic_index_in_dim(rest, k, -1, keepdims=False), 0)
    unit = within(column * inverse_root(jnp.sum(column * column, axis=-1))[..., None], limit=SPARE)
    first = _typed.dynamic_index_in_dim(unit, k, -1)
    direction = unit + jnp.where(rows == k, jnp.where(first >= 0, 1.0, -1.0), 0)
    weight = within(1 / within(1 + jnp.abs(first), limit=1 + SPARE), limit=SPARE)
    scaled = direction * weight
    seen = jnp.sum(scaled[..., None] * rest, axis=-2)
    return within(rest - direction[..., None] * seen[..., None, :], limit=SPARE), None
