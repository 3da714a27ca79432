"""The discrete Fourier transform along the last axis, as plain JAX on real and imaginary parts.

What goes in: the parts, zeros as NumPy arrays. What comes out: the parts of `jnp.fft.fft`, `ifft`, `rfft` or `irfft`.

Idea: a product with the public matrix of the transform, cos and sin of multiples of 2 pi / n, so that parties send
nothing but one rounding, whatever n. Lengths above `LONGEST` that are no primes split once (Cooley and Tukey's
four steps), which makes three roundings. Source: the definition.
Domain: n |x| within the number format, as the result's elements may be that large.
Error: the entries of the matrices are rounded to 18 bits after the point, or 18 significant ones where they are small,
so 2^-19 n max|x| at most, about 2^-20 sqrt(n) max|x| for a random signal, and two units of the number format.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from jmpc import _typed
from jmpc._types import AnyArray, Array

LONGEST = 1024  # a product with a matrix of this side still costs less than what more roundings would


def is_zero(part: AnyArray) -> bool:
    """Whether a part is zero by what is known while tracing."""
    return isinstance(part, np.ndarray) and not part.any()


@lru_cache(maxsize=64)
def _table(n: int, rows: int, columns: int, sign: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """scale exp(sign 2 pi i j k / n), real and imaginary."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % n
    angle = sign * 2 * np.pi * turns / n
    return scale * np.cos(angle), scale * np.sin(angle)


def transform(re: AnyArray, im: AnyArray, *, inverse: bool) -> tuple[AnyArray, AnyArray]:
    """The transform of a complex signal, or the inverse one."""
    n = re.shape[-1]
    return _steps(re, im, n, 1, 1 / n) if inverse else _steps(re, im, n, -1, 1.0)


def transform_real(x: AnyArray, *, n: int) -> tuple[AnyArray, AnyArray]:
    """The first n // 2 + 1 elements of the transform of a real signal of length n."""
    kept = n // 2 + 1
    if _split(n) == 1:
        return _product([x], [_table(n, n, kept, -1, 1.0)])
    re, im = _steps(x, np.zeros(x.shape), n, -1, 1.0)
    return re[..., :kept], im[..., :kept]


def inverse_real(re: AnyArray, im: AnyArray, *, n: int) -> Array:
    """The real signal of length n of which this is the half transform."""
    kept = n // 2 + 1
    twice = np.full((kept, 1), 2.0)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    cos, sin = (twice * part for part in _table(n, kept, n, 1, 1 / n))
    parts = [(x, m) for x, m in ((re, cos), (im, -sin)) if not is_zero(x)]
    return _matmul([x for x, _ in parts], [m for _, m in parts]) if parts else _typed.zeros((*re.shape[:-1], n))


def _steps(re: AnyArray, im: AnyArray, n: int, sign: int, scale: float) -> tuple[AnyArray, AnyArray]:
    """n = a b: transforms of length a over the signal's b strides, a turn of each element, transforms of length b."""
    a = _split(n)
    if a == 1:
        return _whole(re, im, n, sign, scale)
    b, first = n // a, re.shape[:-1]
    re, im = (jnp.swapaxes(_typed.reshape(x, (*first, a, b)), -1, -2) for x in (re, im))
    re, im = _whole(re, im, a, sign, 1.0)
    cos, sin = (m.astype(np.float32) for m in _table(n, b, a, sign, 1.0))
    re, im = re * cos - im * sin, re * sin + im * cos
    re, im = _whole(jnp.swapaxes(re, -1, -2), jnp.swapaxes(im, -1, -2), b, sign, scale)
    return jnp.swapaxes(re, -1, -2).reshape(*first, n), jnp.swapaxes(im, -1, -2).reshape(*first, n)


def _split(n: int) -> int:
    """A factor of n near its root, or 1 where the whole matrix does."""
    if n <= LONGEST:
        return 1
    return max(a for a in range(1, math.isqrt(n) + 1) if n % a == 0)


def _whole(re: AnyArray, im: AnyArray, n: int, sign: int, scale: float) -> tuple[AnyArray, AnyArray]:
    cos, sin = _table(n, n, n, sign, scale)
    parts = [(x, m) for x, m in ((re, (cos, sin)), (im, (-sin, cos))) if not is_zero(x)]
    if not parts:
        return re, im
    return _product([x for x, _ in parts], [m for _, m in parts])


def _product(parts: Sequence[AnyArray], matrices: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Array, Array]:
    """(sum of x cos, sum of x sin) as one matrix product, so that each element is rounded once."""
    both = _matmul(parts, [np.concatenate(pair, axis=1) for pair in matrices])
    half = both.shape[-1] // 2
    return both[..., :half], both[..., half:]


def _matmul(parts: Sequence[AnyArray], matrices: list[np.ndarray]) -> Array:
    signal = parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
    matrix = np.concatenate(matrices, axis=0)
    return jnp.matmul(signal, matrix.astype(signal.dtype), precision="highest")
