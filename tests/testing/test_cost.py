"""What the compiler states of whole programs is what simulated parties count, for shapes and programs drawn."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import jmpc
from jmpc.testing.cost import Spent, assert_cost_stated, counted, stated
from jmpc.testing.draw.jax_programs import RandomProgram, programs
from jmpc.testing.draw.strategies import broadcast_pairs, shapes
from jmpc.testing.executors import SimulatedBackend, executor

X = np.arange(6, dtype=np.float32).reshape(2, 3) / 4 - 0.5


@settings(max_examples=6)
@given(shape=shapes(most=200))
def test_of_any_shape(shape: tuple[int, ...]) -> None:
    x = np.resize(np.float32([0.5, -1, 2]), shape)
    assert_cost_stated(lambda x: (x * x, x > 0.25), x)


@settings(max_examples=6)
@given(pair=broadcast_pairs())
def test_of_any_two_shapes(pair: Any) -> None:
    x, y = (np.ones(s, np.float32) for s in pair[:2])
    assert_cost_stated(lambda x, y: jnp.maximum(x, y) * y, x, y, config=jmpc.Config(k=32, f=8))


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(kinds=("linear", "comparison", "selection", "matmul", "reduction", "loop"), owners=False))
def test_of_random_programs(program: RandomProgram) -> None:
    assert_cost_stated(program.function, *program.inputs, **program.options)


def test_of_a_loop() -> None:
    """Every iteration is counted."""

    def function(x: Any) -> Any:
        return jax.lax.scan(lambda c, t: (c * t, c > t), x[0], x)

    assert_cost_stated(function, X)
    one, two, three = (_stated(function, np.resize(X, (n, 3))) for n in (1, 2, 3))
    assert (two.rounds, three.rounds) == (2 * one.rounds, 3 * one.rounds)
    grown = np.subtract(two.mask_words, one.mask_words)
    assert (grown > 0).all()


def _stated(function: Any, x: np.ndarray) -> Spent:
    return stated(jmpc.secure(function).lower(x))


def test_a_statement_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SimulatedBackend.execute

    def chatty(self: SimulatedBackend, flow: Any, inputs: Any) -> Any:
        out = right(self, flow, inputs)
        self.report.bytes_sent[1] += 8
        return out

    monkeypatch.setattr(SimulatedBackend, "execute", chatty)
    with pytest.raises(AssertionError, match=r"stated Spent\(.*, counted Spent\("):
        assert_cost_stated(lambda x: x * x, X)


def test_what_is_covered() -> None:
    said = Spent(3, (1, 2, 3), (4, 5, 6))
    assert said.covers(said)
    for change in ({"rounds": 2}, {"bytes_sent": (1, 2, 4)}, {"mask_words": (4, 5, 7)}):
        assert not said.covers(dataclasses.replace(said, **change))
    assert dataclasses.replace(said, exact=False).covers(dataclasses.replace(said, rounds=2))
    assert not dataclasses.replace(said, exact=False).covers(dataclasses.replace(said, rounds=4))


def test_a_product_by_hand() -> None:
    """Six elements: reshared after the product would be one round; opened for a truncation, which takes two more at
    most; each message by its formula."""
    with executor("simulated") as backend:
        jmpc.secure(lambda x: x + x)(X)
        free = counted(backend, 3)
        jmpc.secure(lambda x: x * x)(X)
        product = counted(backend, 3)
    assert (free.rounds, free.bytes_sent) == (0, (0, 0, 0))
    assert 1 <= product.rounds <= 3
    assert product.bytes_sent[0] >= 6 * 8
