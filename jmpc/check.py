"""Check mode: the same function in plaintext, equation by equation, beside the secure run.

What goes in: a lowered function, the call, and the opened value of every secret equation. What comes out: nothing, or
a CheckError that names the first operation whose result differs, and every value that passed its static bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.errors import CheckError
from jmpc.executors.sharing import open_summands, ring_of
from jmpc.frontend.walk import Note
from jmpc.ir.types import BITS, Type
from jmpc.ring import fixed


def verify(lowered: Any, call: Any, opened: Sequence[Any]) -> None:
    """Raises CheckError."""
    flow, config = lowered.flow, lowered.traced.secured.config
    notes: list[Note] = flow.frontier.notes
    start = len(flow.share.outputs) - len(notes)
    types = [v.type for v in flow.share.body.results]
    arrays = [_plain_argument(leaf, config) for leaf in call.leaves]
    plain = list(_plain_values(lowered.traced.jaxpr, arrays, flow.frontier.decisions))
    wrong: list[tuple[str, str]] = []
    wraps: list[tuple[str, str]] = []
    for n, (note, found) in enumerate(zip(notes, plain, strict=True)):
        expected = np.asarray(found, np.float64)
        if _beyond(expected, note.value.type):
            wraps.append((note.loc, f"{note.primitive}: a value passed its {note.value.type.origin} bound"))
        got = _numbers(opened[start + n], types[start + n], config, found.dtype)
        error = _distance(got, expected)
        if not error <= config.tolerance and not wrong:
            wrong.append((note.loc, f"{note.primitive}: the result differs from plaintext by {error:.3g}"))
    if wrong or wraps:
        first = (wrong or wraps)[0]
        raise CheckError(
            f"{lowered.traced.secured.__name__}: {first[1]}",
            where=first[0],
            why="; ".join(f"{what} at {loc}" for loc, what in wraps)
            or f"the tolerance is {config.tolerance:g}, absolute plus relative",
            todo=[
                "scale the values down, or declare a bound that holds (jmpc.bounded)",
                "use more fraction bits: Config(f=...)",
            ],
        )


def _distance(got: np.ndarray, expected: np.ndarray) -> float:
    """Absolute where the expected value is small, relative where it is large."""
    return float(np.max(np.abs(got - expected) / (1 + np.abs(expected)), initial=0.0))


def _plain_argument(leaf: Any, config: Any) -> Any:
    """The value of an argument; a handle's is opened, which this process can do since it simulates the parties."""
    if leaf.stored is None:
        return leaf.value
    kept, t = leaf.value.kept, leaf.value.type
    opened = open_summands([held[0] for held in kept.pieces], t, ring_of(config))
    return _numbers(opened, t, config, leaf.dtype).astype(leaf.dtype)


def _numbers(opened: Any, t: Type, config: Any, dtype: Any = np.float64) -> np.ndarray:
    """As float64. dtype: of the plain value; a secret integer may have left it, and its low bits count."""
    if t.form == BITS:
        return np.asarray(opened, np.float64)
    whole = np.dtype(dtype).kind in "iu"
    return fixed.decode(opened, t.scale, ring_of(config), np.dtype(dtype if whole else np.float64)).astype(np.float64)


def _beyond(expected: np.ndarray, t: Type) -> bool:
    return t.form != BITS and bool(np.any(np.abs(expected) > t.limit / 2**t.scale + 1e-6))


def _plain_values(jaxpr: Any, arrays: Sequence[Any], decisions: Sequence[Any]) -> Iterator[np.ndarray]:
    """The value of every noted equation, in the order in which the front end met them."""
    opened, consts = _jax.closed(jaxpr)
    found: list[np.ndarray] = []
    _run(opened, consts, [jax.numpy.asarray(a) for a in arrays], iter(decisions), found)
    return iter(found)


def _run(
    jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], decisions: Iterator[Any], found: list[Any]
) -> list[Any]:
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        values = [_jax.read(env, a) for a in eqn.invars]
        decision = next(decisions)
        if decision is None:
            body, body_consts = _body(eqn, values)
            outs = _run(body, body_consts, values[len(values) - len(body.invars) :], decisions, found)
        else:
            outs = _jax.bind(eqn, *values)
            found += [_wide(np.asarray(outs[n])) for n in decision]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [_jax.read(env, a) for a in jaxpr.outvars]


def _wide(array: np.ndarray) -> np.ndarray:
    """Integers as they are, the rest as float64."""
    return array if array.dtype.kind in "iu" else np.asarray(array, np.float64)


def _body(eqn: Any, values: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    if eqn.primitive.name == "cond":
        branches = eqn.params["branches"]
        return _jax.closed(branches[int(np.clip(int(values[0]), 0, len(branches) - 1))])
    body = _jax.body_of(eqn)
    assert body is not None
    return _jax.closed(body)
