"""A second family, from its own folder alone: it is compiled, costed, run in this process and by three, and private."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from jmpc import Config, families
from jmpc.client.processes import ProcessBackend, started
from jmpc.daemon.children import Settings
from jmpc.errors import ArgumentError, ConfigError, ProgramError, UnsupportedError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.mesh import MeshProgram
from jmpc.executors.placement import Placement
from jmpc.ir.program import Block, Input, Op, Output, Program, Value
from jmpc.ir.types import BITS, BOOL, FIXED, INT, PLAIN, Type
from jmpc.party.cost import Counted, cost_of
from jmpc.party.schedule import Schedule
from jmpc.testing import assert_cost_stated, check_private_exact, check_private_structural
from jmpc.testing.build import config_of
from jmpc.testing.simulator.protocol_run import run_protocol
from tests.families.dealer2 import DEALER2

CONFIG = Config(protocol="dealer2")
X = np.linspace(-3, 3, 6).reshape(2, 3).astype(np.float32)
W = np.array([[0.5, -1.0], [2.0, 0.25], [-0.125, 3.0]], np.float32)
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "sums": (lambda x: x + x[::-1] - 2 * x, (X,)),
    "product": (lambda x, y: x * y * y, (X, X + 1)),
    "matrix product": (lambda x, w: x @ w, (X, W)),
    "linear model": (lambda x, w: (x @ w + 1.5) * 0.25, (X, W)),
    "mean of squares": (lambda x: jnp.mean(x * x), (X,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_its_result(name: str) -> None:
    function, args = FUNCTIONS[name]
    found = jmpc.secure(function, config=CONFIG)(*args)
    np.testing.assert_allclose(found, function(*args), atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_counted_before_a_run_is_what_it_spends(name: str) -> None:
    function, args = FUNCTIONS[name]
    assert_cost_stated(function, *args, config=CONFIG)


def test_the_cost_report_names_what_rests_on_assumed_bounds() -> None:
    """By what the family says of its ops."""
    lower = jmpc.secure(lambda x: x * x, config=CONFIG).lower
    assert len(lower(X).cost().assumed) == 1
    assert jmpc.secure(lambda x: jmpc.bounded(x, 4) * 3, config=CONFIG).lower(X).cost().assumed == ()


def test_what_the_family_cannot_hold_is_refused_at_the_line() -> None:
    """It has no form for bools, and its lowering leaves `share` as it is."""
    handed = jmpc.secure(lambda b: b, inputs={"b": "alice"}, outputs="bob", owners=["bob"], config=CONFIG)
    with pytest.raises(UnsupportedError, match=r"dealer2 has no way to hold a secret bool(.|\n)*form bits"):
        handed.lower(X > 0)


def test_a_party_refuses_a_text_with_what_the_family_cannot_hold() -> None:
    x = Value(Type((3,), BOOL, visibility="local", owner="alice", form=PLAIN))
    shared = Op("share", (x,), (Value(Type((3,), BOOL, form=BITS)),))
    body, told = Block((x,), (shared,), shared.outputs), Output("[0]", "bob", "bool")
    held = Program("held", CONFIG, (Input("x", "alice"),), (told,), body)
    with pytest.raises(ProgramError, match="dealer2 has no way to hold a secret bool"):
        PartyEngine(0).load(program_text(held, Schedule({}, {}, {})))


def test_the_cost_report_is_by_party() -> None:
    function, args = FUNCTIONS["linear model"]
    report = jmpc.secure(function, config=CONFIG).lower(*args).cost()
    opened = 8 * (X.size + W.size)
    assert report.bytes_sent == (opened + 2 * 8 * 4, opened + 2 * 8 * 4, 8 * 4 + 2 * 2 * 8 * 4)
    assert report.bytes_received[2] == 0
    assert set(report.by_op) == {"beaver_dot", "truncate_dealt"}
    assert "beaver_dot" in str(report)


def test_a_result_that_stays_shared_goes_into_another_call() -> None:
    secured = jmpc.secure(lambda x: x * x, config=CONFIG, outputs=jmpc.SECRET)
    again = jmpc.secure(lambda y: y + 1, config=CONFIG)
    np.testing.assert_allclose(again(secured(X)), X * X + 1, atol=1e-4)


@pytest.mark.parametrize(("of", "to"), [("dealer2", "aby3"), ("aby3", "dealer2")])
def test_a_handle_stays_with_its_family(of: str, to: str) -> None:
    """Its parties hold other summands; and types are equal, so that it would be the same program."""
    mine, others = (jmpc.secure(lambda x: x, config=Config(protocol=p), outputs=jmpc.SECRET)(X) for p in (to, of))
    again = jmpc.secure(lambda y: y + 1, config=Config(protocol=to))
    np.testing.assert_allclose(again(mine), X + 1, atol=1e-4)
    with pytest.raises(ArgumentError, match=f"another family of protocols(.|\n)*shared by {of}; .* for {to}"):
        again(others)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessBackend]:
    with started(Settings(modules=("tests.families.dealer2",))) as backend:
        yield backend


@pytest.mark.parametrize("name", ["product", "linear model"])
def test_three_processes_give_it_too(name: str, processes: ProcessBackend) -> None:
    function, args = FUNCTIONS[name]
    compiled = jmpc.secure(function, config=CONFIG).lower(*args).compile()
    with jmpc.use(processes):
        found = compiled(*args)
    np.testing.assert_allclose(found, function(*args), atol=1e-4)
    report = compiled.lowered.cost()
    assert (compiled.last_run.rounds, compiled.last_run.bytes_sent) == (report.rounds, report.bytes_sent)


def test_a_handle_stays_with_the_processes(processes: ProcessBackend) -> None:
    secured = jmpc.secure(lambda x: x * x, config=CONFIG, outputs=jmpc.SECRET)
    with jmpc.use(processes):
        found = jmpc.secure(lambda y: y + 1, config=CONFIG)(secured(X))
    np.testing.assert_allclose(found, X * X + 1, atol=1e-4)


# --- what protocols cost, by hand, beside what is counted


def by_hand(opened: int, dealt: int) -> Counted:
    """Of so many elements that parties 0 and 1 open to each other, each under a mask that party 2 knows, and so many
    that party 2 deals: party 0 draws its summand, party 1 is sent the other."""
    sent = ((0, 8 * opened, 0), (8 * opened, 0, 0), (0, 8 * dealt, 0))
    return Counted(1, sent, (0, opened, opened + dealt))  # of the keys of parties 0 and 1, 1 and 2, 2 and 0


SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (2, 2, 3), (65,)])


@given(shape=SHAPES)
def test_what_a_product_costs(shape: tuple[int, ...]) -> None:
    x = Type(shape, INT)
    assert cost_of("beaver_mul", [x, x], {}, CONFIG) == by_hand(2 * x.size, x.size)


@given(rows=st.integers(1, 5), inner=st.integers(1, 5), columns=st.integers(1, 5))
def test_what_a_matrix_product_costs(rows: int, inner: int, columns: int) -> None:
    x, y = Type((rows, inner), INT), Type((inner, columns), INT)
    found = cost_of("beaver_dot", [x, y], {"dims": (((1,), (0,)), ((), ()))}, CONFIG)
    assert found == by_hand(x.size + y.size, rows * columns)


@given(shape=SHAPES, bits=st.integers(1, 20))
def test_what_a_truncation_costs(shape: tuple[int, ...], bits: int) -> None:
    x = Type(shape, FIXED, 20, 1 << 40)
    assert cost_of("truncate_dealt", [x], {"bits": bits}, CONFIG) == by_hand(x.size, 2 * x.size)


# --- privacy

CASES: dict[str, tuple[Callable[[tuple[int, ...]], list[Type]], dict[str, Any], int]] = {
    "beaver_mul": (lambda shape: [Type(shape, INT), Type(shape, INT)], {}, 2),
    "truncate_dealt": (lambda shape: [Type(shape, FIXED, 1, 1)], {"bits": 1}, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_exactly_private(name: str) -> None:
    inputs, attrs, k = CASES[name]
    found = check_private_exact(name, inputs, attrs, config=config_of(k, 0, "dealer2"))
    assert found.observers == 3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_structurally_private(name: str) -> None:
    function, args = FUNCTIONS[name]
    check_private_structural(jmpc.secure(function, config=CONFIG), args, args)


@pytest.mark.parametrize("k", [13, 32, 64])
def test_a_truncation_is_off_by_one_at_most(k: int) -> None:
    rng, most = np.random.default_rng(k), 1 << (k - 2)
    x = np.array([0, 1, -1, most - 1, -most, *rng.integers(-most, most, 95)])
    ran = run_protocol(
        "truncate_dealt", [Type((100,), FIXED, 5, most - 1)], [x], {"bits": 5}, config=config_of(k, 5, "dealer2")
    )
    assert set((ran.results[0] - (x >> 5)).tolist()) <= {0, 1}


# --- what it cannot


def test_an_op_without_a_protocol_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"dealer2 has no protocol for relu") as found:
        jmpc.secure(lambda x: jnp.maximum(x, 0), config=CONFIG)(X)
    assert "test_dealer2.py" in found.value.where


def test_parties_that_hold_values_unlike_each_other_are_none_for_a_mesh() -> None:
    placed = jmpc.secure(lambda x: x * x, config=CONFIG).lower(X).flow.placed(Placement.here())
    with pytest.raises(ConfigError, match="mesh executor cannot run this family"):
        MeshProgram(placed)


def test_a_family_is_known_by_its_name() -> None:
    families.register(DEALER2)  # once more is nothing
    with pytest.raises(ConfigError, match="no such protocol family"):
        Config(protocol="dealer3")
