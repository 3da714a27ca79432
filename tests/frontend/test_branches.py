"""Branches: those that the compiler knows, those that a call chooses in public, those that a secret chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import BoundError, UnsupportedError
from tests.frontend.data import B, I, X
from tests.frontend.oracle import check, run

BRANCHES = [
    lambda x: (x * 2, x > 0, 7, jnp.float32(1)),
    lambda x: (x + 1, x < 0, 8, x[0, 1]),
    lambda x: (x * x, x > 1, 9, jnp.float32(2)),
]


def test_a_branch_that_the_compiler_knows() -> None:
    check(lambda x: lax.cond(True, lambda x: x * 2, lambda x: x + 1, x), X)
    check(lambda x, p: x * lax.cond(p > 0, jnp.sin, jnp.cos, p), X, np.float32(1), public=["p"])


@pytest.mark.parametrize("public", [[], ["n"]])
@pytest.mark.parametrize("number", [-3, 0, 1, 2, 5])
def test_one_of_several(number: int, public: list[str]) -> None:
    """A number beyond the last case is the last, below the first the first, as in JAX."""
    check(lambda x, n: lax.switch(n, BRANCHES, x), X, np.int32(number), public=public)


@pytest.mark.parametrize("public", [[], ["n"]])
@pytest.mark.parametrize("number", [-1, 1])
def test_one_of_two(number: int, public: list[str]) -> None:
    check(lambda x, n: lax.cond(n > 0, BRANCHES[0], BRANCHES[1], x), X, np.int32(number), public=public)
    check(
        lambda x, n: lax.cond(n > 0, lambda x, n: n * 2, lambda x, n: n - 1, x, n), X, np.int32(number), public=public
    )


def test_branches_in_loops_and_under_transformations() -> None:
    def step(c: Any, t: Any) -> Any:
        return lax.cond(c[0] > 0, lambda c: c - t, lambda c: c + t, c), c.sum()

    def square(x: Any) -> Any:
        return lax.cond(x[0, 0] > 0, lambda x: (x * x).sum(), lambda x: (x * 3).sum(), x)

    check(lambda x: lax.scan(step, x[0], x), X)
    check(lambda x: jax.value_and_grad(square)(x), X)
    check(lambda x: jax.value_and_grad(square)(-x), X)
    check(lambda x: jax.vmap(lambda r: lax.cond(r[0] > 0, lambda r: r * 2, lambda r: r - 1, r))(x), X)
    public = lambda t, n: lambda c: lax.cond(t > n, lambda c: c * 0.5, lambda c: c + t, c)  # noqa: E731
    check(lambda x, n: lax.fori_loop(0, 4, lambda t, c: public(t, n)(c), x), X, np.int32(1), public=["n"])


def test_a_choice_by_a_bool_needs_no_comparison() -> None:
    chosen = jmpc.secure(lambda b, x: lax.cond(b, lambda x: x * 2, lambda x: x + 1, x))
    names = {op.name for op in chosen.lower(B[0, 0], X).flow.frontier.program.body.ops}
    assert "is_zero" not in names


def test_check_mode_sees_the_choice() -> None:
    config = jmpc.Config(check=True)
    function = lambda x: lax.cond(x[0, 0] > 0, lambda x: x * 2, lambda x: x + 1, x)  # noqa: E731
    for sign in (1, -1):
        found = jmpc.secure(function, config=config)(sign * X[:1, :2])
        np.testing.assert_allclose(found, function(sign * X[:1, :2]), atol=1e-4)


def test_a_fault_in_a_branch_says_which() -> None:
    def function(x: Any) -> Any:
        big = lambda x: jmpc.bounded(x, 2.0**20) * jmpc.bounded(x, 2.0**20)  # noqa: E731
        return lax.cond(x[0, 0] > 0, big, lambda x: x, x)

    with pytest.raises(BoundError, match="in branch 1 of a choice"):
        run(function, X)


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda x: lax.cond(x[0, 0] > 0, _shout, lambda x: x, x), "a branch prints"),
        (lambda x: (jax.debug.print("{x}", x=x), x * 2)[1], "printing a secret"),
    ],
)
def test_printing(function: Callable[..., Any], hint: str) -> None:
    with pytest.raises(UnsupportedError, match=hint):
        run(function, X)


def _shout(x: Any) -> Any:
    jax.debug.print("taken")
    return x * 2


def test_public_values_print_at_each_call(capfd: pytest.CaptureFixture[str]) -> None:
    def function(x: Any, n: Any) -> Any:
        jax.debug.print("n = {n}", n=n)
        return lax.fori_loop(0, 2, lambda k, c: (jax.debug.print("k = {k}", k=k), c + x)[1], x)

    secured = jmpc.secure(function, public=["n"])
    for n in (5, 6):
        secured(I[:1, :2], np.int32(n))
        jax.effects_barrier()
        assert capfd.readouterr().out.splitlines() == [f"n = {n}", "k = 0", "k = 1"]
