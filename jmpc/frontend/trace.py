"""Tracing a user's function, and what can go wrong in it.

What goes in: a function of flat arrays and their shapes. What comes out: its jaxpr, without what no result reads, as
`jax.jit` drops it. What JAX raises because a secret has no value becomes SecretBranchError; what it raises because
shapes or dtypes do not fit becomes ArgumentError; what the user's own code raises passes through.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jmpc import _jax
from jmpc.errors import ArgumentError, JMPCError, SecretBranchError, UnsupportedError
from jmpc.numerics.language import draws

_NO_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
_SLICES = ("slice indices must have static start", "Slice entries must be static integers")  # of JAX 0.12, and before
LIBRARIES = ("jax", "jmpc", "numpy")


def trace(function: Callable[..., Any], name: str, specs: Sequence[Any], paths: Sequence[str]) -> tuple[Any, Any]:
    """The jaxpr of `function`, and the shape of its result. paths: of its arguments, for messages."""
    drawn = draws.made()
    try:
        jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(*specs)
    except _NO_VALUE as error:
        raise _branch(error, name) from error
    except JMPCError as error:
        if error.where:
            raise
        raise type(error)(error.what, where=user_line(error), why=error.why, todo=error.todo) from error
    except (TypeError, ValueError, IndexError, AssertionError) as error:
        if draws.made() > drawn and _comes_of_a_draw(error):
            raise _drawn(error, name) from error
        if not _raised_by_jax(error) or isinstance(error, AssertionError):
            raise
        if any(text in str(error) for text in _SLICES):
            raise _secret_slice(error, name) from error
        if "Shapes must be 1D sequences of concrete values" in str(error):
            raise _secret_shape(error, name) from error
        raise _misfit(error, name, specs, paths) from error
    return _jax.without_dead_code(jaxpr), shape


def check_result(result: Any, name: str) -> Any:
    """The result of the user's function. Raises ArgumentError where a leaf of it is no array."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, bool | int | float | complex):
            raise ArgumentError(
                f"{name}: the result holds a {type(leaf).__name__}",
                where=f"result{jax.tree_util.keystr(path)}",
                why="a result is a pytree of arrays",
                todo="return arrays, or numbers",
            )
    return result


def _branch(error: Exception, name: str) -> SecretBranchError:
    return SecretBranchError(
        f"{name}: Python looks at the value of a secret ({_first_line(error)})",
        where=user_line(error),
        why="if, bool(), int(), float(), an index or NumPy needs the value, and there is none while JAX traces",
        todo=[
            "use jnp.where, jnp.maximum or jax.lax.cond; for x[mask], jnp.where(mask, x, 0)",
            "for a function of NumPy, that of jax.numpy; for unique, nonzero and their like, size=...",
            "for a loop, jax.lax.fori_loop with Python integers, or jmpc.bounded_while",
            "or make an argument that all may know part of the program: secure(static_argnames=...)",
        ],
    )


def _secret_slice(error: Exception, name: str) -> SecretBranchError:
    return SecretBranchError(
        f"{name}: a slice begins or ends at a value that is not known while tracing",
        where=user_line(error),
        why="how long a slice is, is a shape, and shapes are part of the program: everybody sees them",
        todo=[
            "for a part of known length, jax.lax.dynamic_slice_in_dim(x, start, length)",
            "for a length that is secret, keep all and mask the rest: jnp.where(jnp.arange(len(x)) < n, x, 0)",
            "or make the number part of the program: secure(static_argnames=...)",
        ],
    )


def _secret_shape(error: Exception, name: str) -> SecretBranchError:
    return SecretBranchError(
        f"{name}: a shape depends on a value that is not known while tracing",
        where=user_line(error),
        why="shapes are part of the program: everybody sees them",
        todo=[
            "take the largest shape that can occur, and mask what is unused with jnp.where",
            "or make the number part of the program: secure(static_argnames=...)",
        ],
    )


def _comes_of_a_draw(error: Exception) -> bool:
    """Of jacfwd and hessian JAX says that a result is batched which must not be; of a while loop under a checkpoint it
    says nothing: an assertion of its own, on a line that is none of the user's assertions."""
    file, _, rest = user_line(error).rpartition(":")
    own = "assert" in linecache.getline(file, int(rest.split(" ")[0] or 0)) if file else False
    return "out_axes" in str(error) if isinstance(error, ValueError) else isinstance(error, AssertionError) and not own


def _drawn(error: Exception, name: str) -> UnsupportedError:
    return UnsupportedError(
        f"{name}: JAX cannot transform a function that draws with jmpc.random so",
        where=user_line(error),
        why="each example of a vmap draws for itself, so that jacfwd and hessian meet as many draws as there are "
        "directions; and a checkpoint cannot keep what a while loop drew",
        todo="draw outside of what is transformed, and pass in what was drawn",
    )


def _misfit(error: Exception, name: str, specs: Sequence[Any], paths: Sequence[str]) -> ArgumentError:
    given = ", ".join(f"{path}: {spec.dtype}{list(spec.shape)}" for path, spec in zip(paths, specs, strict=True))
    return ArgumentError(
        f"{name}: {_first_line(error)}",
        where=user_line(error),
        why=f"JAX refuses the function for these arguments: {given}"[:2000],
        todo="check the shapes and dtypes of the arguments",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """(top package, `file:line (function)`) of each frame, the outermost first."""
    found, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        package = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        found.append((package, f"{code.co_filename}:{trace.tb_lineno} ({code.co_name})"))
        trace = trace.tb_next
    return found


def user_line(error: BaseException) -> str:
    """The innermost frame outside JAX, NumPy and jmpc."""
    return next((place for package, place in reversed(_frames(error)) if package not in LIBRARIES), "")


def callers_line() -> str:
    """`file:line (function)` of the innermost frame outside JAX, NumPy and jmpc that is running now."""
    frame = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).split(".")[0] not in LIBRARIES:
            return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back
    return ""


def _raised_by_jax(error: BaseException) -> bool:
    """Its frames may be hidden: then ours, which calls it, is the innermost."""
    return _frames(error)[-1][0] in ("jax", "jmpc")
