"""A function, secure, against itself in plain JAX, within the stated error.

What goes in: a JAX function and its arguments. What comes out: nothing, or an AssertionError with the worst element,
its bound, and a script that shows the difference again. Not here: whether the function computes what it should;
protocols (`protocol_check.py`), many random programs (`differential.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jmpc.api import Secured
from jmpc.check.verify import verify_bounds
from jmpc.config import Config
from jmpc.errors import CheckError
from jmpc.testing.compare import Tolerance, difference
from jmpc.testing.executors import MEANING, SIMULATED, executor
from jmpc.testing.prepared import lowered_for, secured_once
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
    """The secure function gives what `jax.jit` of the plain one gives, on each of the executors, and rests on no bound
    that these arguments pass.

    A function is compared with itself: that it is the right function, no such comparison can say. Bounds, those that
    `jmpc.bounded` declares among them, are judged as check mode does (`Config(check=True)`), by the values that plain
    JAX has; one that does not hold is found also where the result happens to be right.

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
    secured = secured_once(function, options)
    expected = jax.jit(function, **_static(options))(*args)
    for name in executors or [None]:
        with executor(name, seed) as backend:
            got = secured(*args)
        bound = stated(secured, args, expected) if tolerance is None else tolerance
        fault = difference(got, expected, bound)
        if fault is not None:
            where = f"{backend.name}, seed {seed}"
            run = f"{name!r}, seed={seed}" if name in (MEANING, SIMULATED) else ""
            raise AssertionError(_message(secured, args, options, bound, where, fault, run))
    _require_bounds(secured, args, options)


def _require_bounds(secured: Secured, args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """That no value passes its bound."""

    def under(config: Config) -> list[Any]:
        with executor(SIMULATED):
            return jax.tree.leaves(secured.with_config(config)(*args))

    try:
        verify_bounds(lowered_for(secured, args), secured.bind(tuple(args), {}), under)
    except CheckError as error:
        checked = {**options, "config": secured.config.replace(check=True)}
        again = call_snippet(secured.function, args, checked, 0.0)
        raise AssertionError(f"{error}\nto see it again:\n\n{again}") from error


def _static(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key.startswith("static_")}


def stated(secured: Secured, args: Sequence[Any], expected: Any) -> list[float]:
    """The default tolerance of each leaf of the result."""
    flow, config = lowered_for(secured, args).flow, secured.config
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
    secured: Secured, args: Sequence[Any], options: dict[str, Any], bound: Tolerance, where: str, fault: Any, run: str
) -> str:
    head = f"{secured.__name__} on {where}: {fault}\n{config_text(secured.config)}"
    return f"{head}\nto see it again:\n\n{call_snippet(secured.function, args, options, bound, run)}"
