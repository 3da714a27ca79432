"""Functions of JAX for which the front end has a better way than their bodies, where they stay calls.

What goes in: rules, registered by the names that JAX gives these functions, private ones that no user's function has;
or by an example that calls one, whose body is then known to the last constant: of functions with a derivative of their
own (`custom_jvp`), and of jitted ones whose name a user's function might have. What comes out: `instead_of_body`, for
the walker. A rule may answer None: then the body is walked, so that a name or a body that a version of JAX no longer
has costs speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

import jax

from jmpc import _jax
from jmpc.frontend.idioms import same_bodies
from jmpc.frontend.scope import Operand, Results

Rule = Callable[[Any, Any, list[Operand]], Results | None]
R = TypeVar("R", bound=Rule)
RuleOfResults = Callable[[Any, list[Operand], tuple[bool, ...]], Sequence[Operand]]
CALLS: dict[str, Rule] = {}
EXAMPLES: list[tuple[Callable[..., Any], int, RuleOfResults]] = []
NAMED: dict[str, tuple[Callable[..., Any], Rule]] = {}
INSTEAD: dict[str, str] = {}


def call_rule(*names: str) -> Callable[[R], R]:
    """Register `function(walker, equation, operands)` for calls of these names."""

    def register(function: R) -> R:
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


def named_rule(example: Callable[..., Any], instead: str) -> Callable[[R], R]:
    """Register `function(walker, equation, operands)` for calls of this jitted function of JAX. instead: what to write
    where JAX has made something else of it."""

    def register(function: R) -> R:
        NAMED[example.__name__], INSTEAD[example.__name__] = (example, function), instead
        return function

    return register


def instead_of_body(w: Any, eqn: Any, args: list[Operand]) -> Results | None:
    """What a rule makes of a call, if one is for it."""
    if eqn.primitive.name == "custom_jvp_call":
        return _by_body(w, eqn, args)
    name = str(eqn.params.get("name", "")) if eqn.primitive.name in ("jit", "pjit") else ""
    function = CALLS.get(name) or _by_name(name, eqn)
    return None if function is None else function(w, eqn, args)


def _by_name(name: str, eqn: Any) -> Rule | None:
    """The rule for a function of JAX of this name, if it is that."""
    example, function = NAMED.get(name, (None, None))
    own = None if example is None else _own_body(example, tuple(v.aval for v in eqn.invars))
    if own is not None and same_bodies(own, _jax.body_of(eqn)):
        return function
    inside = primitives_within(eqn) if function is not None else set()
    return _refuse if "bitcast_convert_type" in inside and _jax.HIGH not in inside else None


def _refuse(w: Any, eqn: Any, args: list[Operand]) -> list[Operand]:
    """What a version of JAX makes of its function in a batch or a derivative, in the bits of floats."""
    name = eqn.params["name"]
    why = f"this version of JAX writes the batch or the derivative of {name} in the bits of floats"
    return w.refuse(eqn, args, f"{why}: {INSTEAD[name]}", name)


@lru_cache(maxsize=64)
def _own_body(example: Callable[..., Any], avals: tuple[Any, ...]) -> Any:
    """The body of JAX's own function for such operands; None where it takes no such ones, or is no jitted one."""
    wide = any(a.dtype.itemsize > 4 for a in avals)
    try:
        with _jax.x64() if wide else nullcontext():
            jaxpr, _ = _jax.closed(_jax.make_jaxpr(example, *avals))
    except (TypeError, ValueError):
        return None
    return _jax.body_of(jaxpr.eqns[-1]) if jaxpr.eqns and jaxpr.eqns[-1].primitive.name in ("jit", "pjit") else None


def _by_body(w: Any, eqn: Any, args: list[Operand]) -> Results | None:
    dtypes = {v.aval.dtype for v in eqn.invars}
    shape = (2,) if any(v.aval.shape for v in eqn.invars) else ()
    for number, (_, operands, function) in enumerate(EXAMPLES):
        if operands != len(args) or len(dtypes) != 1:
            continue
        for read, body in _bodies(number, shape, *dtypes):
            if sum(read) == len(eqn.outvars) and same_bodies(body, _jax.body_of(eqn)):
                return function(w, args, read)
    return None


@lru_cache(maxsize=64)
def _bodies(number: int, shape: tuple[int, ...], dtype: Any) -> list[tuple[tuple[bool, ...], Any]]:
    """The body in the example, and what is left of it where only some results are read. None of it where this version
    of JAX, or the dtype, has no such call."""
    example, operands, _ = EXAMPLES[number]
    try:
        with _jax.x64():
            spec = jax.ShapeDtypeStruct(shape, dtype)
            jaxpr, _ = _jax.closed(_jax.make_jaxpr(example, *[spec] * operands))
    except TypeError:
        return []
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
