"""Bounds: inferred, declared, assumed; shown in the text; refused at the line that breaks them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import BoundError, ConfigError
from tests.frontend.data import B, X


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


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_bound_is_a_magnitude(limit: float) -> None:
    with pytest.raises(ConfigError, match="magnitude"):
        jmpc.bounded(np.ones(2), limit)
