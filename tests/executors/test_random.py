"""A handful of random programs through XLA: the local executor computes what the oracle says, at the stated cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from jmpc.config import Config
from jmpc.executors.local import run_local
from jmpc.executors.segment import Placed
from jmpc.families.replicated3.lowering import lower
from jmpc.ir.program import Program, walk
from jmpc.party.program import input_type
from jmpc.party.report import cost_report
from jmpc.passes.pipeline import run_passes
from jmpc.ring.element import Ring
from jmpc.testing.simulator.lockstep import results_of
from jmpc.testing.simulator.shares import hold
from tests.party.planning import build_plans, joint_schedule
from tests.passes.chains import chains
from tests.passes.ulps import judge, small_inputs

WANTED = ("mul", "truncate", "relu")
FOUND: list[Program] = []


def some_programs(count: int) -> list[Program]:
    """The first random programs that have a product, a truncation and a comparison."""
    if not FOUND:

        @settings(max_examples=80, phases=[Phase.generate], database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(program=chains(Config(), most=8))
        def draw(program: Program) -> None:
            after = run_passes(program, lambda p: None)[-1][1]
            names = {op.name for op in walk(after.body)}
            if names.issuperset(WANTED) and judge(after, small_inputs(after, 1)).kept:
                FOUND.append(after)

        draw()
        FOUND.sort(key=lambda p: len(p.body.ops))
    assert len(FOUND) >= count
    return FOUND[:count]


@pytest.mark.parametrize("which", range(3))
def test_a_random_program_compiled_computes_what_it_says_at_the_stated_cost(which: int) -> None:
    program = some_programs(3)[which]
    share, ring, rng = lower(program), Ring(64), np.random.default_rng(which)
    inputs = small_inputs(program, which)
    judged = judge(program, inputs)
    plans = build_plans(share, joint_schedule(share))
    types = [input_type(p.type) for p in share.body.params]
    pieces = [hold(x, t, ring, rng) for x, t in zip(inputs, types, strict=True)]
    held, counts = run_local(Placed.here(plans), [[a for one in pieces for a in one[party]] for party in range(3)])
    for found, wanted, error in zip(results_of(share, held), judged.results, judged.errors, strict=True):
        assert (np.abs(found.astype(np.float64) - wanted.astype(np.float64)) <= error).all()
    stated = cost_report(plans, "lan")
    assert (stated.rounds, list(stated.bytes_sent)) == (counts.rounds, counts.bytes_sent)
