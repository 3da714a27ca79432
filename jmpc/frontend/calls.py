"""Functions of JAX for which the front end has a better way than their bodies, where they stay calls.

What goes in: rules, registered by the names that JAX gives these functions, private ones that no user's function has;
or, of functions with a derivative of their own (`custom_jvp`), by an example that calls one, whose body is then known
to the last constant. What comes out: `instead_of_body`, for the walker. A rule may answer None: then the body is
walked, so that a name or a body that a version of JAX no longer has costs speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import jax

from jmpc import _jax
from jmpc.frontend.idioms import same_bodies

Rule = Callable[[Any, Any, list[Any]], Any]
RuleOfResults = Callable[[Any, list[Any], tuple[bool, ...]], list[Any]]
CALLS: dict[str, Rule] = {}
EXAMPLES: list[tuple[Callable[..., Any], int, RuleOfResults]] = []


def call_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register `function(walker, equation, operands)` for calls of these names."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in CALLS:
                raise ValueError(f"calls of {name} have a rule already")
            CALLS[name] = function
        return function

    return register


def body_rule(example: Callable[..., Any], operands: int) -> Callable[[RuleOfResults], RuleOfResults]:
    """Register `function(walker, operands, read)` for the function with a derivative of its own that `example` calls,
    in versions of JAX where it does. read: which of its results something reads; those alone are wanted."""

    def register(function: RuleOfResults) -> RuleOfResults:
        EXAMPLES.append((example, operands, function))
        return function

    return register


def instead_of_body(w: Any, eqn: Any, args: list[Any]) -> list[Any] | None:
    """What a rule makes of a call, if one is for it."""
    if eqn.primitive.name == "custom_jvp_call":
        return _by_body(w, eqn, args)
    function = CALLS.get(str(eqn.params.get("name", ""))) if eqn.primitive.name in ("jit", "pjit") else None
    return None if function is None else function(w, eqn, args)


def _by_body(w: Any, eqn: Any, args: list[Any]) -> list[Any] | None:
    dtypes = {v.aval.dtype for v in eqn.invars}
    for number, (_, operands, function) in enumerate(EXAMPLES):
        if operands != len(args) or len(dtypes) != 1:
            continue
        for read, body in _bodies(number, *dtypes):
            if sum(read) == len(eqn.outvars) and same_bodies(body, _jax.body_of(eqn)):
                return function(w, args, read)
    return None


@lru_cache(maxsize=64)
def _bodies(number: int, dtype: Any) -> list[tuple[tuple[bool, ...], Any]]:
    """The body in the example, and what is left of it where only some results are read. None of it where this version
    of JAX, or the dtype, has no such call."""
    example, operands, _ = EXAMPLES[number]
    with _jax.x64():
        spec = jax.ShapeDtypeStruct((2,), dtype)
        jaxpr, _ = _jax.closed(_jax.make_jaxpr(example, *[spec] * operands))
    body = next(_with_derivative(jaxpr.eqns), None)
    if body is None:
        return []
    opened, _ = _jax.closed(body)
    wanted = [read for read in product((True, False), repeat=len(opened.outvars)) if any(read)]
    return [(read, _jax.live_part(opened, read, [True] * operands)[0]) for read in wanted]


def _with_derivative(eqns: Sequence[Any]) -> Iterator[Any]:
    for eqn in eqns:
        body = _jax.body_of(eqn)
        if eqn.primitive.name == "custom_jvp_call":
            yield body
        elif body is not None:
            yield from _with_derivative(_jax.closed(body)[0].eqns)


def primitives_within(eqn: Any) -> set[str]:
    """The names of the primitives in the body of a call, and in bodies and scans inside it."""
    body = _jax.scan_parts(eqn)["body"] if eqn.primitive.name == "scan" else _jax.body_of(eqn)
    if body is None:
        return {eqn.primitive.name}
    found = {eqn.primitive.name}
    for inner in _jax.closed(body)[0].eqns:
        found |= primitives_within(inner)
    return found
