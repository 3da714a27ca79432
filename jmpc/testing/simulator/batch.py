"""A simulator's machine that carries thousands of runs of one program at once: every array has a leading axis of runs.

What goes in: an equation of a party program and arrays with that axis. What comes out: the same. The rules are those of
`numpy_rules.py`, with the equation's axes moved by one; any other primitive runs in JAX under `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.testing.simulator import numpy_rules
from jmpc.testing.simulator.lockstep import Machine

Array = np.ndarray
Params = Mapping[str, Any]
NO_AXES = (
    *("add", "sub", "mul", "neg", "and", "or", "xor", "not"),
    *("shift_left", "shift_right_logical", "shift_right_arithmetic"),
    *("convert_element_type", "bitcast_convert_type", "optimization_barrier"),
)


class Batch(Machine):
    """`runs` runs at once. A constant is the same in each. watch: is called with each equation and result."""

    def __init__(self, runs: int, watch: Callable[[Any, Array], None] | None = None) -> None:
        self.runs, self.watch = (runs,), watch

    def constant(self, value: Any) -> Array:
        array = np.asarray(value)
        return np.broadcast_to(array, (*self.runs, *array.shape))

    def read(self, env: dict[Any, Array], atom: Any) -> Array:
        found = numpy_rules.read(env, atom)
        return self.constant(found) if isinstance(atom, _jax.Literal) else found

    def bind(self, eqn: Any, *values: Array) -> list[Array]:
        outs = self._bind(eqn, *values)
        for out in outs if self.watch else ():
            self.watch(eqn, out)  # pyright: ignore[reportOptionalCall]
        return outs

    def _bind(self, eqn: Any, *values: Array) -> list[Array]:
        name = eqn.primitive.name
        if name == "scan":
            return self._scan(_jax.scan_parts(eqn), values)
        body = _jax.body_of(eqn)
        if body is not None:
            return self._call(body, values)
        cuts = name == "pad" and any(min(triple) < 0 for triple in eqn.params["padding_config"])
        if cuts or (name not in NO_AXES and name not in MOVED):
            with _jax.x64():
                return [np.asarray(out) for out in jax.vmap(lambda *xs: _jax.bind(eqn, *xs))(*values)]
        params = {**eqn.params, **MOVED[name](eqn.params, self.runs[0])} if name in MOVED else eqn.params
        if name == "pad":
            values = (values[0], values[1].reshape(-1, *[1] * (values[0].ndim - 1)))
        elif name in NO_AXES:
            values = _of_one_rank(values)
        with np.errstate(over="ignore"):
            out = numpy_rules.RULES[name](params, *values)
        return list(out) if eqn.primitive.multiple_results else [np.asarray(out)]

    def _call(self, body: Any, values: Sequence[Array]) -> list[Array]:
        jaxpr, consts = _jax.closed(body)
        env = dict(zip(jaxpr.constvars, map(self.constant, consts), strict=True))
        env.update(zip(jaxpr.invars, values, strict=True))
        for eqn in jaxpr.eqns:
            env.update(zip(eqn.outvars, self._bind(eqn, *(self.read(env, a) for a in eqn.invars)), strict=True))
        return [self.read(env, a) for a in jaxpr.outvars]

    def _scan(self, parts: Params, values: Sequence[Array]) -> list[Array]:
        consts, carried, length = parts["consts"], parts["carry"], parts["length"]
        carry, rows = list(values[consts : consts + carried]), []
        for step in range(length)[:: -1 if parts["reverse"] else 1]:
            inputs = [*values[:consts], *carry, *(a[:, step] for a in values[consts + carried :])]
            out = self._call(parts["body"], inputs)
            carry = out[:carried]
            rows.append(out[carried:])
        rows = rows[::-1] if parts["reverse"] else rows
        return [*carry, *(np.stack(column, 1) for column in zip(*rows, strict=True))]

    def row(self, stack: Array, n: int) -> Array:
        return stack[:, n]

    def stack(self, rows: Sequence[Array], shape: tuple[int, ...], dtype: Any) -> Array:
        return np.stack(rows, 1) if rows else np.zeros((*self.runs, *shape), dtype)


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
