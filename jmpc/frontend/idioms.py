"""Equations that together are one function of JAX, for which there is a better way than step by step.

What goes in: templates, traced from JAX's own functions, with their rules; and the jaxpr that is walked. What comes
out: where a run of its equations is a template's, to the last constant, so that a user's own function of that name is
never taken for it. An inner result that something else reads keeps the run as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.frontend.scope import Operand, Results

Rule = Callable[[Any, Any, list[Operand]], Results]
TEMPLATES: list[tuple[Callable[..., Any], int, Any, Rule]] = []
COMMUTATIVE = ("add", "mul", "max", "min")


def idiom(function: Callable[..., Any], operands: int = 1, dtype: Any = np.float32) -> Callable[[Rule], Rule]:
    """Register `rule(walker, equation, operands)` for what JAX makes of `function`; the equation is its last. dtype: of
    the operands, where its constants depend on it."""

    def register(rule: Rule) -> Rule:
        TEMPLATES.append((function, operands, dtype, rule))
        return rule

    return register


@dataclass(frozen=True)
class Template:
    """A run of equations. inputs: the variables of the operands."""

    eqns: Sequence[Any]
    inputs: Sequence[Any]
    rule: Rule

    @property
    def names(self) -> list[str]:
        return [e.primitive.name for e in self.eqns]


@dataclass(frozen=True)
class Match:
    first: int
    last: int
    inputs: Sequence[Any]
    rule: Rule


class Folding:
    """The matches in one jaxpr, as it is walked."""

    def __init__(self, jaxpr: Any) -> None:
        self.matches = {n: m for m in matches(jaxpr) for n in range(m.first, m.last + 1)}
        self.active: Match | None = None

    def hides(self, w: Any, position: int, read: Callable[[Any], Any]) -> bool:
        """Whether the equation is one of a match on secrets, and not its last."""
        match = self.matches.get(position)
        if match is None:
            return False
        if position == match.first:
            self.active = None if w.in_the_clear([read(a) for a in match.inputs]) else match
        return self.active is match and position < match.last

    def ended(self, w: Any, position: int, eqn: Any, read: Callable[[Any], Any]) -> list[Any] | None:
        """The result of the match on secrets that ends here, if one does."""
        match = self.active
        if match is None or position != match.last:
            return None
        return [match.rule(w, eqn, [read(a) for a in match.inputs])]


def matches(jaxpr: Any) -> Iterator[Match]:
    """Runs of equations that are a template's, none inside another."""
    eqns, at = jaxpr.eqns, 0
    if len(eqns) < 2:
        return
    names = [e.primitive.name for e in eqns]
    uses = Counter(id(v) for e in eqns for v in e.invars)
    uses.update(id(v) for v in jaxpr.outvars)
    while at < len(eqns):
        found = next((m for t in _templates() if (m := _match(t, eqns, names, at, uses))), None)
        if found:
            yield found
        at = found.last + 1 if found else at + 1


@lru_cache(maxsize=1)
def _templates() -> list[Template]:
    """Longest first: a part of one may be another."""
    return sorted((_template(*entry) for entry in TEMPLATES), key=lambda t: -len(t.eqns))


def _template(function: Callable[..., Any], operands: int, dtype: Any, rule: Rule) -> Template:
    """Traced as a user's function is, without the call around it and without a copy at its end."""
    with _jax.x64() if dtype == np.float64 else nullcontext():
        made = _jax.make_jaxpr(function, *[jax.ShapeDtypeStruct((2,), dtype)] * operands)
    jaxpr, _ = _jax.closed(_jax.without_dead_code(made))
    while len(jaxpr.eqns) == 1 and (body := _jax.body_of(jaxpr.eqns[0])) is not None:
        jaxpr, _ = _jax.closed(body)
    eqns = [e for e in jaxpr.eqns if e.primitive.name != "copy"]
    return Template(eqns, jaxpr.invars, rule)


def _match(template: Template, eqns: Sequence[Any], names: Sequence[str], at: int, uses: Counter[int]) -> Match | None:
    stop = at + len(template.eqns)
    if names[at:stop] != template.names:
        return None
    run, bound = eqns[at:stop], {}
    if not all(_same(t, e, bound) for t, e in zip(template.eqns, run, strict=True)):
        return None
    inner = Counter(id(v) for e in run for v in e.invars)
    if any(uses[id(v)] != inner[id(v)] for e in run[:-1] for v in e.outvars):
        return None
    return Match(at, stop - 1, [bound[id(v)] for v in template.inputs], template.rule)


def _same(template: Any, eqn: Any, bound: dict[int, Any]) -> bool:
    """Whether an equation is the template's, with the variables bound so far; binds its own."""
    if _jax.name_of(template) != _jax.name_of(eqn) or not _same_params(template.params, eqn.params):
        return False
    orders = [list(eqn.invars)]
    if eqn.primitive.name in COMMUTATIVE:
        orders.append(list(eqn.invars)[::-1])
    for order in orders:
        trial = dict(bound)
        if all(_same_atom(t, e, trial) for t, e in zip(template.invars, order, strict=True)):
            bound.update(trial)
            bound.update((id(t), e) for t, e in zip(template.outvars, eqn.outvars, strict=True))
            return True
    return False


def _same_atom(template: Any, atom: Any, bound: dict[int, Any]) -> bool:
    if isinstance(template, _jax.Literal):
        return isinstance(atom, _jax.Literal) and _same_number(template.val, atom.val)
    held = bound.setdefault(id(template), atom)
    if isinstance(held, _jax.Literal) or isinstance(atom, _jax.Literal):
        return held is atom
    return held is atom


def _same_number(want: Any, have: Any) -> bool:
    """As float32 has it: the template's constants are of that precision. Whole numbers are the same or not."""
    if np.ndim(have) != 0:
        return False
    if np.asarray(want).dtype.kind in "iu":
        return int(want) == int(have)
    return bool(np.float32(have) == np.float32(want))


def _same_params(template: Any, params: Any) -> bool:
    """Bodies by their equations, numbers by value; names, and functions that only gradients call, do not count."""
    for key, want in template.items():
        have = params.get(key)
        if hasattr(want, "eqns") or hasattr(want, "jaxpr"):
            if not same_bodies(want, have):
                return False
        elif isinstance(want, (int, float)) and have != want:
            return False
    return True


def same_bodies(want: Any, have: Any) -> bool:
    """Whether two jaxprs compute the same, equation by equation."""
    (a, _), (b, _) = _jax.closed(want), _jax.closed(have)
    if len(a.eqns) != len(b.eqns) or len(a.invars) != len(b.invars):
        return False
    bound: dict[int, Any] = {id(t): e for t, e in zip(a.invars, b.invars, strict=True)}
    if not all(_same(t, e, bound) for t, e in zip(a.eqns, b.eqns, strict=True)):
        return False
    return all(_same_atom(t, e, bound) for t, e in zip(a.outvars, b.outvars, strict=True))
