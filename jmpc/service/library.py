"""The programs that a party has ready: parsed, verified, planned, compiled; and what of each array is whose.

In: texts. Out: a `Ready` for each. The programs used last are kept, up to a number; a text that was let go is loaded
again from those that the operator keeps (`programs.py`). Nothing here decides whether a program may run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jmpc import families
from jmpc.executors.engine import PartyEngine
from jmpc.executors.segment import Placed
from jmpc.families.family import Family, Spec
from jmpc.ir.plan import Plan
from jmpc.ir.program import Program
from jmpc.ir.types import PUBLIC, Type
from jmpc.party.memory import memory
from jmpc.party.program import input_type, output_widths
from jmpc.recent import Recent
from jmpc.ring.element import Ring
from jmpc.roles import Role

KEPT = 256
PARTS = 8


@dataclass(frozen=True, eq=False)
class Ready:
    """One program at one party. parts: what was found out of its inputs (`inputs.py`)."""

    hash: str
    program: Program
    placed: Placed
    parts: Recent[tuple[int, ...], Any] = field(default_factory=lambda: Recent(PARTS), repr=False)

    @property
    def plan(self) -> Plan:
        (only,) = self.placed.plans
        return only

    @cached_property
    def family(self) -> Family:
        return families.of(self.program.config)

    @cached_property
    def inputs(self) -> list[list[Spec]]:
        """By input of the program, the arrays that this party gets of it."""
        ring = Ring(self.program.config.k)
        widths = [len(self._specs(value.type, ring)) for value in self.program.body.params]
        specs = iter(self.plan.input_specs)
        return [[next(specs) for _ in range(width)] for width in widths]

    def _specs(self, t: Type, ring: Ring) -> list[Spec]:
        return self.family.specs(input_type(t), ring, self.plan.party)

    @cached_property
    def outputs(self) -> list[int]:
        """By output of the program, how many arrays this party has of it."""
        return [by_party[self.plan.party] for by_party in output_widths(self.program)]

    @cached_property
    def rounds(self) -> int:
        return _rounds(self.plan)

    @cached_property
    def memory(self) -> int:
        """Bytes that a run needs here at once."""
        return memory(self.plan).peak

    def summands(self, number: int, party: int) -> tuple[int, ...]:
        """Of an input that an owner shares, which summands the arrays of a party are."""
        t = input_type(self.program.body.params[number].type)
        return self.family.form(t).holds[party]

    @property
    def party(self) -> int:
        return self.plan.party

    @property
    def stored(self) -> list[int]:
        """The inputs that are shared already."""
        return [n for n, entry in enumerate(self.program.inputs) if entry.owner == Role.SECRET]

    @property
    def public(self) -> list[int]:
        return [n for n, value in enumerate(self.program.body.params) if value.type.visibility == PUBLIC]

    def supplied_by(self, owner: str) -> list[int]:
        """The inputs of an owner."""
        public = set(self.public)
        return [n for n, e in enumerate(self.program.inputs) if e.owner == owner and n not in public]


class Library:
    """Threads share it. text: of a program by its hash, or None, where it must be loaded again."""

    def __init__(self, engine: PartyEngine, text: Callable[[str], str | None], kept: int = KEPT) -> None:
        self.engine, self._text = engine, text
        self._ready: Recent[str, Ready] = Recent(kept)
        self._lock = threading.Lock()

    def load(self, text: str) -> Ready:
        """Parse, verify, plan and compile. Raises ProgramError where the text is not a valid program."""
        with self._lock:
            program = self.engine.load(text)
            found = self._ready.get(program)
            if found is None:
                found = Ready(program, self.engine.programs[program], self.engine.placed[program])
                self._ready.put(program, found)
                self._forget()
        self.engine.store.code(found.placed)
        return found

    def get(self, program: str) -> Ready | None:
        """A program that is loaded, or can be loaded again."""
        with self._lock:
            found = self._ready.get(program)
        if found is None and (text := self._text(program)) is not None:
            found = self.load(text)
        return found

    def _forget(self) -> None:
        kept = {ready.hash for ready in self._ready}
        for program in [known for known in self.engine.placed if known not in kept]:
            self.engine.unload(program)


def _rounds(plan: Plan) -> int:
    inner = sum(loop.trip * _rounds(loop.body) for step in plan.steps for loop in step.loops)
    return inner + sum(step.is_round for step in plan.steps)
