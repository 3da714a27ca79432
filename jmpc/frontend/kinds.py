"""Which JAX dtypes have a secure form: the kind of a dtype, and the type of a secret of which nothing more is known.

What goes in: dtypes and constants. What comes out: kinds and types of the Share IR, or UnsupportedError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import dtypes

from jmpc.config import Config
from jmpc.errors import UnsupportedError
from jmpc.frontend.known import Known
from jmpc.ir import ops
from jmpc.ir.types import ASSUMED, BITS, BOOL, DECLARED, FIXED, INFERRED, INT, Type


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


def most(config: Config) -> float:
    """The largest real number of the format."""
    return ops.contract(config.f, config) / 2**config.f


def is_beyond(x: Any, config: Config) -> bool:
    """Whether some element of a constant is beyond the format, or no number."""
    if not isinstance(x, Known) or x.concrete is None or x.owner or not is_real(x.dtype):
        return False
    return not (np.abs(np.asarray(x.concrete, np.float64)) <= most(config)).all()


def casts_early(x: Known, dtype: Any, config: Config) -> bool:
    """Whether a caller's numbers are cast before they are shared: those without a secure form, and integers that become
    real numbers, which are checked against the range of real numbers; that of their dtype is larger."""
    if not has_secure_form(x.dtype):
        return is_real(dtype) and not dtypes.issubdtype(x.dtype, np.complexfloating)
    return is_real(dtype) and kind_of(x.dtype) == INT and integer_limit(x.dtype, config) > ops.contract(0, config)


def without_secure_form(eqn: Any, args: Sequence[Any]) -> str:
    """The dtype of an operand or a result that has no secure form, and whose it is if it is an argument."""
    names = [x.path if isinstance(x, Known) else "" for x in args] + [""] * len(eqn.outvars)
    all_of = [v.aval.dtype for v in (*eqn.invars, *eqn.outvars)]
    odd = [(name, dtype) for name, dtype in zip(names, all_of, strict=True) if not has_secure_form(dtype)]
    return next((f"{name} is {dtype}, which" if name else str(dtype) for name, dtype in odd), "")


def input_bound(x: Known, kind: str, scale: int, config: Config) -> tuple[int, str]:
    """The largest magnitude of an input of a program, and how that is known."""
    if kind == BOOL:
        return 1, INFERRED
    if x.limit is not None:
        return min(int(x.limit * 2**scale), ops.whole(config)), DECLARED
    if x.concrete is not None and not x.owner and kind == INT:
        return _largest(np.asarray(x.concrete), config), INFERRED
    if x.concrete is not None and not x.owner:
        largest = float(np.abs(np.asarray(x.concrete, np.float64)).max(initial=0))
        if np.isfinite(largest):
            return max(int(np.ceil(largest * 2**scale)), 1), INFERRED
    if kind == INT:
        return integer_limit(x.dtype, config), INFERRED
    return ops.contract(scale, config), ASSUMED


def _largest(array: np.ndarray, config: Config) -> int:
    return min(max(int(array.max(initial=0)), -int(array.min(initial=0)), 1), ops.whole(config))


def integer_limit(dtype: Any, config: Config) -> int:
    """The largest magnitude of an integer dtype, as a signed ring element. Of a dtype wider than the ring, what is
    assumed: one bit less than the ring holds."""
    info = np.iinfo(dtype)
    most = ops.whole(config) if info.bits <= config.k else (1 << (config.k - 2)) - 1
    return min(max(int(info.max), -int(info.min)), most)


def known_if_empty(x: Any, aval: Any) -> Any:
    """An operand without elements has none to hide: a constant, so that what is made of it alone is JAX's own."""
    if 0 not in aval.shape or not has_secure_form(aval.dtype):
        return x
    return constant(np.zeros(aval.shape, aval.dtype))


def constant(value: Any, aval: Any = None) -> Known:
    """A constant of the program: a number, an array, or an array of random keys, which only work in the clear reads."""
    held = getattr(value, "dtype", None)
    if aval is None:
        found = np.asarray(value).dtype if held is None else held
        return Known(tuple(np.shape(value)), found, concrete=value)
    if held is not None and held != aval.dtype:
        value = np.asarray(value, aval.dtype)
    return Known(tuple(aval.shape), aval.dtype, concrete=value)
