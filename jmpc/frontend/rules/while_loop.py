"""The rule for while: a loop whose trip count the compiler can find becomes a scan; another asks for a bound.

What goes in: a predicate, a body and their operands. What comes out: the carry at the end. The trip count is found by
running, in the clear, what the predicate depends on: it is constants only. A plan is one list of rounds for every
call, so a count that only a call knows cannot be its length: `jmpc.bounded_while` runs to a bound and freezes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc import _jax
from jmpc.frontend.effects import acts
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.public import is_public, public_operands, public_results
from jmpc.frontend.rules.scan import Loop, run_loop
from jmpc.frontend.walk import Operand, Walker, rule

ACTING = "it prints or calls the host in a loop of unknown length: use jax.lax.fori_loop with constants"
MOST_TRIPS = 10_000_000
BOUND = "jmpc.bounded_while(cond_fun, body_fun, init, max_steps)"


@rule("while")
def _while(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    parts = _jax.while_parts(eqn)
    tests, consts = parts["cond_consts"], parts["body_consts"]
    test, operands = args[:tests], args[tests:]
    jaxpr, body_consts = _jax.closed(parts["body"])
    if acts(eqn):
        return w.refuse(eqn, args, ACTING)
    trips = _trips(parts, test, operands, [v.aval for v in eqn.invars])
    if isinstance(trips, str):
        return w.refuse(eqn, args, trips)
    jaxpr, used = _live(jaxpr, consts, _jax.read_results(w.jaxpr, eqn))
    loop = Loop(jaxpr, body_consts, sum(used[:consts]), sum(used[consts:]), trips, wants=w.wants.inside(eqn))
    kept = [n for n, u in enumerate(used) if u]
    results = iter(run_loop(w, loop, [operands[n] for n in kept], [tests + n for n in kept]))
    return [next(results) if u else constant(np.zeros(())) for u in used[consts:]]


def _live(jaxpr: Any, consts: int, wanted: list[bool]) -> tuple[Any, list[bool]]:
    """The body with those carries alone that come to a result that is read, now that the length is known and the
    predicate is not asked; and which operands are left."""
    while True:
        live, used = _jax.live_part(jaxpr, wanted, [False] * consts + wanted)
        if used[consts:] == wanted:
            return live, used
        wanted = used[consts:]


def _trips(parts: dict[str, Any], test: list[Operand], operands: list[Operand], avals: list[Any]) -> int | str:
    """How often the body runs, or why that is not known. avals: of all operands."""
    consts, body = parts["body_consts"], _jax.closed(parts["body"])[0]
    carry = len(operands) - consts
    decides = _decides(parts, test, operands, _constant)
    if not decides:
        if _decides(parts, test, operands, is_public):
            return f"its length is known only at the call: {BOUND}, or make that argument static"
        return f"its length depends on a secret: give it a bound, {BOUND}"
    constant = public_operands(body, [_constant(a) for a in operands], consts, carry)
    flags = [*map(_constant, test), *constant]
    arrays = [_array(*given) for given in zip([*test, *operands], avals, flags, strict=True)]
    count = _count(parts, arrays, constant[consts:])
    return count if count < MOST_TRIPS else f"it does not end within {MOST_TRIPS} steps"


def _constant(x: Operand) -> bool:
    return isinstance(x, Known) and x.concrete is not None and not x.owner


def _decides(
    parts: dict[str, Any], test: list[Operand], operands: list[Operand], held: Callable[[Operand], bool]
) -> bool:
    """Whether the predicate depends on operands that are `held` alone, in every step."""
    consts = parts["body_consts"]
    kept = public_operands(_jax.closed(parts["body"])[0], [held(a) for a in operands], consts, len(operands) - consts)
    return public_results(_jax.closed(parts["cond"])[0], [*map(held, test), *kept[consts:]])[0]


def _count(parts: dict[str, Any], arrays: list[Any], constant: list[bool]) -> int:
    """Run the loop in the clear on its constant carries; the others, of which the predicate is independent, stay."""
    first, last = parts["cond_consts"], parts["cond_consts"] + parts["body_consts"]
    kept = [n for n, c in enumerate(constant) if c]

    def full(state: list[Any]) -> list[Any]:
        carry = arrays[last:]
        for n, value in zip(kept, state, strict=True):
            carry[n] = value
        return carry

    def going(state: tuple[Any, list[Any]]) -> Any:
        return (state[0] < MOST_TRIPS) & _jax.apply(parts["cond"], *arrays[:first], *full(state[1]))[0]

    def step(state: tuple[Any, list[Any]]) -> tuple[Any, list[Any]]:
        after = _jax.apply(parts["body"], *arrays[first:last], *full(state[1]))
        return state[0] + 1, [after[n] for n in kept]

    start = (jnp.int32(0), [arrays[last + n] for n in kept])
    return int(jax.jit(lambda s: jax.lax.while_loop(going, step, s)[0])(start))


def _array(x: Operand, aval: Any, constant: bool) -> Any:
    """The value of an operand; of one that does not matter, zeros."""
    return jnp.asarray(x.concrete) if constant and isinstance(x, Known) else jax.lax.full(aval.shape, 0, aval.dtype)
