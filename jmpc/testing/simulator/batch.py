"""A simulator's machine that carries thousands of runs of one program at once: every array has a leading axis of runs.

What goes in: an equation of a party program. What comes out: a function of arrays with that axis. The rules are those
of `numpy_rules.py`, with the equation's axes moved by one; any other primitive runs in JAX under `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.testing.simulator import numpy_rules
from jmpc.testing.simulator.lockstep import Machine
from jmpc.testing.simulator.tape import Function

Array = np.ndarray
Params = Mapping[str, Any]
NO_AXES = (
    *("add", "sub", "mul", "neg", "and", "or", "xor", "not"),
    *("shift_left", "shift_right_logical", "shift_right_arithmetic"),
    *("convert_element_type", "bitcast_convert_type", "optimization_barrier"),
)


class Batch(Machine):
    """`runs` runs at once. A constant is the same in each. watch: is called with each equation of a party's scopes and
    each of its results."""

    ahead = False  # a table would be held once for each run

    def __init__(self, runs: int, watch: Callable[[Any, Array], None] | None = None) -> None:
        super().__init__()
        self.runs, self.watch = (runs,), watch

    def constant(self, value: Any) -> Array:
        array = np.asarray(value)
        return np.broadcast_to(array, (*self.runs, *array.shape))

    def walked(self, eqn: Any) -> Function | None:
        compute, watch = super().walked(eqn), self.watch
        if compute is None or watch is None:
            return compute

        def watched(*values: Array) -> Sequence[Array]:
            outs = compute(*values)
            for out in outs:
                watch(eqn, out)
            return outs

        return watched

    def rule(self, eqn: Any) -> Function:
        name = eqn.primitive.name
        if numpy_rules.cuts(eqn) or (name not in NO_AXES and name not in MOVED):
            return lambda *values: _in_jax(eqn, *values)
        params = {**eqn.params, **MOVED[name](eqn.params, self.runs[0])} if name in MOVED else eqn.params
        compute, several = numpy_rules.RULES[name](params), eqn.primitive.multiple_results

        def rule(*values: Array) -> Sequence[Array]:
            if name == "pad":
                values = (values[0], values[1].reshape(-1, *[1] * (values[0].ndim - 1)))
            elif name in NO_AXES:
                values = _of_one_rank(values)
            return compute(*values) if several else [compute(*values)]

        return rule

    def row(self, stack: Array, n: int) -> Array:
        return stack[:, n]

    def stack(self, rows: Sequence[Array], shape: tuple[int, ...], dtype: Any) -> Array:
        return np.stack(rows, 1) if rows else np.zeros((*self.runs, *shape), dtype)


def _in_jax(eqn: Any, *values: Array) -> list[Array]:
    with _jax.x64():
        return [np.asarray(out) for out in jax.vmap(lambda *xs: _jax.bind(eqn, *xs))(*values)]


def _of_one_rank(values: Sequence[Array]) -> tuple[Array, ...]:
    """A number, which a jaxpr may join to an array, with as many axes as the array."""
    most = max(v.ndim for v in values)
    return tuple(v if v.ndim == most else v.reshape(v.shape[0], *[1] * (most - 1)) for v in values)


def _next(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


MOVED: dict[str, Callable[[Params, int], dict[str, Any]]] = {
    "slice": lambda p, runs: {
        "start_indices": (0, *p["start_indices"]),
        "limit_indices": (runs, *p["limit_indices"]),
        "strides": (1, *p["strides"]) if p["strides"] else None,
    },
    "squeeze": lambda p, runs: {"dimensions": _next(p["dimensions"])},
    "reshape": lambda p, runs: {"new_sizes": (runs, *p["new_sizes"])},
    "broadcast_in_dim": lambda p, runs: {
        "shape": (runs, *p["shape"]),
        "broadcast_dimensions": (0, *_next(p["broadcast_dimensions"])),
    },
    "pad": lambda p, runs: {"padding_config": ((0, 0, 0), *p["padding_config"])},
    "iota": lambda p, runs: {"shape": (runs, *p["shape"]), "dimension": p["dimension"] + 1},
    "concatenate": lambda p, runs: {"dimension": p["dimension"] + 1},
    "transpose": lambda p, runs: {"permutation": (0, *_next(p["permutation"]))},
    "rev": lambda p, runs: {"dimensions": _next(p["dimensions"])},
    "reduce_sum": lambda p, runs: {"axes": _next(p["axes"])},
    "reduce_or": lambda p, runs: {"axes": _next(p["axes"])},
}
