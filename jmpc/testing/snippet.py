"""Values, functions and calls as Python text, for snippets that run.

What goes in: arrays, configurations, a function with its arguments. What comes out: text that gives them back exactly,
in terms of `jax`, `jnp`, `np` and `jmpc`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jmpc.config import Config

HEAD = """\
import jax
import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.testing import assert_close
"""


def config_text(config: Config) -> str:
    """`jmpc.Config(...)` with what differs from the default."""
    changed = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    given = ", ".join(f"{name}={value!r}" for name, value in changed.items() if value != getattr(Config(), name))
    return f"jmpc.Config({given})"


def array_text(array: Any) -> str:
    """An array: all elements, or one number for all."""
    x = np.asarray(array)
    dtype = "np.bool_" if x.dtype == bool else f"np.{x.dtype.name}" if hasattr(np, x.dtype.name) else f"jnp.{x.dtype}"
    flat = x.reshape(-1)
    if x.size == 0:
        return f"np.zeros({x.shape}, {dtype})"
    if x.size > 1 and flat.tobytes() == flat[:1].tobytes() * x.size:  # 0.0 and -0.0 compare as equal
        return f"np.full({x.shape}, {_number(flat[0].item())}, {dtype})"
    return f"np.array({_number(x.tolist())}, {dtype})"


def _number(value: Any) -> str:
    return repr(value).replace("nan", "np.nan").replace("inf", "np.inf")


def value_text(value: Any) -> str:
    """A pytree of dicts, lists, tuples, arrays and plain values."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {value_text(v)}" for key, v in value.items()) + "}"
    if type(value) is tuple:
        return "(" + "".join(f"{value_text(v)}, " for v in value) + ")"
    if type(value) is list:
        return "[" + ", ".join(value_text(v) for v in value) + "]"
    if isinstance(value, Config):
        return config_text(value)
    if hasattr(value, "dtype"):
        return array_text(value)
    return _number(value) if isinstance(value, float | complex) else repr(value)


def options_text(options: Mapping[str, Any]) -> str:
    """Keyword arguments behind others."""
    return "".join(f", {key}={value_text(value)}" for key, value in options.items())


def function_text(function: Callable[..., Any], wanted: str = "function") -> str:
    """What defines `function` under the name that is wanted: an import, its source, or a remark that it cannot be
    had."""
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", None) or ""
    if getattr(np, getattr(function, "__name__", ""), None) is function:
        name, module = function.__name__, "numpy"
    importable = name.isidentifier() and module not in ("", "__main__")
    if importable and "<" not in name:
        return f"from {module} import {name}" + (f" as {wanted}\n" if name != wanted else "\n")
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return f"{wanted} = ...  # put the definition of {name or function!r} here\n"
    return _from_source(source, name.rsplit(".", 1)[-1], wanted)


def _from_source(source: str, name: str, wanted: str) -> str:
    if name != "<lambda>":
        return f"\n{source}\n\n" + (f"{wanted} = {name}\n" if name != wanted else "")
    try:
        found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Lambda)]
    except SyntaxError:
        found = []
    if len(found) == 1:
        return f"{wanted} = {ast.unparse(found[0])}\n"
    return f"# put the lambda here:\n{wanted} = ...\n" + textwrap.indent(source, "# ")


def call_snippet(
    function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any], tolerance: Any, run: str = ""
) -> str:
    """A script that compares the secure function with `jax.jit`, within `tolerance`. run: the executor and its seed, as
    arguments of `jmpc.testing.executor`; where calls run by themselves if there are none."""
    if hasattr(function, "as_script"):
        return function.as_script()  # pyright: ignore[reportFunctionMemberAccess]
    static = {key: value for key, value in options.items() if key.startswith("static_")}
    return (
        f"{HEAD}\n\n{function_text(function)}\nargs = {value_text(tuple(args))}\n"
        f"expected = jax.jit(function{options_text(static)})(*args)\n"
        f"{_call_under(run)}got = jmpc.secure(function{options_text(options)})(*args)\n"
        f"assert_close(got, expected, tolerance={value_text(tolerance)})\n"
    )


def _call_under(run: str) -> str:
    return f"from jmpc.testing import executor\n\nwith executor({run}):\n    " if run else ""
