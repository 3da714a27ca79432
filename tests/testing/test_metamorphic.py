"""Metamorphic rules: they hold for what is right, and fail for what is wrong."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.frontend.walk import RULES, Walker
from jmpc.testing import assert_rule, executor
from jmpc.testing.draw.jax_programs import RandomProgram, programs
from jmpc.testing.metamorphic import (
    ADD_ZERO,
    DOUBLE_TRANSPOSE,
    EVERY,
    SPLIT_AND_CONCATENATE,
    SWAP_OWNERS,
    Rule,
    permute_rows,
    scale,
)
from tests.testing.functions import layer

X = np.float32([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0], [1.5, 1.5, 0.25]])
W = np.float32([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]])
QUICK = ("meaning", "simulated")


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
def test_rules_of_every_function_hold(rule: Rule) -> None:
    assert_rule(rule, layer, X, W, executors=QUICK, inputs={"x": "alice", "w": "bob"}, outputs="alice")


@pytest.mark.filterwarnings("ignore::jmpc.errors.RangeWarning")
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(rule=st.sampled_from(EVERY[:3]), program=programs(steps=8, owners=False))
def test_rules_of_every_function_hold_for_random_programs(rule: Rule, program: RandomProgram) -> None:
    bound = [2 * t for t in program.tolerance]
    assert_rule(rule, program.function, *program.inputs, tolerance=bound, executors=("simulated",), **program.options)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2)])
def test_rows_of_a_batch_may_be_permuted(order: tuple[int, ...]) -> None:
    assert_rule(permute_rows(order), layer, X, W, executors=QUICK)
    assert_rule(permute_rows(order, (0, 1)), lambda x, y: jnp.sort(x * y, 1), X, X, executors=QUICK)


@pytest.mark.parametrize("power", [1, 3, -2])
def test_homogeneous_functions_scale(power: int) -> None:
    assert_rule(scale(power), lambda x, w: x @ w, X, W, executors=QUICK)
    assert_rule(scale(power, degree=2), lambda x: jnp.square(jax.nn.relu(x)), X, tolerance=1e-3, executors=QUICK)
    assert_rule(scale(power, degree=2, arguments=(0, 1)), lambda x, w: x @ w, X, W, tolerance=1e-3, executors=QUICK)


@pytest.mark.parametrize(
    ("rule", "function", "args"),
    [
        (permute_rows((1, 0, 2)), lambda x: x - x[:1], (X,)),
        (permute_rows((1, 0, 2)), lambda x: jnp.cumsum(x, 0), (X,)),
        (scale(1), lambda x: x + 1, (X,)),
        (scale(1), lambda x: x * x, (X,)),
        (Rule("SHIFT", "f(x + 1) = f(x)", lambda x: x + 1), lambda x: x * 2, (X,)),
    ],
)
def test_a_rule_that_does_not_hold_is_found(rule: Rule, function: Any, args: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_rule(rule, function, *args, executors=("meaning",))
    assert f"breaks the rule {rule.name}, {rule.holds}, on meaning: " in str(caught.value)


@pytest.fixture
def wrong_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that forgets every transposition."""

    def forget(w: Walker, eqn: Any, args: Any) -> Any:
        return w.emit("reshape", w.secret(args[0]), shape=tuple(eqn.outvars[0].aval.shape))

    monkeypatch.setitem(RULES, "transpose", forget)


@pytest.mark.usefixtures("wrong_transpose")
def test_a_wrong_compiler_breaks_a_rule() -> None:
    """Forgetting two transpositions does no harm; one, beside a permutation of rows, does."""
    with pytest.raises(AssertionError, match="breaks the rule"):
        assert_rule(permute_rows((1, 0, 2)), lambda x: x.T[:2].T, X, executors=("meaning",))


@pytest.mark.usefixtures("wrong_transpose")
def test_the_snippet_of_a_broken_rule_runs() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_rule(permute_rows((1, 0, 2)), lambda x: x.T[:2].T, X, executors=("meaning",))
    text = str(caught.value)
    with executor("meaning"), pytest.raises(AssertionError, match="breaks the rule"):
        exec(text[text.index("import jax\n") :], {})  # noqa: S102


def test_swapped_owners_must_be_two() -> None:
    with pytest.raises(jmpc.errors.ConfigError, match="needs two owners"):
        assert_rule(SWAP_OWNERS, layer, X, W)


def test_a_rule_leaves_bools_and_scalars_what_they_are() -> None:
    def function(b: Any, s: Any) -> Any:
        return ~b, s * 2

    for rule in (ADD_ZERO, DOUBLE_TRANSPOSE, SPLIT_AND_CONCATENATE):
        assert_rule(rule, function, np.array([True, False]), np.float32(1.5), executors=("meaning",))
