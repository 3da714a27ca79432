"""What is known in the clear to somebody: public values and one owner's values, and the work on them.

What goes in: equations whose operands are all public, or all of one owner. What comes out: a `Prelude`, run by plain
JAX before anything is shared; the values in which secrets meet them become inputs of the secure program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc._types import AnyArray
from jmpc.frontend.place import Place


@dataclass(eq=False)
class Known:
    """A value in the clear. owner: whose; empty if public. concrete: its array, if it is a constant of the program.
    scope: the prelude that makes it. saturates: a constant beyond the number format is in it, which stands for a number
    too large to matter (a mask of -1e9). bits: the fraction bits with which it is shared, those of the number format by
    default."""

    shape: tuple[int, ...]
    dtype: Any
    owner: str = ""
    concrete: AnyArray | None = field(default=None, repr=False)
    scope: Prelude | None = None
    path: str = ""
    limit: float | None = None
    saturates: bool = False
    bits: int | None = None

    def uniform(self) -> float | int | bool | None:
        """The one number that all elements equal, if it is a constant."""
        if self.concrete is None or not np.issubdtype(self.dtype, np.generic):
            return None
        array = np.asarray(self.concrete)
        if array.size == 0 or array.dtype.kind not in "fiub":
            return 0 if array.size == 0 else None
        first = array.reshape(-1)[0]
        return first.item() if (array == first).all() else None


@dataclass
class Step:
    """effect: it does more than compute (it prints): run at every call, whoever needs its results. place: where the
    function asks for it."""

    run: Callable[..., Sequence[AnyArray]]
    inputs: list[Known]
    outputs: list[Known]
    effect: bool
    place: Place

    @property
    def owner(self) -> str:
        """Who computes it; empty if everybody may."""
        return next((k.owner for k in self.inputs if k.owner), "")


@dataclass(eq=False)
class Prelude:
    """Work in the clear, in order. depth: 0 for the function itself, one more for each loop around. here: where the
    compiler stands."""

    here: Callable[[], Place]
    depth: int = 0
    steps: list[Step] = field(default_factory=list[Step])

    def add(
        self, run: Callable[..., Sequence[AnyArray]], inputs: list[Known], outs: Sequence[Any], effect: bool = False
    ) -> list[Known]:
        """Record work. outs: abstract values of the results."""
        owner = next((k.owner for k in inputs if k.owner), "")
        made = [Known(tuple(o.shape), o.dtype, owner, scope=self) for o in outs]
        if not effect and all(k.concrete is not None for k in inputs):
            for known, array in zip(made, run(*(k.concrete for k in inputs)), strict=True):
                known.concrete = array
            return made
        self.steps.append(Step(run, inputs, made, effect, self.here()))
        return made

    def needed(self, wanted: Sequence[Known], owner: str | None = None) -> list[Step]:
        """The steps that `wanted` depends on, and those with an effect, in order. owner: whose effects; all by
        default."""
        need, kept = set(wanted), []
        for step in reversed(self.steps):
            effect = step.effect and owner in (None, step.owner)
            if effect or any(k in need for k in step.outputs):
                need.update(step.inputs)
                kept.append(step)
        return kept[::-1]


def run_steps(steps: Sequence[Step], env: dict[Known, AnyArray]) -> None:
    """Run recorded work; `env` gains the results. Constants are found in the values themselves."""
    for step in steps:
        values = [k.concrete if k.concrete is not None else env[k] for k in step.inputs]
        env.update(zip(step.outputs, step.run(*values), strict=True))


def evaluator(
    prelude: Prelude, arguments: Sequence[Known], wanted: Sequence[Known], owner: str
) -> Callable[[Sequence[AnyArray]], list[AnyArray]]:
    """A function from an owner's arguments, and public ones, to the values that it wants; jitted where there is work to
    do."""
    steps = prelude.needed(wanted, owner)

    def run(*arrays: AnyArray) -> list[AnyArray]:
        env: dict[Known, AnyArray] = dict(zip(arguments, arrays, strict=True))
        run_steps(steps, env)
        return [k.concrete if k.concrete is not None else env[k] for k in wanted]

    if not steps:
        return lambda arrays: run(*arrays)
    used = {k for s in steps for k in s.inputs} | set(wanted)
    index = [n for n, k in enumerate(arguments) if k in used]
    unused = object()

    def some(*arrays: AnyArray) -> list[AnyArray]:
        full: list[Any] = [unused] * len(arguments)
        for n, array in zip(index, arrays, strict=True):
            full[n] = array
        return run(*full)

    jitted = jax.jit(some)
    return lambda arrays: jitted(*(arrays[n] for n in index))
