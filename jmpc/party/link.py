"""Trace each distinct op once, and put copies of its equations in place: a deep program costs what its layers cost.

What goes in: functions over arrays, each under a key that says all it depends on. What comes out: the equations of a
scope, in order, over variables of their own. A copy carries the number of its op in the names of its masks, exchanges
and loops. Nothing here knows what an op means.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc import _jax, _typed
from jmpc._types import Array
from jmpc.errors import UnsupportedError
from jmpc.recent import Recent

Spec = tuple[tuple[int, ...], Any]
NAMED = ("mask", "exchange", "party_loop")
VERDICT = "verdict"
WORDS = {VERDICT: "verify"}  # where a protocol says another word than the equation
LEAVES = ("exchange", "party_loop")
KEPT = 4096  # templates: some kilobytes each
_templates: Recent[Hashable, tuple[Any, Sequence[Any]]] = Recent(KEPT)


@dataclass(eq=False, slots=True)
class Variable:
    aval: Any


@dataclass(eq=False, slots=True)
class Equation:
    primitive: Any
    params: dict[str, Any]
    invars: Sequence[Any]
    outvars: Sequence[Any]
    effects: Any
    source_info: Any


@dataclass(eq=False)
class Linked:
    """Equations of one scope, as a jaxpr has them. values: of the constants.  verdicts: whose bits stop the party."""

    invars: list[Variable]
    eqns: list[Equation] = field(default_factory=list[Equation])
    outvars: list[Any] = field(default_factory=list[Any])
    values: dict[Variable, Any] = field(default_factory=dict[Variable, Any], repr=False)
    masks: set[Variable] = field(default_factory=set[Variable])
    verdicts: list[Variable] = field(default_factory=list[Variable])

    @property
    def constvars(self) -> list[Variable]:
        return list(self.values)

    def call(
        self, key: Hashable | None, function: Callable[..., Sequence[Any]], args: Sequence[Variable], op: int
    ) -> list[Variable]:
        """The results of `function` on `args`, under the op's number. key: None for a function that is used once."""
        jaxpr, consts = template(key, function, args)
        env: dict[Any, Any] = dict(zip(jaxpr.invars, args, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            env[var] = Variable(var.aval)
            self.values[env[var]] = value
        for eqn in jaxpr.eqns:
            self._copy(eqn, env, op)
        return [env[v] for v in jaxpr.outvars]

    def _copy(self, eqn: Any, env: dict[Any, Any], op: int) -> None:
        name = eqn.primitive.name
        if name == VERDICT:
            env[eqn.outvars[0]] = self.held(env[eqn.invars[0]])
            self.verdicts.append(env[eqn.outvars[0]])
            return
        invars = [a if isinstance(a, _jax.Literal) else env[a] for a in eqn.invars]
        invars = [self.held(v) for v in invars] if name in LEAVES else invars
        params = _numbered(eqn.params, op) if name in NAMED else eqn.params
        outvars = [Variable(v.aval) for v in eqn.outvars]
        env.update(zip(eqn.outvars, outvars, strict=True))
        if name == "mask":
            self.masks.update(outvars)
        self.eqns.append(Equation(eqn.primitive, params, invars, outvars, eqn.effects, eqn.source_info))

    def held(self, v: Variable) -> Variable:
        """`v` as the result of a local equation: executors hold no mask and no constant by itself."""
        if v not in self.masks and v not in self.values:
            return v
        shape, dtype = v.aval.shape, v.aval.dtype
        return self.call(("held", shape, dtype), _barrier, [v], 0)[0]


def _barrier(x: Array) -> list[Array]:
    return [_typed.optimization_barrier(x)]


def forget() -> None:
    """Trace anew from here on: for tests that change what a protocol does."""
    _templates.clear()


def _numbered(params: dict[str, Any], op: int) -> dict[str, Any]:
    """A mask and an exchange are named (op, n), a loop by its op."""
    name = params["name"]
    return {**params, "name": (op, name[1]) if isinstance(name, tuple) else op}


def _refuse_words_inside(eqn: Any) -> None:
    """Raises UnsupportedError for a word of the party in the body of an equation. Nobody would meet there, no verdict
    would stop anybody, and what JAX traces once and uses twice would draw the same mask twice."""
    if eqn.primitive.name == "party_loop":
        return
    inner = [e for body in _jax.bodies_of(eqn) for e in body.eqns]
    for found in inner:
        name = found.primitive.name
        if name in (*NAMED, VERDICT):
            raise UnsupportedError(
                f"a protocol says `{WORDS.get(name, name)}` inside jax's {eqn.primitive.name}",
                where=_jax.users_line(found) or _jax.where(found),
                why="what parties draw, send and check has its place in the program, which is not known in there",
                todo="say it outside, and give jax.jit, jax.lax.cond and loops of JAX arrays alone",
            )
        _refuse_words_inside(found)


def template(key: Hashable | None, function: Callable[..., Sequence[Any]], args: Sequence[Any]) -> tuple[Any, Any]:
    """(jaxpr, constants) of a function; results are variables, never literals."""
    if key is not None and (found := _templates.get(key)) is not None:
        return found
    avals = [_jax.aval(v.aval.shape, v.aval.dtype) for v in args]
    made = _jax.closed(_jax.make_jaxpr(lambda *xs: [_jax.staged(x) for x in function(*xs)], *avals))
    for eqn in made[0].eqns:
        _refuse_words_inside(eqn)
    if key is not None:
        _templates.put(key, made)
    return made
