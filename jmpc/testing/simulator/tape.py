"""Equations as a tape: what computes each, and the numbers of the values that it reads and makes, found once for all
runs.

What goes in: a jaxpr, its constants, and what an equation becomes. What comes out: a `Tape`. Nothing here knows what an
equation means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jmpc import _jax

Function = Callable[..., Sequence[Any]]  # of the values that an equation reads: those that it makes


class Step(NamedTuple):
    """function: None for an equation that whoever runs the tape takes care of."""

    eqn: Any
    function: Function | None
    reads: tuple[int, ...]
    writes: tuple[int, ...]


class Tape:
    """start: values by number, None for what is not known before a run.  inputs, results: numbers of values."""

    def __init__(
        self,
        jaxpr: Any,
        consts: Sequence[Any],
        constant: Callable[[Any], Any],
        function: Callable[[Any], Function | None],
        ahead: bool = False,
    ) -> None:
        """constant: what a constant becomes.  function: what computes an equation.  ahead: whether to compute what
        depends on constants alone now, and keep it."""
        self.start: list[Any] = []
        self.steps: list[Step] = []
        self._constant, self._numbers = constant, dict[Any, int]()
        known = {self._new(var, constant(value)) for var, value in zip(jaxpr.constvars, consts, strict=True)}
        self.inputs = tuple(self._new(var) for var in jaxpr.invars)
        for eqn in jaxpr.eqns:
            reads = tuple(self._number(atom, known) for atom in eqn.invars)
            made = function(eqn)
            if ahead and made is not None and known.issuperset(reads):
                outs = made(*(self.start[n] for n in reads))
                known.update(self._new(var, out) for var, out in zip(eqn.outvars, outs, strict=True))
            else:
                self.steps.append(Step(eqn, made, reads, tuple(self._new(var) for var in eqn.outvars)))
        self.results = tuple(self._number(atom, known) for atom in jaxpr.outvars)

    def _new(self, var: Any, value: Any = None) -> int:
        self._numbers[var] = len(self.start)
        self.start.append(value)
        return len(self.start) - 1

    def _number(self, atom: Any, known: set[int]) -> int:
        if not isinstance(atom, _jax.Literal):
            return self._numbers[atom]
        number = self._new(object(), self._constant(np.asarray(atom.val, atom.aval.dtype)))
        known.add(number)
        return number

    def of(self, var: Any) -> int:
        """The number of a variable's value."""
        return self._numbers[var]

    def begun(self, inputs: Sequence[Any]) -> list[Any]:
        """Values by number, as a run begins."""
        values = self.start[:]
        for number, value in zip(self.inputs, inputs, strict=True):
            values[number] = value
        return values

    def run(self, *inputs: Any) -> list[Any]:
        """The results, where every equation has its function."""
        values = self.begun(inputs)
        for _, function, reads, writes in self.steps:
            assert function is not None
            for number, value in zip(writes, function(*[values[n] for n in reads]), strict=True):
                values[number] = value
        return [values[n] for n in self.results]
