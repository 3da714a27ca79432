"""Work on public values, and on one owner's values before they meet others', is done in the clear."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError
from tests.frontend.data import RNG, W, X, Y
from tests.frontend.oracle import check

BIG = RNG.normal(size=(4, 30)).astype(np.float32)


def _softmax_scores(w: Any, x: Any) -> Any:
    """The softmax of w needs w alone, so it runs at its owner."""
    return jnp.argmax((x / 255) @ jax.nn.softmax(w), -1)


def test_an_owner_works_alone_first() -> None:
    options: dict[str, Any] = {"inputs": {"w": "model", "x": "client"}, "outputs": "client"}
    check(_softmax_scores, W, X, **options)
    lowered = jmpc.secure(_softmax_scores, **options).lower(W, X)
    names = [op.name for op in list(lowered.flow.stages.values())[-1].body.ops]
    assert {"power2", "exponent"}.isdisjoint(names)
    assert "dot" in names


def test_what_an_owner_does_alone_costs_nothing() -> None:
    secured = jmpc.secure(lambda w: jnp.sort(jnp.exp(w)), inputs={"w": "model"}, owners=["client"], outputs="client")
    report = secured.lower(W).cost()
    assert (report.rounds, report.bytes_sent) == (0, (0, 0, 0))
    assert [op.name for op in secured.lower(W).flow.share.body.ops] == ["share"]


@pytest.mark.filterwarnings("ignore::jmpc.errors.NothingSecretWarning")
def test_what_one_owner_learns_of_its_own_values_never_leaves_it() -> None:
    lowered = jmpc.secure(lambda w: jnp.sort(w), inputs={"w": "model"}, outputs="model").lower(W)
    assert lowered.flow.share.outputs == ()
    np.testing.assert_array_equal(lowered.compile()(W), np.sort(W))


def test_public_arguments() -> None:
    check(lambda s, x: jnp.sin(s) * x, np.float32(0.7), X, public=["s"])
    check(lambda p, x: (p * 2, x, p, jnp.arange(3), 3.0, jnp.exp(p)), Y, X, public=["p"])


def test_a_public_random_key() -> None:
    check(lambda k, x: x + jax.random.normal(k, x.shape), jax.random.key(0), X, public=["k"])


def test_a_large_captured_array_must_be_called_public() -> None:
    for captured in (BIG, (BIG > 0).astype(np.int32)):
        with pytest.raises(ArgumentError, match="captured") as caught:
            jmpc.secure(
                lambda x: x @ captured  # noqa: B023
            ).lower(X)
        assert __file__ in caught.value.where
    check(lambda x: x @ jmpc.public(jnp.asarray(BIG)), X)
    check(lambda x: jax.lax.scan(lambda c, t: (c + t, t @ jmpc.public(BIG)), x[0], x), X)


def test_a_small_captured_array_is_a_constant() -> None:
    check(lambda x: jax.lax.scan(lambda c, t: (c + W[0], t @ W), x[0], x), X)


def test_unused_arguments_and_results_that_are_arguments() -> None:
    check(lambda x, y: (x, {"none": None, "x": x * 2}), X, Y)
