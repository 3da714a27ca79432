"""Secure against plain JAX, within the stated error.

What goes in: a JAX function and its arguments. What comes out: nothing, or an AssertionError with the worst element,
its bound, and a script that shows the difference again. Not here: protocols (`protocol_check.py`), many random
programs (`differential.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jmpc.api import Secured, secure
from jmpc.testing.compare import Tolerance, difference
from jmpc.testing.executors import executor
from jmpc.testing.snippet import call_snippet, config_text
from jmpc.testing.tolerance import units


def assert_secure_close(
    function: Callable[..., Any],
    *args: Any,
    tolerance: Tolerance | None = None,
    executors: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> None:
    """The secure function gives what `jax.jit` of the plain one gives, on each of the executors.

    args: arrays and pytrees, as the function takes them. options: those of `jmpc.secure` (inputs, public, config, ...).
    executors: "local", "mesh" (three devices in this process), "processes", and, quicker and without XLA, "simulated"
    and "meaning" (`executors.py`); by default where calls run already, or as `--jmpc-executor` says, or "local". seed:
    of the masks of simulated parties; others draw theirs from the operating system.

    tolerance: absolute error; a number, an array, or a list with one of these for each result. By default, for real
    numbers, u (1 + m) 2^-f: u units in the last place as counted over the program (1 for an input; a truncation adds
    1; sums and products add up; a sum of n terms counts sqrt(n) times; see `tolerance.py`), m the largest magnitude
    among the arguments and the result, f the fraction bits. Integers and bools must be equal.

    Raises AssertionError; and what `jmpc.secure` raises for a function that it refuses.
    """
    secured = secure(function, **options)
    expected = jax.jit(function, **_static(options))(*args)
    bound = stated(secured, args, expected) if tolerance is None else tolerance
    for name in executors or [None]:
        with executor(name, seed) as backend:
            got = secured(*args)
        fault = difference(got, expected, bound)
        if fault is not None:
            raise AssertionError(_message(secured, args, options, bound, f"{backend.name}, seed {seed}", fault))


def _static(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key.startswith("static_")}


def stated(secured: Secured, args: Sequence[Any], expected: Any) -> list[float]:
    """The default tolerance of each leaf of the result."""
    flow, config = secured.lower(*args).flow, secured.config
    by_output = units(list(flow.stages.values())[-1])
    found = []
    largest = max((_largest(x) for x in jax.tree.leaves(args)), default=0.0)
    for leaf, where in zip(jax.tree.leaves(expected), flow.frontier.outputs, strict=True):
        ulps = by_output[where] if isinstance(where, int) else 0.0
        real = jax.numpy.issubdtype(jax.numpy.asarray(leaf).dtype, np.floating)
        found.append((ulps + 1) * (1 + max(largest, _largest(leaf))) * 2.0**-config.f if real else 0.0)
    return found


def _largest(leaf: Any) -> float:
    """The largest finite magnitude; 0 for what is no number."""
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        return 0.0
    wide = np.abs(array.astype(np.float64))
    return float(wide[np.isfinite(wide)].max(initial=0.0))


def _message(
    secured: Secured, args: Sequence[Any], options: dict[str, Any], bound: Tolerance, where: str, fault: Any
) -> str:
    head = f"{secured.__name__} on {where}: {fault}\n{config_text(secured.config)}"
    return f"{head}\nto see it again:\n\n{call_snippet(secured.function, args, options, bound)}"
