"""The rule for quotients, of numbers and of integers."""

from __future__ import annotations

from typing import Any

from jmpc.frontend.fixed_point import roots
from jmpc.frontend.fixed_point.divide import divide
from jmpc.frontend.integer import division, integers
from jmpc.frontend.rules.compare import CHOICE
from jmpc.frontend.rules.linear import product
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir.program import Value


@rule("div")
def _div(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """By a public value: times its reciprocal, computed in the clear. Also by a choice of two constants, as JAX has
    it in the gradient of a maximum."""
    x, y = args
    if integers.is_integer(eqn.outvars[0].aval.dtype):
        return division.quotient(w, eqn, args)
    if isinstance(y, Value):
        choice = w.facts.of(CHOICE, y)
        return divide(w, x, y) if choice is None else product(w, "mul", [x, choice.inverse(w)])
    if y.owner:
        return divide(w, x, w.secret(y))
    scope = y.scope or w.root
    (inverse,) = scope.add(lambda v: [1 / v], [y], [y])
    made = product(w, "mul", [x, inverse])
    roots.note_product(w, made, inverse, x)
    return made
