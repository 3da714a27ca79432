"""Which primitives of JAX a secure function may hold, by what the catalogue's operations are made of.

What goes in: the entries that pass. What comes out: for each primitive of `jax.extend.core.primitives`, whether secrets
may go through it: yes, limited (how), no (why).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from jmpc import _jax
from jmpc.frontend import unsupported
from tests.operations.entry import Entry

LIMITED = {
    "cond": "a secret predicate computes all branches",
    "while": "a public predicate and a trip count known when compiling; else jmpc.bounded_while",
    "gather": "free with public indices, oblivious with secret ones",
    "pow": "see its domain",
    "random_bits": "of a public key; jmpc.random draws numbers that no party knows",
    "sort": "numbers without NaN",
}


def used(jaxpr: Any) -> Iterator[str]:
    """The names of all primitives of a jaxpr and the jaxprs in it."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
        whole = _jax.decomposition(eqn) if eqn.primitive.name == _jax.HIGH else None
        for body in _jax.bodies_of(eqn) if whole is None else [_jax.closed(whole)[0]]:
            yield from used(body)


def covered(entries: list[Entry]) -> dict[str, list[str]]:
    """By primitive, the operations of the catalogue that use it."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for name in sorted(set(used(jax.make_jaxpr(entry.function)(*entry.inputs()).jaxpr))):
            found.setdefault(name, []).append(entry.name)
    return found


def rows(entries: list[Entry]) -> list[tuple[str, str, str]]:
    """(primitive, "yes" or "limited" or "no", what to say of it)."""
    by_name = covered(entries)
    found = []
    for name in _jax.primitive_names():
        if name not in by_name and name in _jax.CALLS:
            found.append((name, "yes", "what it wraps"))
        elif name not in by_name:
            found.append((name, "no", unsupported.reason(name)))
        elif name in LIMITED:
            found.append((name, "limited", LIMITED[name]))
        else:
            found.append((name, "yes", ", ".join(by_name[name][:3])))
    return found
