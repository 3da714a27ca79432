"""Which JAX dtypes have a secure form: the kind of a dtype, and the type of a secret of which nothing more is known.

What goes in: dtypes and constants. What comes out: kinds and types of the Share IR, or UnsupportedError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import dtypes

from jmpc.config import Config
from jmpc.errors import UnsupportedError
from jmpc.frontend.known import Known
from jmpc.ir import ops
from jmpc.ir.types import ASSUMED, BITS, BOOL, FIXED, INFERRED, INT, Type


def kind_of(dtype: Any, where: str = "") -> str:
    if not has_secure_form(np.dtype(dtype) if isinstance(dtype, type) else dtype):
        raise UnsupportedError(
            f"dtype {dtype} has no secure form",
            where=where,
            why="a ring holds fixed-point numbers, integers and bools",
            todo="make a random key public: secure(public=...); for what no party knows, jmpc.random"
            if dtypes.issubdtype(dtype, dtypes.extended)
            else "cast it before it is shared, such as by .astype(jnp.float32)",
        )
    kind = "f" if is_real(dtype) else np.dtype(dtype).kind
    return {"f": FIXED, "b": BOOL}.get(kind, INT)


def has_secure_form(dtype: Any) -> bool:
    return is_real(dtype) or (isinstance(dtype, np.dtype) and dtype.kind in "iub")


def is_real(dtype: Any) -> bool:
    """Of 16 bits or more: what is rounded to fewer is no fixed-point number any more."""
    return dtypes.issubdtype(dtype, np.floating) and np.dtype(dtype).itemsize > 1


def secret_type(shape: tuple[int, ...], dtype: Any, config: Config) -> Type:
    """The type of a secret about which nothing more is known."""
    kind = kind_of(dtype)
    if kind == BOOL:
        return Type(shape, BOOL, form=BITS)
    if kind == INT:
        return Type(shape, INT, 0, integer_limit(dtype, config), INFERRED)
    return Type(shape, kind, config.f, ops.contract(config.f, config), ASSUMED)


def integer_limit(dtype: Any, config: Config) -> int:
    """The largest magnitude of an integer dtype, as a signed ring element. Of a dtype wider than the ring, what is
    assumed: one bit less than the ring holds."""
    info = np.iinfo(dtype)
    most = ops.whole(config) if info.bits <= config.k else (1 << (config.k - 2)) - 1
    return min(max(int(info.max), -int(info.min)), most)


def constant(value: Any, aval: Any = None) -> Known:
    shape = tuple(aval.shape) if aval is not None else tuple(np.shape(value))
    dtype = aval.dtype if aval is not None else getattr(value, "dtype", np.asarray(value).dtype)
    if aval is not None and np.dtype(getattr(value, "dtype", dtype)) != np.dtype(dtype):
        value = np.asarray(value, dtype)
    return Known(shape, dtype, concrete=value)
