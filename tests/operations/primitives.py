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

ACROSS_DEVICES = "it works across devices of the user's own program; secrets live with the parties"
NO = {
    **dict.fromkeys(
        ("all_gather", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum", "ragged_all_to_all"),
        ACROSS_DEVICES,
    ),
    **dict.fromkeys(("after_all", "create_token"), "it orders side effects, of which a secure function has none"),
    **dict.fromkeys(("get", "swap"), "it reads and writes a mutable reference, which has no secure form"),
}
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
        for param in eqn.params.values():
            for part in param if isinstance(param, (tuple, list)) else (param,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from used(inner)


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
        if name not in by_name:
            found.append((name, "no", NO.get(name) or unsupported.reason(name)))
        elif name in LIMITED:
            found.append((name, "limited", LIMITED[name]))
        else:
            found.append((name, "yes", ", ".join(by_name[name][:3])))
    return found
