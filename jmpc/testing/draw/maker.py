"""A random JAX function while it is drawn: the values that there are, and the steps that made them.

What goes in: operations, the numbers of their operands. What comes out: a `Block`, which runs in JAX, says what it
computes with which error, and writes itself as Python. A step whose result would leave the range is not taken. Not
here: which steps are drawn (`steps/`), inputs and outputs (`jax_programs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.testing.draw.forward_error import Noise, Tracked

Draw = Callable[[st.SearchStrategy[Any]], Any]
MOST_ELEMENTS = 128
MOST_ERROR = 2.0**-4
MOST_MISCOUNT = 64
CAP = 2.0**8
EDGE_ERROR = 2.0**-4  # of a number beyond the cap, relative to the largest beside it


class OutOfRange(Exception):
    """A real number passed the range of the number format, in an iteration of a loop."""


@dataclass(frozen=True)
class Step:
    """op: what is done (`forward_error.Op`, or a loop or a branch of `steps/control.py`). args: numbers of values."""

    op: Any
    args: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A function of `params` values: values are numbered, the parameters first, then each step's results."""

    params: int
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def run(self, numpy: Any, *arrays: Any) -> list[Any]:
        values = list(arrays)
        for step in self.steps:
            values += step.op.apply(numpy, *(values[n] for n in step.args))
        return [values[n] for n in self.results]

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        """Raises OutOfRange where a value on the way is beyond the number format."""
        values = list(args)
        for step in self.steps:
            made = step.op.track(noise, *(values[n] for n in step.args))
            if any(value.kind == "f" and not value.largest < noise.most for value in made):
                raise OutOfRange
            values += made
        return [values[n] for n in self.results]

    def lines(self, names: Sequence[str], prefix: str) -> tuple[list[str], list[str]]:
        """The statements, and the names of the results. names: of the parameters; prefix: of all others."""
        known, text = list(names), []
        for step in self.steps:
            outs = [f"{prefix}{len(known) + n}" for n in range(step.op.outputs)]
            text += step.op.lines([known[n] for n in step.args], outs)
            known += outs
        return text, [known[n] for n in self.results]

    def without_dead_steps(self) -> Block:
        """Only the steps that the results need, with values numbered anew."""
        need, first = set(self.results), self.params + sum(s.op.outputs for s in self.steps)
        kept: list[tuple[int, Step]] = []
        for step in reversed(self.steps):
            first -= step.op.outputs
            if need & set(range(first, first + step.op.outputs)):
                need |= set(step.args)
                kept.append((first, step))
        numbers, steps = {n: n for n in range(self.params)}, []
        for first, step in reversed(kept):
            steps.append(Step(step.op, tuple(numbers[n] for n in step.args)))
            at = len(numbers)
            numbers |= {first + n: at + n for n in range(step.op.outputs)}
        return Block(self.params, tuple(steps), tuple(numbers[n] for n in self.results))


@dataclass
class Maker:
    """values: what each value is, by number. cap: the largest magnitude of a real number, but for steps that go to the
    edge of the number format on purpose."""

    config: Config
    draw: Draw
    values: list[Tracked]
    cap: float = CAP
    predicates: tuple[int, ...] = ()
    steps: list[Step] = field(default_factory=list[Step])
    params: int = 0

    def __post_init__(self) -> None:
        self.params = len(self.values)
        self.noise = Noise(self.config)

    def fits(self, value: Tracked, at_edge: bool = False) -> bool:
        """Whether a value may be used further: its range, its error and its size. at_edge: its range may be all of the
        number format, and its error that of large numbers."""
        if value.x.size > MOST_ELEMENTS or not np.isfinite(value.x.astype(np.float64)).all():
            return False
        if value.kind == "i":  # integers wrap, and are exact but where they count bits that may go either way
            return bool((value.error <= MOST_MISCOUNT).all())
        if value.kind == "b":
            return bool((value.error <= 1).all())
        if value.largest <= self.cap:
            return bool((value.error <= MOST_ERROR).all())
        in_format = bool((np.abs(value.x) + value.error < self.noise.most).all())
        return at_edge and in_format and bool((value.error <= max(MOST_ERROR, EDGE_ERROR * value.largest)).all())

    def add(self, op: Any, *args: int, at_edge: bool = False) -> int | None:
        """Take a step if its results fit; the number of the first. What is made of a real number beyond the cap may be
        beyond it too."""
        at_edge = at_edge or any(self.values[n].kind == "f" and self.values[n].largest > self.cap for n in args)
        try:
            made = op.track(self.noise, *(self.values[n] for n in args))
        except OutOfRange:
            return None
        if not all(self.fits(value, at_edge) for value in made):
            return None
        self.steps.append(Step(op, args))
        self.values += made
        return len(self.values) - len(made)

    def numbers(self, kinds: str, where: Callable[[Tracked], bool] = lambda value: True) -> list[int]:
        """Values of these kinds ("f", "i", "b")."""
        return [n for n, value in enumerate(self.values) if value.kind in kinds and where(value)]

    def pick(self, kinds: str, where: Callable[[Tracked], bool] = lambda value: True) -> int | None:
        """One of them, the latest being the simplest choice; None where there is none."""
        found = self.numbers(kinds, where)[::-1]
        return self.draw(st.one_of(st.just(found[0]), st.sampled_from(found))) if found else None

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def block(self, *results: int) -> Block:
        return Block(self.params, tuple(self.steps), results).without_dead_steps()


def broadcasts(x: Tracked, y: Tracked) -> bool:
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True
