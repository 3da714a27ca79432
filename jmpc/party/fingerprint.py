"""Keys of compiled code: two pieces of a trace have equal keys only if they are the same code.

What goes in: equations, and names for what they read from outside. What comes out: a hash of a text that says all that
the equations hold, arrays by their bytes. A key also names code on disk, for other processes, so nothing in it depends
on where an object lies in memory. What cannot be said exactly (a function, an object that shows itself in part) gets a
mark that no other piece has: such code is compiled for itself alone.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np

from jmpc import _jax

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.dtype)
# Types of JAX whose objects show all that they hold: devices and shardings not chosen, and trees without leaves.
_SHOW_ALL = ("Mesh", "AbstractMesh", "UnspecifiedValue", "FTTuple")


def key_of(
    eqns: Sequence[Any], names: Mapping[Any, str], head: str, outputs: Sequence[Any], texts: dict[int, str]
) -> str:
    """The key of `eqns`. names: of the variables from outside; head: what else decides the code; texts: of parameters
    by identity, kept by the caller for as long as these live."""
    lines = _equations(eqns, found := dict(names), texts)
    return hashlib.sha256("\n".join([head, *lines, ",".join(found[v] for v in outputs)]).encode()).hexdigest()


def array_text(value: Any) -> str:
    """An array by dtype, shape and content."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        return _unlike_any()
    content = array.tobytes()
    return (
        f"{array.dtype.str}{array.shape}{content.hex() if len(content) <= 16 else hashlib.sha256(content).hexdigest()}"
    )


def _equations(eqns: Sequence[Any], names: dict[Any, str], texts: dict[int, str]) -> list[str]:
    """A line for each equation; `names` gains the variables that they make."""

    def atom(a: Any) -> str:
        return f"{array_text(a.val)}:{a.aval.dtype}" if isinstance(a, _jax.Literal) else names[a]

    lines: list[str] = []
    for eqn in eqns:
        names.update((v, f"v{len(names)}") for v in eqn.outvars)
        params = texts.get(id(eqn.params)) or texts.setdefault(id(eqn.params), _text(eqn.params))
        lines.append(f"{eqn.primitive.name}{params}({','.join(map(atom, eqn.invars))})")
    return lines


def _text(value: Any) -> str:
    """Any parameter of an equation."""
    kind = type(value).__name__
    if isinstance(value, _PLAIN):
        return f"{kind}:{value!r}"
    if isinstance(value, np.ndarray | np.generic):
        return array_text(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value).items()
        return f"{{{','.join(sorted(f'{k}={_text(v)}' for k, v in entries))}}}"
    if _jax.is_jaxpr(value):
        return _body(value)
    if isinstance(value, tuple | list):  # named tuples too: their fields have an order
        return f"{kind}({','.join(map(_text, cast('Sequence[Any]', value)))})"
    shown = repr(value)
    return shown if kind in _SHOW_ALL and " at 0x" not in shown else _unlike_any()


@lru_cache(maxsize=256)
def _body(value: Any) -> str:
    """A body, which JAX traces once for all its uses; its constants belong to it."""
    jaxpr, consts = _jax.closed(value)
    names = {v: f"i{n}:{v.aval.dtype}{v.aval.shape}" for n, v in enumerate(jaxpr.invars)}
    names.update((v, f"c{array_text(c)}") for v, c in zip(jaxpr.constvars, consts, strict=True))
    lines = _equations(jaxpr.eqns, names, {})
    outs = [array_text(a.val) if isinstance(a, _jax.Literal) else names[a] for a in jaxpr.outvars]
    return "\n".join([f"[{','.join(names[v] for v in jaxpr.invars)}", *lines, f"{','.join(outs)}]"])


def _unlike_any() -> str:
    return f"only {os.urandom(16).hex()}"
