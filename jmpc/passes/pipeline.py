"""The passes over the value level, in order; each leaves a valid program of the same meaning."""

from __future__ import annotations

from collections.abc import Callable

from jmpc.ir.program import Program
from jmpc.passes.drop_dead_code import drop_dead_code
from jmpc.passes.fold_constants import fold_constants
from jmpc.passes.merge_equal import merge_equal
from jmpc.passes.pool_before_relu import pool_before_relu
from jmpc.passes.sink_truncations import sink_truncations

Pass = Callable[[Program], Program]

PASSES: tuple[Pass, ...] = (
    fold_constants,
    merge_equal,
    pool_before_relu,
    sink_truncations,
    merge_equal,
    drop_dead_code,
)


def run_passes(program: Program, verify: Callable[[Program], None]) -> list[tuple[str, Program]]:
    """The program after each pass, by name, the last one last. `verify` runs after every pass."""
    stages: list[tuple[str, Program]] = []
    for step in PASSES:
        program = step(program)
        verify(program)
        stages.append((step.__name__, program))
    return stages
