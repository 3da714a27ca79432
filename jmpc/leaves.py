"""What may stand at a leaf of an argument: an array, a number, or something static.

What goes in: values as users pass them. What comes out: arrays of dtypes that JAX has, each checked to mean the same
number there; and which leaves are part of the program instead.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jmpc import _typed
from jmpc.errors import ArgumentError, RangeError

NUMBERS = (bool, int, float, complex)


def in_modules(tree: Any) -> list[bool]:
    """For each leaf, whether it is part of a module: of a node of the pytree that can be called."""
    found: list[bool] = []
    for node in jax.tree.leaves(tree, is_leaf=is_module):
        found += [is_module(node)] * len(jax.tree.leaves(node))
    return found


def is_module(node: Any) -> bool:
    return callable(node) and not is_array(node) and not jax.tree_util.all_leaves([node])


def is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def is_static(leaf: Any, in_module: bool) -> bool:
    """Whether a leaf is part of the program: a function; in a module also whatever is no array and no real number, as
    its flags, sizes and names."""
    if is_array(leaf) or isinstance(leaf, float | complex):
        return False
    return callable(leaf) or in_module


def as_array(value: Any, path: str, argument: bool = True) -> Any:
    """Raises ArgumentError for what is no array, RangeError for a Python integer that JAX's dtype does not hold.

    argument: whether it is one of a call; else it is stored, and there is no program that it could be part of."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value, path)
    array: Any = value if is_array(value) else np.asarray(value)
    if _is_number(array.dtype):
        return array
    table = is_array(value) or hasattr(value, "__array__")
    of_what = f" of numbers: it holds {array.dtype}" if table else f": {type(value).__name__}"
    todo = [
        "turn it into numbers first, such as by .astype(numpy.float32), or leave it out, as columns of text out of a "
        "table",
    ]
    if argument:
        todo.append("or make it part of the program, which all see: secure(static_argnames=...)")
    raise ArgumentError(
        f"{path} is not an array{of_what}", where=path, why="only arrays and numbers can be shared", todo=todo
    )


def _is_number(dtype: Any) -> bool:
    """A random key counts as one: it may be public."""
    code = _code(dtype)
    if code and code in "fiubcm":
        return code != "m"  # durations: to NumPy they are integers
    return any(jax.numpy.issubdtype(dtype, kind) for kind in (np.number, np.bool_, jax.dtypes.extended))


def _code(dtype: object) -> str:
    """The letter of a dtype of NumPy."""
    return dtype.kind if isinstance(dtype, np.dtype) else ""


def _integer(value: int, path: str) -> np.ndarray:
    dtype = jax.dtypes.canonicalize_dtype(np.int64)
    info = np.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise _beyond(path, 1, 1, dtype)
    return np.asarray(value, dtype)


def narrowed(value: Any, dtype: Any, path: str) -> Any:
    """The value in the dtype that JAX gives it, with jax_enable_x64 off a narrower one. Raises RangeError where that
    dtype does not hold a number of it; JAX would take another number, or infinity."""
    if value.dtype == dtype:
        return value
    host = np.asarray(value)
    if host.dtype.kind in "iu":
        info = np.iinfo(dtype)
        wrong = (host < info.min) | (host > info.max)
    else:
        with np.errstate(all="ignore"):
            wrong = np.isfinite(host) & ~np.isfinite(host.astype(dtype))
    if (count := int(np.count_nonzero(wrong))) > 0:
        raise _beyond(path, count, host.size, dtype)
    return value


def _beyond(path: str, count: int, size: int, dtype: Any) -> RangeError:
    todo = ["scale the values down"]
    if not _typed.settings.jax_enable_x64:
        todo.append("or switch 64-bit numbers on: jax.config.update('jax_enable_x64', True)")
    return RangeError(
        f"{path}: {count} of {size} elements cannot be held in {dtype}",
        where=path,
        why=f"JAX takes the argument as {dtype}, in which it would be another number",
        todo=todo,
    )
