"""The whole flow on one page: jaxpr -> value level -> passes -> share level -> party programs -> plans.

Each stage is a function from frozen data to frozen data, imported here and nowhere else; each result is verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from jmpc import families
from jmpc.config import Config
from jmpc.errors import ProgramError, UnsupportedError
from jmpc.executors.placement import Placement
from jmpc.executors.segment import Placed
from jmpc.families.family import Family
from jmpc.frontend.lower import Frontier, Traced, lower
from jmpc.frontend.notes import Note
from jmpc.ir.plan import Plan
from jmpc.ir.program import Block, Output, Program, Value, regions, walk
from jmpc.ir.spec import verify
from jmpc.ir.text import print_program
from jmpc.ir.types import Type
from jmpc.party.build import plan_all
from jmpc.party.schedule import Schedule
from jmpc.passes.drop_dead_code import drop_dead_code
from jmpc.passes.pipeline import run_passes
from jmpc.ring.product import DEFAULT_FORM
from jmpc.roles import Role

__all__ = ["Flow", "compile_flow", "pass_by_pass", "with_notes"]


@dataclass(frozen=True, eq=False)
class Flow:
    """Every stage of one program. stages: value-level programs by name, the last one optimised; `share` is what the
    parties agree on. It owns its plans: one set for each form of ring products that it was placed with."""

    frontier: Frontier
    stages: dict[str, Program]
    share: Program
    config: Config
    _planned: dict[str, tuple[Schedule, list[Plan]]] = field(
        default_factory=dict[str, tuple[Schedule, list[Plan]]], repr=False
    )
    _placed: dict[Placement, Placed] = field(default_factory=dict[Placement, Placed], repr=False)

    def placed(self, placement: Placement) -> Placed:
        """The plans of all parties at a placement."""
        if placement not in self._placed:
            _, plans = self._plan(placement.products)
            self._placed[placement] = Placed(plans, placement, self.config.prf)
        return self._placed[placement]

    def _plan(self, products: str) -> tuple[Schedule, list[Plan]]:
        if products not in self._planned:
            self._planned[products] = plan_all(self.share, products)
        return self._planned[products]

    def _any_plan(self) -> tuple[Schedule, list[Plan]]:
        return next(iter(self._planned.values()), None) or self._plan(DEFAULT_FORM)

    @property
    def schedule(self) -> Schedule:
        return self._any_plan()[0]

    @property
    def plans(self) -> list[Plan]:
        """Those of some placement, for what is the same in all: rounds, messages, masks."""
        return self._any_plan()[1]

    @cached_property
    def read(self) -> set[Value]:
        """The values of the program, as the front end made it, on which its results depend: what rules left behind is
        none of them, such as the sum of a mean that is summed in another way."""
        body = drop_dead_code(self.frontier.program).body
        blocks = [body, *(region for op in walk(body) for _, region in regions(op))]
        return {v for op in walk(body) for v in op.inputs} | {v for block in blocks for v in block.results}

    @property
    def notes(self) -> list[Note]:
        """Of the values that its results depend on, outside of loops and branches."""
        return [n for n in self.frontier.record.notes if n.value in self.read]

    def as_text(self, stage: str) -> str:
        return print_program(self.share if stage == "share" else self.stages[stage])


def compile_flow(function: Traced, config: Config) -> Flow:
    return _below(lower(function, config), config)


def with_notes(flow: Flow) -> Flow:
    """The same function with the value of each of its notes as one more result, in order. It is another program: a pass
    leaves alone what is read once more."""
    frontier = flow.frontier
    program, values = frontier.program, tuple(n.value for n in flow.notes)
    body = Block(program.body.params, program.body.ops, (*program.body.results, *values))
    outputs = (*program.outputs, *(Output(f"note {n}", Role.CALLER, "float64") for n in range(len(values))))
    noted = Program(program.name, program.config, program.inputs, outputs, body)
    return _below(replace(frontier, program=noted), flow.config)


def pass_by_pass(flow: Flow) -> Iterator[tuple[str, Flow]]:
    """The program as the front end made it (an empty name), and as each pass left it: each runs as it is."""
    program = flow.frontier.program
    for name, left in [("", program), *run_passes(program, lambda p: verify(p, "value"))]:
        yield name, Flow(flow.frontier, {name: left}, _shared(left), flow.config)


def _below(frontier: Frontier, config: Config) -> Flow:
    """What is below the front end."""
    program = frontier.program
    verify(program, "value")
    stages = {"value": program}
    stages.update(run_passes(program, lambda p: verify(p, "value")))
    return Flow(frontier, stages, _shared(list(stages.values())[-1]), config)


def _shared(program: Program) -> Program:
    family = families.of(program.config)
    share = family.lower(program)
    verify(share, "share")
    for op in walk(share.body):
        for value in op.outputs:
            _check_held(family, value.type, op.loc)
    return share


def _check_held(family: Family, t: Type, loc: str) -> None:
    """Raises UnsupportedError, with the user's line, where the parties have no way to hold a value."""
    try:
        family.form(t)
    except ProgramError as error:
        raise UnsupportedError(error.what, where=loc, why=error.why, todo=error.todo) from error
