"""What each pass does, on programs made for it; one golden text a pass shows the before and after.

pytest tests/passes --update-golden      write tests/golden/ anew, then look at the diff
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from jmpc.config import Config
from jmpc.ir.ops import contract
from jmpc.ir.program import Block, Program, Value, walk
from jmpc.ir.spec import verify
from jmpc.ir.text import print_program
from jmpc.ir.types import Type, secret_fixed
from jmpc.passes.drop_dead_code import drop_dead_code
from jmpc.passes.fold_constants import fold_constants
from jmpc.passes.merge_equal import merge_equal
from jmpc.passes.pipeline import PASSES, Pass, run_passes
from jmpc.passes.pool_before_relu import pool_before_relu
from jmpc.passes.sink_truncations import sink_truncations
from jmpc.roles import Role
from jmpc.testing.draw.ir_programs import Maker, finish
from tests.conftest import GOLDEN

CONFIG = Config()
F = CONFIG.f
LIMIT = 4 << F
WIDEST = {"assumed": contract(F, CONFIG), "declared": LIMIT}
Make = Callable[..., tuple[Value, ...] | Value]
MATRIX = (((1,), (0,)), ((), ()))
POOL = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
POOL |= {"base_dilation": (1, 1), "window_dilation": (1, 1)}


def program(make: Make, *shapes: tuple[int, ...], limit: int = LIMIT) -> Program:
    """A program over secret fixed-point inputs of these shapes."""
    params = tuple(Value(secret_fixed(shape, F, limit, "declared")) for shape in shapes)
    maker = Maker(CONFIG, params)
    found = make(maker, *params)
    made = finish(maker, list(found) if isinstance(found, tuple) else [found], [Role.SECRET] * len(params))
    verify(made, "value")
    return made


def names(made: Program) -> Counter[str]:
    return Counter(op.name for op in walk(made.body))


def cleaned(step: Pass, before: Program) -> Program:
    """After a pass, without what it left unread."""
    after = drop_dead_code(step(before))
    verify(after, "value")
    return after


def shown(step: Pass, before: Program) -> str:
    after = cleaned(step, before)
    return f"{print_program(before, locations=False)}\n{step.__name__}\n\n{print_program(after, locations=False)}"


def product(maker: Maker, x: Value, y: Value) -> Value:
    return maker.emit("truncate", maker.emit("mul", x, y), bits=F)


def layer(maker: Maker, x: Value, w: Value, b: Value) -> Value:
    """x w + b, truncated before the bias is added."""
    short = maker.emit("truncate", maker.emit("dot", x, w, dims=MATRIX), bits=F)
    return maker.emit("add", short, maker.emit("broadcast", b, shape=short.shape, dims=(1,)))


# --- sink_truncations


def test_a_sum_of_products_is_truncated_once() -> None:
    def make(maker: Maker, x: Value, y: Value, z: Value) -> Value:
        total = maker.emit("add", maker.emit("add", product(maker, x, y), product(maker, y, z)), product(maker, x, z))
        return maker.emit("reduce_sum", total, axes=(0,))

    before = program(make, (4,), (4,), (4,))
    after = cleaned(sink_truncations, before)
    assert (names(before)["truncate"], names(after)["truncate"]) == (3, 1)
    assert after.body.ops[-1].name == "truncate"
    assert after.body.ops[-1].output.shape == ()


def test_a_bias_is_folded_in(golden: Callable[[str, str], None]) -> None:
    before = program(layer, (2, 3), (3, 4), (4,))
    after = cleaned(sink_truncations, before)
    assert [op.name for op in after.body.ops] == ["dot", "broadcast", "scale_up", "add", "truncate"]
    golden("sink_truncations", shown(sink_truncations, before))


def test_two_truncations_become_one() -> None:
    def make(maker: Maker, x: Value, y: Value) -> Value:
        cube = maker.emit("mul", maker.emit("truncate", maker.emit("mul", x, y), bits=2), x)
        return maker.emit("truncate", maker.emit("truncate", cube, bits=F), bits=F - 2)

    after = cleaned(sink_truncations, program(make, (4,), (4,), limit=1 << 12))
    assert [op.attrs["bits"] for op in after.body.ops if op.name == "truncate"] == [2, 2 * F - 2]


def test_a_truncation_with_two_readers_stays() -> None:
    def make(maker: Maker, x: Value, y: Value) -> tuple[Value, Value]:
        short = product(maker, x, y)
        return maker.emit("add", short, x), short

    before = program(make, (4,), (4,))
    assert print_program(cleaned(sink_truncations, before)) == print_program(before)


def test_a_truncation_stays_where_the_wide_sum_does_not_fit() -> None:
    """A declared limit of 2^43 leaves no room for 64 terms of 2^36 more."""

    def make(maker: Maker, x: Value, y: Value) -> Value:
        wide = maker.emit("mul", x, y)
        return maker.emit("reduce_sum", maker.emit("truncate", wide, bits=F), axes=(0,))

    tight = program(make, (64,), (64,), limit=1 << 30)
    assert print_program(cleaned(sink_truncations, tight)) == print_program(tight)
    roomy = program(make, (64,), (64,), limit=1 << 26)
    assert cleaned(sink_truncations, roomy).body.ops[-1].name == "truncate"


@pytest.mark.parametrize(("origin", "left"), [("assumed", 2), ("declared", 1)])
def test_truncations_do_not_sink_past_a_gap_that_may_not_fit(origin: str, left: int) -> None:
    """Both products keep the contract; at 36 fraction bits their difference may need more than 62 bits."""

    def make(maker: Maker, x: Value, y: Value) -> Value:
        gap = maker.emit("gap", product(maker, x, y), product(maker, y, y))
        return maker.emit("reshape", gap, shape=(2, 2))

    params = tuple(Value(secret_fixed((4,), F, WIDEST[origin], origin)) for _ in range(2))
    maker = Maker(CONFIG, params)
    before = finish(maker, [make(maker, *params)], [Role.SECRET] * 2)
    assert names(cleaned(sink_truncations, before))["truncate"] == left


@pytest.mark.parametrize("origin", ["assumed", "declared"])
def test_nor_past_the_difference_from_a_constant(origin: str) -> None:
    """maximum(x y, c): a product at the edge of the contract, less a constant, is beyond it."""
    params = tuple(Value(secret_fixed((4,), F, WIDEST[origin], origin)) for _ in range(2))
    maker = Maker(CONFIG, params)
    constant = maker.emit("const", value=-(1 << F), shape=(4,), kind="fixed", scale=F)
    gap = maker.emit("gap", product(maker, *params), constant)
    after = cleaned(sink_truncations, finish(maker, [maker.emit("relu", gap)], [Role.SECRET] * 2))
    (cut,) = (op for op in after.body.ops if op.name == "truncate")
    (difference,) = (op for op in after.body.ops if op.name == "gap")
    assert (cut.inputs[0] is difference.output) == (origin == "declared")


def test_truncations_sink_inside_a_loop() -> None:
    def make(maker: Maker, x: Value, y: Value) -> Value:
        params = tuple(Value(secret_fixed((3,), F, LIMIT, "declared")) for _ in range(2))
        body = Maker(CONFIG, params)
        after = body.emit("add", product(body, *params), product(body, params[1], params[1]))
        block: Block = body.block(body.emit("bound", after, limit=LIMIT, origin="declared"))
        return maker.emit("loop", x, y, body=block, consts=0, carry=1, trip=5)

    after = cleaned(sink_truncations, program(make, (3,), (5, 3)))
    assert names(after)["truncate"] == 1


# --- pool_before_relu


def test_relu_comes_after_the_pool(golden: Callable[[str, str], None]) -> None:
    before = program(lambda maker, x: maker.emit("window_max", maker.emit("relu", x), **POOL), (4, 6))
    after = cleaned(pool_before_relu, before)
    assert [(op.name, op.output.shape) for op in after.body.ops] == [("window_max", (2, 3)), ("relu", (2, 3))]
    golden("pool_before_relu", shown(pool_before_relu, before))


def test_relu_stays_where_another_reads_it() -> None:
    def make(maker: Maker, x: Value) -> tuple[Value, Value]:
        relu = maker.emit("relu", x)
        return maker.emit("reduce_max", relu, axes=(0,)), relu

    before = program(make, (4,))
    assert print_program(cleaned(pool_before_relu, before)) == print_program(before)


# --- drop_dead_code


def test_dead_code_goes_and_inputs_stay(golden: Callable[[str, str], None]) -> None:
    def make(maker: Maker, x: Value, y: Value) -> Value:
        product(maker, x, y)
        maker.emit("relu", y)
        return maker.emit("neg", x)

    before = program(make, (4,), (4,))
    after = drop_dead_code(before)
    assert [op.name for op in after.body.ops] == ["neg"]
    assert len(after.body.params) == len(after.inputs) == 2
    golden("drop_dead_code", shown(drop_dead_code, before))


def test_dead_code_goes_inside_a_loop_and_a_loop_nobody_reads_goes() -> None:
    def make(maker: Maker, x: Value) -> Value:
        def flipped() -> Block:
            body = Maker(CONFIG, (Value(x.type),))
            body.emit("relu", *body.params)
            return body.block(body.emit("neg", *body.params))

        maker.emit("loop", x, body=flipped(), consts=0, carry=1, trip=3)
        return maker.emit("loop", x, body=flipped(), consts=0, carry=1, trip=2)

    after = drop_dead_code(program(make, (4,)))
    assert names(after) == {"loop": 1, "neg": 1}
    assert after.body.ops[0].attrs["trip"] == 2


# --- merge_equal


def test_equal_work_is_done_once(golden: Callable[[str, str], None]) -> None:
    def make(maker: Maker, x: Value, y: Value) -> Value:
        return maker.emit("add", product(maker, x, y), maker.emit("neg", product(maker, x, y)))

    before = program(make, (4,), (4,))
    after = merge_equal(before)
    assert names(after) == {"mul": 1, "truncate": 1, "neg": 1, "add": 1}
    golden("merge_equal", shown(merge_equal, before))


def test_work_that_differs_in_an_attribute_or_an_operand_is_kept() -> None:
    def make(maker: Maker, x: Value, y: Value) -> tuple[Value, ...]:
        wide = maker.emit("mul", x, y)
        cuts = [maker.emit("truncate", wide, bits=bits) for bits in (F, F - 1)]
        return (*cuts, maker.emit("sub", x, y), maker.emit("sub", y, x))

    before = program(make, (4,), (4,))
    assert print_program(merge_equal(before)) == print_program(before)


# --- fold_constants


def test_constants_fold(golden: Callable[[str, str], None]) -> None:
    def make(maker: Maker, x: Value) -> Value:
        like = x.type
        zero = maker.emit("broadcast", maker.const(0, like, ()), shape=x.shape, dims=())
        one = maker.emit("const", shape=x.shape, kind="int", scale=0, value=1)
        three = maker.emit("scale_up", maker.emit("const", shape=x.shape, kind="int", scale=0, value=3), bits=F)
        kept = maker.emit("mul", maker.emit("add", zero, x), one)
        return maker.emit("add", maker.emit("sub", kept, zero), maker.emit("neg", three))

    before = program(make, (2, 3))
    after = cleaned(fold_constants, before)
    assert names(after) == {"const": 1, "add": 1}
    (const,) = (op for op in after.body.ops if op.name == "const")
    assert const.attrs == {"value": -3 << F, "shape": (2, 3), "kind": "fixed", "scale": F}
    golden("fold_constants", shown(fold_constants, before))


def test_a_zero_taken_from_and_a_one_with_fraction_bits_do_not_fold() -> None:
    def make(maker: Maker, x: Value) -> tuple[Value, Value]:
        zero = maker.const(0, x.type)
        return maker.emit("sub", zero, x), maker.emit("mul", x, maker.const(1, x.type))

    before = program(make, (4,))
    assert print_program(cleaned(fold_constants, before)) == print_program(before)


# --- the pipeline


def test_the_passes_together(golden: Callable[[str, str], None]) -> None:
    def make(maker: Maker, x: Value, w: Value, b: Value) -> tuple[Value, Value]:
        hidden = maker.emit("relu", layer(maker, x, w, b))
        pooled = maker.emit("reduce_max", hidden, axes=(1,))
        layer(maker, x, w, b)
        return pooled, maker.emit("argmax", layer(maker, x, w, b), axis=1)

    stages = run_passes(program(make, (2, 3), (3, 4), (4,)), lambda p: verify(p, "value"))
    assert [name for name, _ in stages] == [step.__name__ for step in PASSES]
    after = stages[-1][1]
    assert names(after)["dot"] == names(after)["truncate"] == 1
    golden("pipeline", print_program(after, locations=False))


def test_every_pass_has_a_golden_text() -> None:
    assert {step.__name__ for step in PASSES} <= {path.stem for path in GOLDEN.glob("*.txt")}


def test_types_are_inferred_again() -> None:
    """A pass cannot leave a stale bound: after the fold, the limit is that of x."""

    def make(maker: Maker, x: Value) -> Value:
        return maker.emit("add", x, maker.const(0, x.type))

    before = program(make, (4,))
    found: Type = cleaned(fold_constants, before).body.results[0].type
    assert before.body.results[0].type.limit == LIMIT + 1
    assert found.limit == LIMIT
