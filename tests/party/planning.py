"""The two halves of planning, apart: tests cut a program by schedules of their own."""

from __future__ import annotations

from jmpc.ir.plan import Plan
from jmpc.ir.program import Program
from jmpc.party.build import build_plan, trace
from jmpc.party.schedule import Schedule, schedule


def joint_schedule(program: Program) -> Schedule:
    return schedule([trace(program, party) for party in range(3)])


def build_plans(program: Program, found: Schedule) -> list[Plan]:
    return [build_plan(program, found, party) for party in range(3)]
