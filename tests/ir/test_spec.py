"""Each rule of the verifier has programs that break it, and no random program breaks any."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc import families as _registered  # noqa: F401  (share-level ops)
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir import ops
from jmpc.ir.ops.record import COMMON
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.spec import RULES, verify
from jmpc.ir.text import parse_program, print_program
from jmpc.ir.types import BOOL, FIXED, INT, Type, secret_bits, secret_fixed
from jmpc.testing.draw.ir_programs import Maker, conv_attrs, order_programs, programs, share_programs
from tests.ir.broken import BROKEN, BUILT, DABIT, GOOD, PRELUDE, A, program
from tests.ir.test_text import GOLDEN

quick = settings(max_examples=60, deadline=None, derandomize=True)


def refused(broken: Program, stage: str, rule: str) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        verify(broken, stage)
    assert f"rule {rule!r} is broken" in str(caught.value)
    assert RULES[rule] in str(caught.value)
    return caught.value


@pytest.mark.parametrize("stage", sorted(GOOD))
def test_the_programs_that_the_broken_ones_start_from_are_legal(stage: str) -> None:
    verify(program(*GOOD[stage]), stage)


CASES = [(rule, stage, lines) for rule, cases in BROKEN.items() for stage, lines in cases]


@pytest.mark.parametrize(("rule", "stage", "lines"), CASES, ids=[f"{rule}-{n}" for n, (rule, _, _) in enumerate(CASES)])
def test_a_broken_rule_is_named(rule: str, stage: str, lines: tuple[str, ...]) -> None:
    refused(program(*lines), stage, rule)


# --- what text cannot say


@pytest.mark.parametrize(("rule", "broken"), BUILT, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BUILT)])
def test_a_broken_rule_that_text_cannot_say_is_named(rule: str, broken: Program) -> None:
    refused(broken, "value", rule)


@pytest.mark.parametrize(
    ("owner", "t"),
    [
        ("", "secret int[] arith"),
        ("", 'local("alice") int[] plain'),
        ("alice", "public int[] plain"),
        ("alice", 'local("bob") int[] plain'),
        ("alice", "secret int[] arith"),
        ("secret", "secret int[] arith"),
        ("jmpc.SECRET", 'local("jmpc.SECRET") int[] plain'),
        ("jmpc.SECRET", "secret int[] split"),
        ("jmpc.SECRET", "secret int[] sum3"),
        ("jmpc.SECRET", "secret bool[] arith"),
        ("alice", 'local("alice") int[] plain max 2^64 assumed'),
        ("alice", 'local("alice") int<1>[] plain'),
    ],
)
@pytest.mark.parametrize("stage", sorted(COMMON))
def test_an_input_that_does_not_fit_its_owner_is_refused(owner: str, t: str, stage: str) -> None:
    head = PRELUDE[: PRELUDE.index("input")]
    source = f' from "{owner}"' if owner else ""
    refused(parse_program(f'{head}input %0 "x"{source} : {t}\n'), stage, "inputs")


def test_every_rule_has_a_program_that_breaks_it() -> None:
    tested = {rule for rule, _, _ in CASES} | {rule for rule, _ in BUILT} | {"inputs"}
    assert tested == set(RULES)
    assert all(RULES.values())


# --- what is accepted


@quick
@given(programs(draws=True))
def test_random_programs_are_legal_at_the_value_level(p: Program) -> None:
    verify(p, "value")


@quick
@given(st.one_of(share_programs(), order_programs()))
def test_random_programs_are_legal_at_the_share_level(p: Program) -> None:
    verify(p, "share")


def test_a_program_with_regions_is_legal() -> None:
    verify(parse_program(GOLDEN), "value")


def test_an_input_may_be_shared_already() -> None:
    head = PRELUDE[: PRELUDE.index("input")]
    verify(
        parse_program(f'{head}input %0 "x" from "jmpc.SECRET" : secret int[] arith\noutput %0 "" to "secret" int32\n'),
        "share",
    )


def test_the_compiler_may_set_a_bound_of_any_origin() -> None:
    looser = A.replace("2^44-1 assumed", "2^50 inferred")
    verify(program(f'%20 = bound %10 {{limit=2^50, origin="inferred"}} : {looser}'), "value")


def test_one_bit_may_be_injected_twice_with_one_dabit() -> None:
    lines = (DABIT, f"%30 = inject_dabit %12, %22, %23, %10 : {A}", f"%31 = inject_dabit %12, %22, %23, %11 : {A}")
    verify(program(*lines), "share")


def test_a_region_with_nested_loops_is_legal() -> None:
    maker = Maker(Config(), (Value(secret_fixed((3, 2), 18, 99, "declared")),))
    inner = Maker(Config(), (Value(secret_fixed((2,), 18, 99, "declared")),))
    deepest = Maker(Config(), (Value(secret_fixed((), 18, 99, "declared")),))
    deepest_block = deepest.block(deepest.emit("neg", deepest.params[0]))
    row = inner.emit("loop", inner.params[0], body=deepest_block, consts=0, carry=0, trip=2)
    result = maker.emit("loop", maker.params[0], body=inner.block(row), consts=0, carry=0, trip=3)
    p = Program("p", Config(), (Input("x", "jmpc.SECRET"),), (Output("", "carol", "float32"),), maker.block(result))
    verify(p, "value")
    verify(parse_program(print_program(p)), "share")


def test_the_error_shows_the_place() -> None:
    lines = [f"%{n} = neg %{n - 10 if n == 20 else n - 1} : {A}" for n in range(20, 30)]
    lines[5] = lines[5].replace("[4]", "[5]") + ' @ "train.py:7 (loss)"'
    message = str(refused(program(*lines), "value", "infer"))
    assert "--> train.py:7 (loss)" in message
    shown = [line for line in message.splitlines() if " = neg " in line]
    assert len(shown) == 7
    assert [line.startswith("  >>") for line in shown] == [False] * 3 + [True] + [False] * 3


def test_an_unknown_stage_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no stage 'plan'"):
        verify(parse_program(GOLDEN), "plan")


# --- the tables


def test_an_op_of_another_family_is_none_of_a_programs() -> None:
    assert ops.of_level("share") > ops.of_level("share", "another") >= ops.of_level("share") & ops.of_level("value")
    assert "msb" in ops.of_level("share", "aby3") - ops.of_level("share", "another")


def test_the_operands_of_an_index_op_are_indices_from_where_the_table_says() -> None:
    indices = {"dynamic_slice": 1, "dynamic_update": 2, "gather": 1}
    for name, first in indices.items():
        assert ops.OPS[name].operand(first).kinds == (INT,)  # pyright: ignore[reportOptionalMemberAccess]
        assert BOOL in ops.OPS[name].operand(first - 1).kinds  # pyright: ignore[reportOptionalMemberAccess]


def test_a_convolution_is_legal_at_both_levels() -> None:
    image, kernel = (Value(secret_fixed((1, 1, 3, 3), 18, 99, "declared")) for _ in range(2))
    for name, stage in (("conv", "value"), ("conv_sum3", "share")):
        maker = Maker(Config(), (image, kernel))
        result = maker.emit(name, image, kernel, **conv_attrs())
        result = maker.emit("reshare", result) if stage == "share" else result
        inputs = (Input("x", "jmpc.SECRET"), Input("w", "jmpc.SECRET"))
        verify(Program("p", Config(), inputs, (Output("", "carol", "float32"),), maker.block(result)), stage)


def test_the_axes_of_a_convolution_are_permutations() -> None:
    image, kernel = (Value(secret_fixed((1, 1, 3, 3), 18, 99, "declared")) for _ in range(2))
    maker = Maker(Config(), (image, kernel))
    maker.emit("conv", image, kernel, **{**conv_attrs(), "dims": ((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 2))})
    p = Program("p", Config(), (Input("x", "jmpc.SECRET"), Input("w", "jmpc.SECRET")), (), maker.block())
    assert "three permutations" in str(refused(p, "value", "attributes"))


@pytest.mark.parametrize("make", [lambda: secret_bits((4,)), lambda: secret_fixed((4,), 18, 9)])
def test_a_builder_mistake_is_found(make: Callable[[], Type]) -> None:
    """A pass that writes a type by hand instead of asking `ops.infer` is caught."""
    x = Value(secret_fixed((4,), 18, 9, "declared"))
    builder = Builder("pass.py:1")
    builder.emit("relu", (x,), make())
    p = Program("p", Config(), (Input("x", "jmpc.SECRET"),), (), builder.block((x,), ()))
    assert FIXED in str(refused(p, "value", "infer"))
