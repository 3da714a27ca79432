"""The whole flow on one page: jaxpr -> value level -> passes -> share level -> party programs -> plans.

Each stage is a function from frozen data to frozen data, imported here and nowhere else; each result is verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jmpc.config import Config
from jmpc.frontend.lower import Argument, Frontier, lower
from jmpc.ir.plan import Plan
from jmpc.ir.program import Program
from jmpc.ir.spec import verify
from jmpc.ir.text import print_program
from jmpc.party.build import plan_all
from jmpc.party.schedule import Schedule
from jmpc.passes.pipeline import run_passes
from jmpc.protocols.lower import lower as choose_protocols

__all__ = ["Flow", "compile_flow"]


@dataclass(frozen=True, eq=False)
class Flow:
    """Every stage of one program. stages: value-level programs by name, the last one optimised; `share` is what the
    parties agree on."""

    frontier: Frontier
    stages: dict[str, Program]
    share: Program
    config: Config

    @cached_property
    def _planned(self) -> tuple[Schedule, list[Plan]]:
        return plan_all(self.share)

    @property
    def schedule(self) -> Schedule:
        return self._planned[0]

    @property
    def plans(self) -> list[Plan]:
        return self._planned[1]

    def as_text(self, stage: str) -> str:
        return print_program(self.share if stage == "share" else self.stages[stage])


def compile_flow(
    name: str, jaxpr: Any, arguments: Sequence[Argument], receivers: Sequence[Sequence[str]], dtypes: Sequence[Any],
    paths: Sequence[str], config: Config, call: str = "",
) -> Flow:  # fmt: skip
    """Compile a jaxpr. dtypes: of its results.  call: the line of the call that had the function traced."""
    frontier = lower(name, jaxpr, arguments, receivers, dtypes, paths, config, call)
    program = frontier.program
    verify(program, "value")
    stages = {"value": program}
    stages.update(run_passes(program, lambda p: verify(p, "value")))
    share = choose_protocols(list(stages.values())[-1])
    verify(share, "share")
    return Flow(frontier, stages, share, config)
