"""Choices follow the cost formulas, and a truncation that may fail is taken only within the failure budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.lowering import lower
from jmpc.families.replicated3.lowering.choose import Choice, for_program
from jmpc.families.replicated3.lowering.predict import PREDICTED
from jmpc.families.replicated3.protocols.compare import MAX_BLOCK
from jmpc.ir.program import Program, Value
from jmpc.ir.types import secret_fixed
from jmpc.testing.draw.ir_programs import Maker, finish


def fails(truncations: int, limit: int, k: int) -> float:
    """The bound on the probability that some truncation of a program fails: a sum of |z| / 2^k."""
    return truncations * limit / 2.0**k


@given(
    truncations=st.integers(1, 1 << 20),
    limit=st.integers(1, 1 << 50),
    failure_bits=st.integers(1, 80),
    k=st.sampled_from((32, 64)),
)
def test_local_truncation_keeps_the_failure_budget(truncations: int, limit: int, failure_bits: int, k: int) -> None:
    config = Config(k=k, f=8, failure_bits=failure_bits)
    local = Choice(config, truncations).truncate_locally(secret_fixed((), 16, limit, "declared"))
    assert local == (fails(truncations, limit, k) <= 2.0**-failure_bits)


@pytest.mark.parametrize(("limit", "chosen"), [(1 << 22, "truncate_local"), ((1 << 22) + 1, "truncate_wrap")])
def test_the_boundary_of_the_budget(limit: int, chosen: str) -> None:
    """Four truncations of |z| <= 2^22 in a ring of 64 bits: 4 * 2^22 / 2^64 = 2^-40."""
    assert names(lower(cut(limit, 4))).count(chosen) == 1


def test_the_budget_is_that_of_the_whole_program_loops_included() -> None:
    assert for_program(cut(1 << 20, 16)).truncations == 16
    assert for_program(looped(1 << 20, 4, trip=8)).truncations == 32
    assert for_program(looped(1 << 20, 4, trip=0)).truncations >= 1


def test_the_exact_budget_in_a_loop() -> None:
    assert "truncate_local" in names(lower(looped(1 << 20, 4, trip=4)))
    assert "truncate_wrap" in names(lower(looped(1 << 20, 4, trip=5)))


def names(program: Program) -> list[str]:
    bodies = [program.body, *(op.attrs["body"] for op in program.body.ops if op.name == "loop")]
    return [op.name for body in bodies for op in body.ops]


def cut(limit: int, size: int) -> Program:
    maker = Maker(Config(), (Value(secret_fixed((size,), 36, limit, "declared")),))
    return finish(maker, [maker.emit("truncate", maker.params[0], bits=18)], ["jmpc.SECRET"])


def looped(limit: int, size: int, trip: int) -> Program:
    t = secret_fixed((size,), 36, limit, "declared")
    body = Maker(Config(), (Value(t),))
    block = body.block(body.emit("truncate", body.params[0], bits=18))
    maker = Maker(Config(), (Value(t.with_(shape=(trip, size))),))
    return finish(maker, [maker.emit("loop", *maker.params, body=block, consts=0, carry=0, trip=trip)], ["jmpc.SECRET"])


@given(size=st.integers(1, 1 << 20), width=st.integers(2, 64), network=st.sampled_from(("local", "lan", "wan")))
def test_the_block_of_a_comparison_is_the_cheapest(size: int, width: int, network: str) -> None:
    choice, t = Choice(Config(network=network), 1), secret_fixed((size,), 0, 1)

    def seconds(name: str, block: int) -> float:
        return choice.seconds(PREDICTED[name]((t,), {"width": width, "drop": 0, "block": block}, choice.config))

    for name, chosen in (("msb", choice.sign_block), ("zero_test", choice.zero_block)):
        best = chosen(size, width)
        assert seconds(name, best) == min(seconds(name, block) for block in range(1, MAX_BLOCK + 1))


def test_dear_rounds_buy_bytes_and_dear_bytes_buy_rounds() -> None:
    near, far = Choice(Config(network="local"), 1), Choice(Config(network="wan"), 1)
    assert far.sign_block(64, 45) > near.sign_block(1 << 20, 45)
    assert far.use_dabit(64)
    assert not near.use_dabit(1 << 22)
    assert far.one_shot(8, 1, 45)
    assert not near.one_shot(32, 1 << 16, 45)


def test_the_cost_of_one_after_the_other_adds_up() -> None:
    assert Cost(1, (2, 3, 4)) + Cost(5, (6, 7, 8)) == Cost(6, (8, 10, 12))
    assert Cost(1, (2, 9, 4)).busiest == 9
