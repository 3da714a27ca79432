"""The generator of Share IR draws whatever ops there are of a trait, with attributes that their rules accept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.ops.attributes import AXES
from jmpc.ir.ops.linear import _linear
from jmpc.ir.ops.operands import ANY
from jmpc.ir.ops.record import DRAWS, EFFECT, LINEAR, OPENS, OPS, SELECTION, SUMMING, VALUE
from jmpc.ir.program import Op, Program, Value, walk
from jmpc.ir.types import FIXED, Type, secret_bits
from jmpc.testing.draw import ir_programs
from jmpc.testing.draw.attributes import of_op
from jmpc.testing.draw.ir_programs import Maker, elementwise_ops, ops_with, programs

SHAPED = sorted({*ops_with(LINEAR), *ops_with(DRAWS)} - {*elementwise_ops()})


@pytest.mark.parametrize("name", SHAPED)
@settings(max_examples=15)
@given(data=st.data())
def test_every_op_of_a_trait_has_attributes_that_fit(name: str, data: Any) -> None:
    """For numbers and bits, of ranks 1 to 3; the type rule and the verifier's checks of attributes say what fits."""
    operands = OPS[name].operands
    shape = data.draw(st.sampled_from(((2, 4), (2, 3, 1)) if name == "random_shuffle" else ((4,), (2, 4), (2, 3, 1))))
    bits = bool(operands) and "bool" in operands[0].kinds and data.draw(st.booleans())
    x = Value(secret_bits(shape) if bits else Type(shape, FIXED, 4, 9)) if operands else None
    maker = Maker(Config())
    maker.values = [x] if x is not None else []
    inputs, attrs = of_op(maker, data.draw, name, x)
    maker.emit_many(name, *inputs, **attrs)
    types = [v.type for v in inputs]
    for key, attribute in OPS[name].attrs.items():
        if key in attrs:
            assert attribute.holds(attrs[key], types, maker.config), f"{key}={attrs[key]} is not {attribute.wanted}"


def test_steps_are_the_ops_of_their_traits() -> None:
    assert {*elementwise_ops(), *ops_with(SELECTION), *ops_with(SUMMING)} == {*ops_with(LINEAR)}
    assert elementwise_ops() == ("add", "gap", "neg", "sub")
    assert ops_with(OPENS) == ("permute",)
    assert not {*ops_with(EFFECT)} & {*ops.of_level(VALUE)}


def names_of(program: Program) -> set[str]:
    return {op.name for op in walk(program.body)}


def drawn(count: int, **options: Any) -> set[str]:
    found: set[str] = set()

    @settings(max_examples=count, derandomize=True, database=None)
    @given(programs(steps=8, **options))
    def draw(program: Program) -> None:
        found.update(names_of(program))

    draw()
    return found


def test_random_ops_are_drawn_only_where_they_are_asked_for() -> None:
    assert not drawn(60) & {*ops_with(DRAWS)}


def test_all_of_them_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the steps that go by traits alone, so that a few hundred programs have each of them."""
    steps = (ir_programs.linear, ir_programs.structure, ir_programs.structure, ir_programs.summing, ir_programs.ordered)
    monkeypatch.setattr(ir_programs, "STEPS", (*steps, ir_programs.drawing))
    assert {*ops_with(LINEAR), *ops_with(OPENS), *ops_with(DRAWS)} - drawn(400) == set()


@settings(max_examples=40)
@given(programs(steps=8, draws=True))
def test_no_two_random_ops_are_one(program: Program) -> None:
    def numbered(op: Op) -> bool:
        return ops.has(op.name, DRAWS)

    numbers = [op.attrs["number"] for op in walk(program.body) if numbered(op)]
    assert len(numbers) == len(set(numbers))


def test_an_op_that_is_declared_later_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir_programs, "STEPS", (ir_programs.structure,))
    before = dict(OPS)
    try:
        _linear("turned", (ANY,), {"axes": AXES}, lambda a, x: lax.rev(x, a["axes"]), SELECTION)
        assert "turned" in drawn(100)
    finally:
        OPS.clear()
        OPS.update(before)
    assert VALUE in OPS["rev"].levels
