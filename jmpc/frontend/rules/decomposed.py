"""Primitives without a rule, by what JAX itself computes them by.

What goes in: an equation with a secret operand, of a primitive that has no rule. What comes out: its results, walked
inline in the primitives that JAX puts in its place when it compiles; so a primitive that a version of JAX adds is what
it was made of before. Where JAX has nothing to put there, or that holds something without a secure form, the primitive
is refused under its own name, not under those of its inside.
"""

from __future__ import annotations

from typing import Any

from jmpc import _jax
from jmpc.errors import JMPCError, SecretBranchError, UnsupportedError
from jmpc.frontend import unsupported
from jmpc.frontend.kinds import constant
from jmpc.frontend.walk import Operand, Walker, rule


@rule("(decomposed)")
def _decomposed(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    body = _jax.decomposition(eqn)
    if body is None:
        return w.refuse(eqn, args)
    before, outs, choice = dict(w.shared.missing), [], False
    try:
        outs = _walked(w, body, args)
    except JMPCError as error:
        choice = isinstance(error, UnsupportedError | SecretBranchError)
        if not choice and w.shared.missing == before:
            raise
    inside = [name for name, _ in w.shared.missing.keys() - before.keys()]
    if not inside and not choice:
        return outs
    w.shared.missing.clear()
    w.shared.missing.update(before)
    return w.refuse(eqn, args, unsupported.reason(_jax.name_of(eqn), inside))


def _walked(w: Walker, body: Any, args: list[Operand]) -> list[Operand]:
    """Check mode sees the primitive, not the inside of what stands for it."""
    jaxpr, consts = _jax.closed(body)
    notes, decisions, outer = len(w.notes), len(w.decisions), w.inside
    w.inside = True
    try:
        return w.run(jaxpr, [constant(c) for c in consts], args)
    finally:
        w.inside = outer
        del w.notes[notes:], w.decisions[decisions:]
