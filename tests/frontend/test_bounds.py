"""Bounds: inferred, declared, assumed; shown in the text; refused at the line that breaks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import BoundError, ConfigError, RangeWarning
from tests.frontend.data import B, X
from tests.frontend.oracle import run


def _text(function: object, *args: object, stage: str = "value") -> str:
    return jmpc.secure(function).lower(*args).as_text(stage)


def test_the_text_says_where_a_bound_comes_from() -> None:
    text = _text(lambda x, b: (jmpc.bounded(x, 2.0) + 1, x + 1, b.sum()), X, B)
    assert "declared" in text
    assert "assumed" in text
    assert "inferred" in text


def test_a_declared_bound_is_the_inputs_own() -> None:
    secured = jmpc.secure(lambda x: jmpc.bounded(x, 4.0) * 2)
    (source,) = secured.lower(X).flow.share.body.params
    assert (source.type.limit, source.type.origin) == (4 << 18, "declared")


def test_declared_bounds_make_comparisons_narrow() -> None:
    def cost(limit: float) -> int:
        return max(jmpc.secure(lambda x: jnp.maximum(jmpc.bounded(x, limit), 0)).lower(X).cost().bytes_sent)

    assert cost(1.0) < cost(4096.0)


def test_an_owners_bound_survives_work_in_the_clear() -> None:
    lowered = jmpc.secure(lambda x, y: jmpc.bounded(jnp.tanh(x), 1.0) * y, inputs={"x": "alice"}).lower(X, X)
    limits = {s.type.limit / 2**18 for s in lowered.flow.frontier.sources}
    assert 1.0 in limits


def test_a_product_that_the_ring_cannot_hold() -> None:
    with pytest.raises(BoundError, match="scale an operand down") as caught:
        jmpc.secure(lambda x: jmpc.bounded(x, 2.0**25) * jmpc.bounded(x, 2.0**24)).lower(X)
    assert __file__ in caught.value.where
    assert len(caught.value.todo) == 3


def test_a_sum_that_the_ring_cannot_hold() -> None:
    def repeated(x: jnp.ndarray) -> jnp.ndarray:
        x = jmpc.bounded(x, 2.0**30)
        return lax.dot(x, jnp.full((4, 4), 1024.0))

    with pytest.raises(BoundError) as caught:
        jmpc.secure(repeated, config=jmpc.Config(f=20)).lower(X)
    assert "repeated" in caught.value.where


LARGE = (np.random.default_rng(1).uniform(-0.9, 0.9, (6, 4)) * 3e4).astype(np.float32)
# Of numbers below 3e4, whose squares the ring does not hold with all their bits.
NEEDED: dict[str, Callable[[Any], Any]] = {
    "a result": lambda x: x * x,
    "a result beside its root": lambda x: (jnp.sqrt((x * x).mean(-1)), (x * x).mean(-1)),
    "less than itself": lambda x: jnp.sqrt((x * x).mean(-1) - 0.5 * x.mean(-1) ** 2),
    "with another number": lambda x: jnp.sqrt((x * x).mean(-1) + x.mean(-1)),
    "the larger": lambda x: jnp.sqrt(jnp.maximum((x * x).mean(-1), (x[0] * x[0]).mean())),
    "a choice": lambda x: jnp.sqrt(jnp.where(x > 0, x * x, 1.0)),
    "a quotient": lambda x: (x * x).sum() / (x * x).max(),
    "a variance that is no number of the format": lambda x: x.var(-1),
    "an inner product": lambda x: (jnp.sqrt(x[0] @ x[0]), x[0] @ x[0]),
    "a carry": lambda x: lax.scan(lambda c, v: (0.9 * c + 0.1 * v * v, jnp.sqrt(c)), jnp.zeros(4), x)[1],
    "of every turn": lambda x: lax.scan(lambda c, v: (c, (jnp.sqrt(v @ v), v @ v)), 0.0, x)[1],
}
NOT_NEEDED: dict[str, Callable[[Any], Any]] = {
    "a root of a mean": lambda x: jnp.sqrt((x * x).mean(-1)),
    "of more": lambda x: jnp.sqrt(3 * (x * x).mean(-1) + 1),
    "a norm in a loop": lambda x: lax.scan(lambda c, v: (c, jnp.sqrt(v @ v)), 0.0, x)[1],
    "running": lambda x: jnp.sqrt(jnp.cumsum(x * x, 0)),
    "a deviation": lambda x: x.std(-1),
    "a result that nobody has": lambda x: (x * x, x)[1],
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_square_that_may_not_fit_is_refused_where_a_result_needs_it(name: str) -> None:
    with pytest.raises(BoundError, match="too large for a ring of 64 bits") as caught:
        jmpc.secure(lambda x: NEEDED[name](jmpc.bounded(x, 3e4))).lower(LARGE)
    assert __file__ in caught.value.where


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_and_nowhere_else(name: str) -> None:
    found = run(lambda x: NOT_NEEDED[name](jmpc.bounded(x, 3e4)), LARGE)
    np.testing.assert_allclose(found, NOT_NEEDED[name](LARGE), rtol=1e-3)


def test_a_choice_between_a_mask_and_what_is_assumed_is_assumed() -> None:
    """The mask fills the format, by what is known of it, and says nothing of the other case."""

    def function(x: jnp.ndarray) -> jnp.ndarray:
        return jnp.square(jnp.maximum(jnp.where(x > 0, x, -1e9), -4.0))

    with pytest.warns(RangeWarning):
        np.testing.assert_allclose(run(function, X), function(X), atol=1e-3)


def test_a_choice_between_what_is_declared_and_something_smaller_is_declared() -> None:
    def function(x: jnp.ndarray, y: jnp.ndarray) -> jnp.ndarray:
        return jnp.square(jnp.maximum(jmpc.bounded(x, 3e7), y * 0.1))

    with pytest.raises(BoundError, match="too large for a ring"):
        jmpc.secure(function).lower(X, X)


@pytest.mark.parametrize("limit", [1.0, 100.0, 2.0**25])
def test_the_sign_of_a_rounded_value_with_a_bound(limit: float) -> None:
    """It is taken from before what rounded it, which is bounded as well."""

    def signs(x: jnp.ndarray) -> list[Any]:
        values = [jmpc.bounded(v, limit) for v in (x * x - x * 0.3, x * 0.3, x[:3].mean(0), x @ x.T)]
        return [f(v) for v in values for f in (jax.nn.relu, jnp.abs, jnp.sign, lambda v: v < 0, jnp.exp)]

    for one, two in zip(run(signs, X / 8), signs(X / 8), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_bound_is_a_magnitude(limit: float) -> None:
    with pytest.raises(ConfigError, match="magnitude"):
        jmpc.bounded(np.ones(2), limit)
