"""Random programs: what they compute, what they say of themselves, and what kinds of steps they have."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings

import jmpc
from jmpc.config import Config
from jmpc.testing import executor
from jmpc.testing.draw.forward_error import Noise
from jmpc.testing.draw.jax_programs import STEPS, RandomProgram, known, programs
from jmpc.testing.draw.maker import Block, Maker
from jmpc.testing.draw.steps import edge, elementwise, squares, zero
from jmpc.testing.draw.steps.approximated import AXIS_FUNCTIONS, FUNCTIONS, along_axis, operation
from jmpc.testing.snippet import HEAD

EVERY = tuple(STEPS)
SHRINK = settings(max_examples=3000, database=None, suppress_health_check=list(HealthCheck))
FIND = settings(SHRINK, phases=[Phase.generate])


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(kinds=EVERY))
def test_plain_jax_gives_what_the_program_says_of_itself(program: RandomProgram) -> None:
    for got, said in zip(jax.jit(program.function)(*program.inputs), program.tracked, strict=True):
        assert got.shape == said.shape
        assert np.asarray(got).dtype.kind == said.kind
        assert (np.abs(np.asarray(got, float) - said.x.astype(float)) <= said.error + 1e-12).all()


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(kinds=EVERY, steps=6))
def test_the_printed_function_is_the_function(program: RandomProgram) -> None:
    scope: dict[str, Any] = {}
    exec(HEAD + program.source(), scope)  # noqa: S102
    printed, own = (jax.jit(f)(*program.inputs) for f in (scope["function"], program.function))
    for one, two in zip(printed, own, strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(kinds=EVERY))
def test_values_stay_in_range(program: RandomProgram) -> None:
    reals = [said for said in program.tracked if said.kind == "f"]
    assert all(said.largest < Noise(program.config).most for said in reals)
    assert all(np.isfinite(t).all() for t in program.tolerance)


def test_every_kind_of_step_is_drawn() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=300, phases=[Phase.generate], database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(program=programs(steps=25))
    def look(program: RandomProgram) -> None:
        seen.update(type(step.op).__name__ for step in program.block.steps)
        seen.update(word for step in program.block.steps for word in WORDS if word in getattr(step.op, "text", ""))

    look()
    assert {"Scan", "Fori", "Map", "Cond", *WORDS} <= set(seen)


WORDS = ("where", "@", "<", ".sum", "* ", "astype")


@pytest.mark.parametrize("kind", sorted(set(STEPS) - {"cond", "selection"}))
def test_programs_of_one_kind_can_be_asked_for(kind: str) -> None:
    program = find(programs(Config(), kinds=(kind,), owners=False), lambda p: len(p.block.steps) > 0, settings=FIND)
    assert program.config == Config()
    assert program.options == {}


def test_another_kind_is_refused() -> None:
    with pytest.raises(KeyError, match="poetry"):
        find(programs(kinds=("poetry",)), lambda p: True)
    assert "poetry" not in STEPS


def test_steps_that_no_result_needs_are_left_out() -> None:
    """v1 = -x, v2 = x + x, v3 = -v2; the result is v3."""
    from jmpc.testing.draw.maker import Step
    from jmpc.testing.draw.steps.elementwise import UNARY

    neg = next(op for op, _ in UNARY if op.text == "-{0}")
    double = next(op for op, _ in UNARY if op.text == "{0} + {0}")
    block = Block(1, (Step(neg, (0,)), Step(double, (0,)), Step(neg, (2,))), (3,)).without_dead_steps()
    assert [step.args for step in block.steps] == [(0,), (1,)]
    assert block.run(np, np.float64(3)) == [-6]


def test_owners_and_public_arguments_are_drawn() -> None:
    find(programs(), lambda p: "public" in p.options and "inputs" in p.options, settings=FIND)


def test_a_failing_program_shrinks_to_a_small_one() -> None:
    """To one product and no more."""

    def has_product(program: RandomProgram) -> bool:
        return any(getattr(step.op, "text", "") == "{0} * {1}" for step in program.block.steps)

    program = find(programs(), has_product, settings=SHRINK)
    assert len(program.block.steps) == 1


@pytest.mark.parametrize("which", range(len(FUNCTIONS)), ids=[f.text for f in FUNCTIONS])
def test_a_function_of_the_table_is_within_its_stated_error(which: int) -> None:
    """Of the exact value, over the domain and beyond, where the argument is clipped; in plain JAX and secure."""
    op = operation(FUNCTIONS[which])
    x = np.float32([-300, -7.25, -1, -0.125, 0, 0.001, 0.5, 1, 3.75, 6, 250])
    said = op.track(Noise(Config()), known(x, Config()))[0]
    with executor("meaning"):
        found = [jax.jit(lambda x: op.run(jnp, x))(x), jmpc.secure(lambda x: op.run(jnp, x))(x)]
    for got in found:
        assert (np.abs(np.asarray(got, float) - said.x) <= said.error).all()


@pytest.mark.parametrize("which", range(len(AXIS_FUNCTIONS)))
def test_a_function_along_an_axis_is_within_its_stated_error(which: int) -> None:
    op = along_axis(*AXIS_FUNCTIONS[which])
    x = np.float32([[1, 2, 3], [0, 0, 0], [-200, 3, 100]])
    said = op.track(Noise(Config()), known(x, Config()))[0]
    with executor("meaning"):
        found = [jax.jit(lambda x: op.run(jnp, x))(x), jmpc.secure(lambda x: op.run(jnp, x))(x)]
    for got in found:
        assert got.shape == said.shape
        assert (np.abs(np.asarray(got, float) - said.x) <= said.error).all()


def _edges_of(op: Any) -> set[str]:
    """Which of the kinds of step that go to the ends of the number format made this one."""
    text = getattr(op, "text", "")
    is_long, is_declared = "tile" in text or "arange" in text, "jmpc.bounded" in text
    found = {
        "zero": op in zero.READERS,
        "choice at the edge": op in (*edge.BETWEEN, *edge.BY_BIT, *edge.BY_SCALAR),
        "long": is_long and not is_declared and any(f"{n}" in text for n in squares.LENGTHS),
        "declared": is_declared and not is_long,
        "large": is_declared and is_long,
        "small": op in (*squares.ROOTS, *squares.AVERAGES),
        "large constant": text in {f"{{0}} * {c!r}" for c in edge.LARGE},
        "mask": op in (*edge.MASKED, *edge.ALONG_AXIS),
    }
    return {kind for kind, is_one in found.items() if is_one}


def test_one_program_in_thirty_goes_to_each_end_of_the_format() -> None:
    """Products that are zero and compared, choices between products that just fit, statistics of long axes, roots of
    small squares, of large ones of declared bounds, constants beyond the format as factors and as masks."""
    seen: Counter[str] = Counter()
    runs, each = 16, 30  # what one run draws is much alike

    def look(program: RandomProgram) -> None:
        seen.update({kind for step in program.block.steps for kind in _edges_of(step.op)})

    for n in range(runs):
        seed(n)(settings(FIND, max_examples=each, deadline=None)(given(program=programs(kinds=EVERY))(look)))()
    assert {kind: n for kind, n in seen.items() if n >= runs * each / 30}.keys() == {
        "zero", "choice at the edge", "long", "small", "large constant", "mask", "declared", "large",
    }, seen  # fmt: skip


def test_values_at_the_edge_are_held_and_nothing_beyond_is() -> None:
    maker = Maker(Config(), None, [known(np.array([3.0, -1.5], np.float32), Config())])  # pyright: ignore[reportArgumentType]
    large = edge.scaled(maker, 0, Noise(Config()).most)
    assert large is not None
    assert maker.values[large].largest == 1.5 * 2.0**25
    assert not maker.values[large].error.any()
    assert maker.add(elementwise.PRODUCT, large, large, at_edge=True) is None
    assert maker.add(elementwise.PRODUCT, 0, large) is None
