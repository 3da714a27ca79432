"""Each pass leaves a valid program of the same meaning, up to the units in the last place that rounding explains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jmpc.ir.program import Program
from jmpc.ir.spec import verify
from jmpc.ir.text import print_program
from jmpc.passes import pipeline
from jmpc.passes.pipeline import PASSES, Pass, run_passes
from jmpc.testing.draw.ir_programs import programs
from tests.passes.chains import chains
from tests.passes.ulps import judge, small_inputs

EXACT = ("fold_constants", "merge_equal", "drop_dead_code", "pool_before_relu")
ANY = st.one_of(chains(), chains(), programs())
BY_NAME = {step.__name__: step for step in PASSES}


@pytest.mark.parametrize("name", sorted(BY_NAME))
@settings(max_examples=40)
@given(program=ANY, seed=st.integers(0, 1 << 16))
def test_a_pass_keeps_the_meaning(name: str, program: Program, seed: int) -> None:
    after = BY_NAME[name](program)
    verify(after, "value")
    same_meaning(program, after, seed, exact=name in EXACT)


@settings(max_examples=60)
@given(program=ANY, seed=st.integers(0, 1 << 16))
def test_all_passes_keep_the_meaning(program: Program, seed: int) -> None:
    stages = run_passes(program, lambda p: verify(p, "value"))
    assert [name for name, _ in stages] == [step.__name__ for step in pipeline.PASSES]
    same_meaning(program, stages[-1][1], seed, exact=False)


def same_meaning(before: Program, after: Program, seed: int, exact: bool) -> None:
    inputs = small_inputs(before, seed)
    one, two = judge(before, inputs), judge(after, inputs)
    assume(one.kept and two.kept)
    for found, wanted, e, d in zip(two.results, one.results, two.errors, one.errors, strict=True):
        assert found.dtype == wanted.dtype
        distance = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
        assert (distance <= (0 if exact else e + d)).all()


@pytest.mark.parametrize("name", sorted(BY_NAME))
@given(program=ANY)
def test_a_pass_has_done_its_work_when_it_has_run(name: str, program: Program) -> None:
    step: Pass = BY_NAME[name]
    once = step(program)
    assert print_program(step(once)) == print_program(once)


def test_the_random_programs_give_every_pass_work() -> None:
    changed: set[str] = set()

    @settings(max_examples=100, database=None)
    @given(program=chains())
    def look(program: Program) -> None:
        for name, step in BY_NAME.items():
            if print_program(step(program)) != print_program(program):
                changed.add(name)

    look()
    assert changed == set(BY_NAME)


@given(program=ANY)
def test_inputs_and_outputs_stay(program: Program) -> None:
    after = run_passes(program, lambda p: None)[-1][1]
    assert (after.inputs, after.outputs, after.config) == (program.inputs, program.outputs, program.config)
    assert [v.type for v in after.body.params] == [v.type for v in program.body.params]
    assert [v.shape for v in after.body.results] == [v.shape for v in program.body.results]
