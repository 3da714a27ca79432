"""Fixed point: real numbers as signed integers with `scale` fraction bits. On the host, in NumPy.

What goes in: float, integer or bool arrays. What comes out: ring elements, and back. Values that the format cannot
hold are refused here, before anything is shared; the message names the place, never the value.
"""

from __future__ import annotations

import numpy as np

from jmpc.errors import RangeError
from jmpc.ring.element import Ring


def encode(x: np.ndarray, scale: int, ring: Ring, limit: int, where: str, *, declared: bool = False) -> np.ndarray:
    """Ring elements of `x`, rounded to the nearest multiple of 2^-scale.

    limit: largest allowed magnitude in ring units; declared: by the user.  where: the argument's path, for the message.
    Raises RangeError for NaN, infinity or a magnitude above `limit`.
    """
    x = np.asarray(x)
    if x.dtype.kind in "iub":
        return _encode_integers(x, scale, ring, limit, where, declared)
    with np.errstate(over="ignore"):  # then it is infinite, and beyond the limit
        scaled = np.asarray(np.multiply(x, np.ldexp(1.0, scale), dtype=np.float64))  # exact: by a power of two
    np.rint(scaled, out=scaled)
    most = greatest(limit)
    if x.size and not (scaled.max() <= most and scaled.min() >= -most):  # NaN is neither
        _check_finite(x, where)
        _check_limit(np.abs(scaled) > most, x.size, limit, scale, where, declared)
    return ring.from_int(scaled.astype(np.int64))


def greatest(limit: int) -> float:
    """The largest float that is no more than `limit`, and an int64: beyond 2^53 a float may round up."""
    limit = min(limit, (1 << 63) - 1)
    found = float(limit)
    return found if found <= limit else float(np.nextafter(found, 0.0))


def _check_finite(x: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(x)
    if bad.any():
        raise RangeError(
            f"{where}: {int(bad.sum())} of {x.size} elements are NaN or infinite",
            where=where,
            why="a ring has no NaN and no infinity; the element would become an arbitrary number",
            todo="replace them before the call, for example with jnp.nan_to_num or a mask",
        )


def _encode_integers(x: np.ndarray, scale: int, ring: Ring, limit: int, where: str, declared: bool) -> np.ndarray:
    wide = x.astype(np.uint64 if x.dtype.kind == "u" else np.int64)
    allowed = limit >> scale
    if allowed >= 1 << (ring.k - 1) and 8 * x.dtype.itemsize <= ring.k:
        return ring.from_int(wide)  # every number of the dtype has its ring element
    too_big = (wide > allowed) | (wide < -allowed) if wide.dtype.kind == "i" else wide > np.uint64(max(allowed, 0))
    _check_limit(too_big, x.size, limit, scale, where, declared)
    return ring.from_int(wide.astype(np.int64) << scale)


def _check_limit(too_big: np.ndarray, size: int, limit: int, scale: int, where: str, declared: bool) -> None:
    if not too_big.any():
        return
    beyond, why, todo = "the number format", "here", "or use fewer fraction bits (jmpc.Config(f=...))"
    if declared:
        beyond, why, todo = "the bound declared of them", "as jmpc.bounded says", "or declare a larger bound"
    raise RangeError(
        f"{where}: {int(too_big.sum())} of {size} elements are beyond {beyond}",
        where=where,
        why=f"the magnitude must be at most {limit / 2**scale:.6g} {why}",
        todo=["scale the argument down before the call", todo],
    )


def decode(elements: np.ndarray, scale: int, ring: Ring, dtype: np.dtype) -> np.ndarray:
    """The numbers that ring elements stand for, in `dtype`; integers wrap as they do in JAX."""
    integers = ring.to_int(elements)
    if np.dtype(dtype).kind in "iub":
        if np.dtype(dtype).kind == "b":
            return integers != 0
        return np.right_shift(integers, scale).astype(dtype)
    return np.ldexp(integers.astype(np.float64), -scale).astype(dtype)
