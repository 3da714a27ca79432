"""What stays public in a body of which only some operands are public.

What goes in: a jaxpr, and which of its operands are public. What comes out: which of its results are: those that the
walker computes in the clear. Where it is not sure it says no, which costs a protocol and is never wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jmpc import _jax
from jmpc.frontend.known import Known
from jmpc.ir.program import Value
from jmpc.numerics.language import draws


def is_public(x: Known | Value) -> bool:
    return isinstance(x, Known) and not x.owner


def public_results(jaxpr: Any, public: Sequence[bool]) -> list[bool]:
    """Which results of a body are public."""
    known = {v for v, p in zip(jaxpr.invars, public, strict=True) if p} | set(jaxpr.constvars)
    for eqn in jaxpr.eqns:
        given = [isinstance(a, _jax.Literal) or a in known for a in eqn.invars]
        known.update(v for v, p in zip(eqn.outvars, _of_equation(eqn, given), strict=True) if p)
    return [isinstance(v, _jax.Literal) or v in known for v in jaxpr.outvars]


def public_operands(jaxpr: Any, public: Sequence[bool], consts: int, carry: int) -> list[bool]:
    """Which operands of a loop's body are public in every iteration: the largest set of carries that only depends on
    itself."""
    public = list(public)
    while True:
        before = public[consts : consts + carry]
        after = [p and q for p, q in zip(before, public_results(jaxpr, public)[:carry], strict=True)]
        if after == before:
            return public
        public[consts : consts + carry] = after


def _of_equation(eqn: Any, given: list[bool]) -> list[bool]:
    if draws.is_draw(eqn):
        return [False] * len(eqn.outvars)
    if all(given) and not draws.draws_within(eqn):
        return [True] * len(eqn.outvars)
    body = _jax.body_of(eqn)
    if body is not None:
        jaxpr, _ = _jax.closed(body)
        return public_results(jaxpr, given[len(given) - len(jaxpr.invars) :])
    if eqn.primitive.name == "scan":
        parts = _jax.scan_parts(eqn)
        jaxpr, _ = _jax.closed(parts["body"])
        return public_results(jaxpr, public_operands(jaxpr, given, parts["consts"], parts["carry"]))
    return [False] * len(eqn.outvars)
