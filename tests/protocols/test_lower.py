"""From what to how: a lowered program computes what the value-level program says, on random programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.families.replicated3.lowering import lower
from jmpc.families.replicated3.lowering.predict import PREDICTED
from jmpc.ir import ops
from jmpc.ir.interp import evaluate
from jmpc.ir.program import Program, Value
from jmpc.ir.spec import verify
from jmpc.ir.types import secret_fixed
from jmpc.passes.pipeline import run_passes
from jmpc.testing.draw.ir_programs import Maker, finish, programs
from jmpc.testing.simulator.lockstep import run
from tests.passes.chains import chains
from tests.passes.ulps import Judged, judge, small_inputs

ANY = st.one_of(programs(), programs(steps=10), chains())


def agrees(found: Sequence[np.ndarray], judged: Judged) -> None:
    for x, wanted, error in zip(found, judged.results, judged.errors, strict=True):
        assert x.dtype == wanted.dtype
        assert x.shape == wanted.shape
        assert (np.abs(x.astype(np.float64) - wanted.astype(np.float64)) <= error).all()


@settings(max_examples=30)
@given(program=ANY, seed=st.integers(0, 1 << 16))
def test_a_lowered_program_computes_what_the_program_says(program: Program, seed: int) -> None:
    inputs = small_inputs(program, seed)
    judged = judge(program, inputs)
    assume(judged.kept)
    share = lower(program)
    verify(share, "share")
    agrees(run(share, inputs, seed)[0], judged)


@settings(max_examples=15)
@given(program=chains(most=14), seed=st.integers(0, 1 << 16))
def test_so_does_one_that_the_passes_changed(program: Program, seed: int) -> None:
    inputs = small_inputs(program, seed)
    after = run_passes(program, lambda p: verify(p, "value"))[-1][1]
    judged = judge(after, inputs)
    assume(judged.kept)
    agrees(run(lower(after), inputs, seed)[0], judged)


# --- bounds: where a protocol looks at fewer bits than the ring has


def at_the_contract(config: Config) -> np.ndarray:
    """Numbers at both ends of what the number format promises."""
    most = ops.contract(config.f, config)
    return np.array([most, -most, most - 1, 1 - most, 0, 1, -1, most // 2])


def binary(name: str, config: Config) -> Program:
    """Two assumed values: their difference compared, or their maximum along an axis."""
    t = secret_fixed((8, 8), config.f, ops.contract(config.f, config))
    maker = Maker(config, (Value(t), Value(t)))
    if name == "is_negative":
        return finish(maker, [maker.emit(name, maker.emit("sub", *maker.params))], ["jmpc.SECRET"] * 2)
    rows = [maker.emit("reshape", v, shape=(1, 8, 8)) for v in maker.params]
    both = maker.emit("concat", *rows, axis=0)
    attrs = {"axis": 0} if name == "argmax" else {"axes": (0,)}
    return finish(maker, [maker.emit(name, both, **attrs)], ["jmpc.SECRET"] * 2)


@pytest.mark.parametrize("config", [Config(), Config(k=32, f=8), Config(network="wan")])
@pytest.mark.parametrize("name", ["is_negative", "reduce_max", "argmax"])
def test_any_two_values_within_the_contract_compare_right(name: str, config: Config) -> None:
    """Their difference may be twice the contract."""
    ends = at_the_contract(config)
    x, y = (np.ascontiguousarray(a) for a in np.meshgrid(ends, ends))
    program = binary(name, config)
    (found,), _ = run(lower(program), [x, y])
    np.testing.assert_array_equal(found, evaluate(program, [x, y])[0])


@pytest.mark.parametrize("config", [Config(), Config(k=32, f=8), Config(network="wan")])
def test_the_padding_of_a_pool_never_wins(config: Config) -> None:
    t = secret_fixed((2, 4), config.f, ops.contract(config.f, config))
    maker = Maker(config, (Value(t),))
    attrs = {"window": (2, 2), "strides": (1, 1), "padding": ((1, 1), (0, 1))}
    attrs |= {"base_dilation": (1, 1), "window_dilation": (1, 1)}
    program = finish(maker, [maker.emit("window_max", maker.params[0], **attrs)], ["jmpc.SECRET"])
    x = at_the_contract(config).reshape(2, 4)
    (found,), _ = run(lower(program), [x])
    np.testing.assert_array_equal(found, evaluate(program, [x])[0])


# --- what is chosen: one round for what can share it, and no more work than needed


def layer(config: Config) -> Program:
    """relu(x w), truncated."""
    shapes, limit = ((3, 4), (4, 5)), ops.contract(config.f, config)
    params = tuple(Value(secret_fixed(shape, config.f, limit)) for shape in shapes)
    maker = Maker(config, params)
    wide = maker.emit("dot", *params, dims=(((1,), (0,)), ((), ())))
    return finish(maker, [maker.emit("relu", maker.emit("truncate", wide, bits=config.f))], ["jmpc.SECRET"] * 2)


def test_the_sign_is_taken_beside_the_truncation() -> None:
    """A dense layer with ReLU: the product's round, then truncation and comparison from one opening."""
    share = lower(layer(Config()))
    names = [op.name for op in share.body.ops]
    assert names.count("open_split") == 1
    assert "reshare" not in names
    opened = next(op.output for op in share.body.ops if op.name == "open_split")
    assert [op.name for op in share.body.ops if opened in op.inputs] == ["truncate_wrap", "msb"]
    inputs = [np.full((3, 4), 1 << 18), np.full((4, 5), -(1 << 18))]
    _, report = run(share, inputs)
    sign = next(op for op in share.body.ops if op.name == "msb")
    cost = PREDICTED["msb"]([v.type for v in sign.inputs], sign.attrs, Config())
    assert report.rounds == cost.rounds  # its deal rides on the round of the product, the injection on its last one


def test_a_product_that_is_only_revealed_is_never_reshared() -> None:
    t = secret_fixed((4,), 18, 1 << 20)
    maker = Maker(Config(), (Value(t), Value(t)))
    program = finish(maker, [maker.emit("neg", maker.emit("mul", *maker.params))], ["jmpc.SECRET"] * 2)
    share = lower(program)
    assert [op.name for op in share.body.ops] == ["mul_sum3", "neg"]
    (found,), report = run(share, [np.array([1, -2, 3, 4]), np.array([5, 6, -7, 0])])
    np.testing.assert_array_equal(found, [-5, 12, 21, 0])
    assert report.rounds == 0
