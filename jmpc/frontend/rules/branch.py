"""The rule for cond and switch: the branch that the compiler knows, or all branches and a selection.

What goes in: an index, and branches. What comes out: their results. A plan is one list of rounds for every call, so a
branch chosen at the call, in public or in secret, computes all of them: a branch that is not taken costs what it costs,
and its values must fit the number format. Where the index is public, choosing is one product with a public bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc import _jax
from jmpc.errors import JMPCError
from jmpc.frontend.effects import acts
from jmpc.frontend.fixed_point import not_a_number
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.notes import Chosen, Record
from jmpc.frontend.public import is_public
from jmpc.frontend.rules.compare import select_one
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir.program import Value

ACTING = (
    "a branch prints or calls the host (a callback, a check that raises), and all branches are computed, taken or not: "
    "return the condition to a receiver, and print or raise there"
)


@rule("cond")
def _cond(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    index, *operands = args
    branches = eqn.params["branches"]
    if isinstance(index, Known) and index.concrete is not None:
        jaxpr, consts = _jax.closed(branches[int(np.clip(int(np.asarray(index.concrete)), 0, len(branches) - 1))])
        number = int(np.clip(int(np.asarray(index.concrete)), 0, len(branches) - 1))
        return w.run(jaxpr, consts, operands, w.wants.inside(eqn, number))
    if acts(eqn):
        return w.refuse(eqn, args, ACTING)
    records: list[Record] = []
    cases = [_branch(w, eqn, n, operands, records) for n in range(len(branches))]
    w.within = Chosen(records)
    return choose(w, index, cases)


def _branch(w: Walker, eqn: Any, number: int, operands: list[Operand], records: list[Record]) -> list[Operand]:
    """The results of one branch; what is wrong in it says which it is. records: gain what check mode must know, which
    is not of the values around: those of a branch that is not taken are nothing."""
    jaxpr, consts = _jax.closed(eqn.params["branches"][number])
    notes, decisions = len(w.notes), len(w.decisions)
    try:
        outs = w.run(jaxpr, consts, operands, w.wants.inside(eqn, number))
        records.append(Record(w.notes[notes:], w.decisions[decisions:]))
        del w.notes[notes:], w.decisions[decisions:]
        return outs
    except JMPCError as error:
        note = f"in branch {number} of a choice at {w.build.loc}, which computes all its branches"
        raise type(error)(error.what, where=error.where, why=f"{error.why}; {note}", todo=error.todo) from error


def choose(w: Walker, index: Operand, cases: Sequence[Sequence[Operand]]) -> list[Operand]:
    """For each result, that of the case whose number is `index`."""
    bits = [_is_case(w, index, number, len(cases)) for number in range(1, len(cases))]
    return [_one_of(w, index, bits, list(results)) for results in zip(*cases, strict=True)]


def _one_of(w: Walker, index: Operand, bits: list[Operand], cases: list[Operand]) -> Operand:
    if all(case is cases[0] for case in cases):
        return cases[0]
    if isinstance(index, Known) and not index.owner and all(is_public(c) for c in cases):
        return _in_the_clear(w, [index, *cases])  # pyright: ignore[reportArgumentType]
    cases = not_a_number.without(w, index, cases)
    out = cases[0]
    for bit, case in zip(bits, cases[1:], strict=True):
        out = select_one(w, w.spread(bit, case.shape), out, case)
    return out


def _in_the_clear(w: Walker, known: list[Known]) -> Known:
    last = len(known) - 2
    scope = max((k.scope or w.root for k in known), key=lambda s: s.depth)

    def pick(index: Any, *cases: Any) -> list[Any]:
        return [lax.select_n(jax.numpy.clip(index, 0, last).astype(np.int32), *cases)]

    return scope.add(pick, known, [jax.ShapeDtypeStruct(known[1].shape, known[1].dtype)])[0]


def _is_case(w: Walker, index: Operand, number: int, count: int) -> Operand:
    """The bit [index = number]; JAX takes an index beyond the last case as the last."""
    if isinstance(index, Known) and not index.owner:
        test = (lambda v: v >= number) if number == count - 1 else (lambda v: v == number)
        return (index.scope or w.root).add(lambda v: [test(v)], [index], [jax.ShapeDtypeStruct((), np.dtype(bool))])[0]
    value = w.secret(index)
    bit = _bit_of(w, value)
    if bit is not None:
        return bit
    same = w.emit("gap", value, w.operand(constant(np.int32(number))))
    return w.emit("is_zero", same)


def _bit_of(w: Walker, value: Value) -> Value | None:
    """The bool that an index was made of, where it was: then it needs no comparison."""
    made = w.build.maker(value)
    return made.inputs[0] if made is not None and made.name == "to_arith" else None
