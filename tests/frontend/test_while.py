"""While loops: those whose length the compiler finds, and those that get a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc.errors import ArgumentError, ConfigError, UnsupportedError
from tests.frontend.data import X
from tests.frontend.oracle import assert_same, check, run


def test_a_length_that_the_compiler_finds() -> None:
    check(lambda x: lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 0.5 + s[0]), (0, x)), X)
    check(lambda x: lax.while_loop(lambda s: s[0] ** 2 < 50, lambda s: (s[0] * 2 + 1, s[1] * 0.5 + x[0]), (0, x)), X)
    check(lambda x: lax.while_loop(lambda s: s[0] < 0, lambda s: (s[0] + 1, s[1] * 0.5), (0, x)), X)
    inner = lambda c, t: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5 + t), (0, c))[1]  # noqa: E731
    check(lambda x: lax.scan(lambda c, t: (inner(c, t), None), x[0], x), X)
    check(lambda x, n: x * lax.while_loop(lambda c: c < n, lambda c: c * 3, 1.0), X, np.float32(50), public=["n"])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x, n: lax.while_loop(lambda c: c.sum() > 0.1, lambda c: c * 0.5, x), "depends on a secret"),
        (lambda x, n: lax.fori_loop(0, n, lambda k, c: c * 0.5, x), "known only at the call"),
        (lambda x, n: lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] - s[0], s[1] * 2), (0, x)), "does not end"),
    ],
)
def test_a_length_that_nobody_may_know(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        run(function, X, np.int32(3), public=["n"])


def _halve(x: Any, steps: int = 6) -> Any:
    return jmpc.bounded_while(lambda s: s[0].sum() > 0.4, lambda s: (s[0] * 0.5, s[1] + 1), (x, 0), steps)


@given(start=st.floats(-4, 4, width=16), steps=st.integers(0, 6))
def test_a_bounded_loop_is_a_while_loop_up_to_its_bound(start: float, steps: int) -> None:
    def plain(s: tuple[float, int]) -> tuple[float, int]:
        while s[0] > 0.4 and s[1] < steps:
            s = (s[0] / 2, s[1] + 1)
        return s

    found = jmpc.bounded_while(lambda s: s[0] > 0.4, lambda s: (s[0] * 0.5, s[1] + 1), (start, 0), steps)
    assert_same(found, tuple(jnp.asarray(v) for v in plain((start, 0))), 1e-6)


def test_bounded_loops_on_secrets() -> None:
    check(lambda x: _halve(x), abs(X))
    check(lambda x: _halve(x, 0), X)
    check(lambda x: jax.grad(lambda x: (_halve(x)[0] ** 2).sum())(x), abs(X))
    check(lambda x: jax.vmap(lambda r: _halve(r))(x), X)
    counted = lambda x, n: jmpc.bounded_while(lambda s: s[1] < n, lambda s: (s[0] * 0.5, s[1] + 1), (x, 0), 5)  # noqa: E731
    for n in (3, 9):
        check(counted, X, np.int32(n), public=["n"])
        check(counted, X, np.int32(n))


@pytest.mark.parametrize("steps", [-1, 2.0, True, None])
def test_a_bound_is_a_number_of_steps(steps: Any) -> None:
    with pytest.raises(ConfigError, match="max_steps"):
        jmpc.bounded_while(lambda x: x > 0, lambda x: x - 1, 3, steps)


def test_a_predicate_is_one_bool_and_a_body_keeps_the_state() -> None:
    with pytest.raises(ArgumentError, match="not one bool"):
        jmpc.bounded_while(lambda x: x > 0, lambda x: x - 1, jnp.ones(3), 2)
    with pytest.raises(ArgumentError, match="same structure"):
        jmpc.bounded_while(lambda x: jnp.bool_(True), lambda x: (x, x), jnp.ones(3), 2)
