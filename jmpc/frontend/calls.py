"""Jitted functions of JAX for which the front end has a better way than their bodies, by name.

What goes in: rules, registered by the names that JAX gives these functions, private ones that no user's function has.
What comes out: `CALLS`, for the walker. A rule may answer None: then the body is walked, so that a name that a version
of JAX no longer has costs speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jmpc import _jax

Rule = Callable[[Any, Any, list[Any]], Any]
CALLS: dict[str, Rule] = {}


def call_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register `function(walker, equation, operands)` for calls of these names."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in CALLS:
                raise ValueError(f"calls of {name} have a rule already")
            CALLS[name] = function
        return function

    return register


def primitives_within(eqn: Any) -> set[str]:
    """The names of the primitives in the body of a call, and in bodies and scans inside it."""
    body = _jax.scan_parts(eqn)["body"] if eqn.primitive.name == "scan" else _jax.body_of(eqn)
    if body is None:
        return {eqn.primitive.name}
    found = {eqn.primitive.name}
    for inner in _jax.closed(body)[0].eqns:
        found |= primitives_within(inner)
    return found
