"""A secure function that is called while JAX traces: inside another one it is part of that program; under a
transformation of JAX it is refused, with what to write instead.

What goes in: a secure function and a call. What comes out: the function around it, if there is one, or UserError.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import jax

from jmpc import _jax
from jmpc.arguments import Signature
from jmpc.config import Config
from jmpc.errors import ConfigError, UnsupportedError
from jmpc.frontend.trace import callers_line
from jmpc.prefixes import names_in
from jmpc.roles import Role


@dataclass
class Outer:
    """The secure function that is being traced. given: the owner of each of its arguments, by the identity of its
    tracer.  made: the results of secure functions called in it, with their receivers."""

    name: str
    config: Config
    owners: frozenset[str]
    given: dict[int, str] = field(default_factory=dict[int, str])
    made: dict[int, tuple[Any, str, tuple[str, ...]]] = field(
        default_factory=dict[int, tuple[Any, str, tuple[str, ...]]], repr=False
    )

    @property
    def key(self) -> Any:
        """What traces of jitted functions depend on: JAX must not take one for another."""
        return self.config, self.owners


_outer: ContextVar[Outer | None] = ContextVar("jmpc_outer", default=None)


def current() -> Outer | None:
    return _outer.get()


@contextmanager
def tracing(outer: Outer) -> Generator[None]:
    token = _outer.set(outer)
    try:
        with _jax.traced_for(outer.key):
            yield
    finally:
        _outer.reset(token)


def check_fits(
    outer: Outer, name: str, signature: Signature, config: Config | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raises ConfigError where the function that is called asks for what the one around it does not do. config: its
    own; None if it has none."""
    if config is not None and config != outer.config:
        raise _misfit(outer, name, "config", f"it has {config}", f"the one around it has {outer.config}")
    named = {n for n in (*names_in(signature.inputs), *names_in(signature.outputs)) if isinstance(n, str)}
    if unknown := named - outer.owners - {Role.CALLER, Role.SECRET}:
        who = ", ".join(sorted(unknown))
        known = ", ".join(sorted(outer.owners - {Role.SECRET}))
        raise _misfit(outer, name, "inputs", f"it names {who}", f"the owners of the one around it are {known}")
    for path, owner, value in signature.inlined(args, kwargs):
        held = outer.given.get(id(value), owner)
        if Role.CALLER != owner != held:
            around = f"{held}'s" if held else "public"
            raise _misfit(outer, name, "inputs", f"{path} is {owner}'s", f"in the one around it, it is {around}")


def _misfit(outer: Outer, name: str, key: str, inner: str, around: str) -> ConfigError:
    return ConfigError(
        f"{name} does not fit into {outer.name}: {inner}, and {around}",
        where=callers_line() or f"secure({key}=...)",
        why="a secure function that is called inside another is a part of it: one program, with one configuration",
        todo=[f"say the same in both: secure({key}=...)", f"or call the plain function: {name}.function"],
    )


def note_results(outer: Outer, name: str, result: Any, receivers: Sequence[tuple[str, ...]]) -> None:
    for leaf, names in zip(jax.tree.leaves(result), receivers, strict=True):
        if _jax.is_traced(leaf):
            outer.made[id(leaf)] = leaf, name, names


def check_results(outer: Outer, result: Any, receivers: Sequence[tuple[str, ...]]) -> None:
    """Raises ConfigError where a result that an inner function keeps for some goes to others as it is."""
    for leaf, names in zip(jax.tree.leaves(result), receivers, strict=True):
        _, name, wanted = outer.made.get(id(leaf), (None, "", names))
        told = set(names) - set(wanted) - {Role.SECRET}
        if told and set(wanted) != {Role.CALLER} and Role.SECRET not in wanted:
            inner, around = f"its result is for {', '.join(wanted)}", f"here it is for {', '.join(names)}"
            raise _misfit(outer, name, "outputs", inner, around)


INSIDE = {
    "vmap": "put vmap inside: jmpc.secure(jax.vmap({name}.function))",
    "grad": "put the gradient inside: jmpc.secure(jax.grad(...)), whose result is secret as well",
    "jit": "call it outside of jax.jit: a secure function is compiled for each set of shapes as it is",
    "lax.scan": "put the loop inside: jmpc.secure(...) of the function that calls jax.lax.scan",
    "lax.cond": "put the choice inside: jmpc.secure(...) of the function that calls jax.lax.cond",
    "lax.while_loop": "put the loop inside: jmpc.secure(...) of the function that calls jmpc.bounded_while",
    "eval_shape": "ask the stages: {name}.trace(...).out_info",
    "make_jaxpr": "ask the stages: {name}.trace(...).jaxpr",
}
AT_WORK = {
    **dict.fromkeys(("scan", "fori_loop", "map", "associative_scan"), "lax.scan"),
    **dict.fromkeys(("cond", "switch"), "lax.cond"),
    "while_loop": "lax.while_loop",
    "eval_shape": "eval_shape",
    "make_jaxpr_f": "make_jaxpr",
}  # by the name of a function of JAX


def refuse_tracers(name: str, args: Any) -> None:
    """Raises UnsupportedError where JAX is tracing, but no secure function."""
    if current() is not None:
        raise UnsupportedError(
            f"a stage of {name} inside the secure function {current().name}",  # pyright: ignore[reportOptionalMemberAccess]
            where=callers_line(),
            why="stages are programs of their own, and while JAX traces there are no values to run on",
            todo=f"call {name} itself: then it is a part of the program around it",
        )
    tracer = next((leaf for leaf in jax.tree.leaves(args) if _jax.is_traced(leaf)), None)
    if tracer is None and not _jax.is_tracing():
        return
    kind = _jax.transformation(tracer) or _from_stack()
    raise UnsupportedError(
        f"{name} is a secure function, and is called inside jax.{kind}",
        where=callers_line(),
        why="it runs as three programs with messages between them, and while JAX traces there are no values to run on",
        todo=[INSIDE[kind].format(name=name), f"or give JAX the plain function, in the clear: {name}.function"],
    )


def _from_stack() -> str:
    """Which function of JAX is at work, by the frames around the call; "jit" if none is known."""
    frame = inspect.currentframe()
    while frame is not None:
        called = AT_WORK.get(frame.f_code.co_name)
        if called is not None and str(frame.f_globals.get("__name__", "")).startswith("jax."):
            return called
        frame = frame.f_back
    return "jit"
