"""Check mode: passes for correct programs; names the first wrong operation and each wrap, with file:line."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import CheckError

CHECKED = jmpc.Config(check=True)
X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)


def _right(x: Any, w: Any) -> Any:
    h = jax.jit(lambda x: jax.nn.relu(x @ w) + 1)(x)
    h, sums = lax.scan(lambda c, t: (c * 0.5 + t, c.sum()), h, jnp.arange(3.0))
    return jnp.where(h > 1, h, 0.0), sums, lax.cond(True, jnp.sum, jnp.max, h)


def test_a_correct_program_passes() -> None:
    secured = jmpc.secure(_right, config=CHECKED)
    w = np.full((3, 2), 0.5, np.float32)
    for one, two in zip(jax.tree.leaves(secured(X, w)), jax.tree.leaves(_right(X, w)), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_correct_program_passes_with_public_values_and_owners() -> None:
    secured = jmpc.secure(lambda x, p, q: x * jnp.sin(p) + jnp.exp(q), public="p", inputs={"q": "bob"}, config=CHECKED)
    np.testing.assert_allclose(secured(X, 0.5, X / 4), X * np.sin(0.5) + np.exp(X / 4), atol=1e-3)


def test_a_product_that_wraps_is_named() -> None:
    def wraps(x: Any) -> Any:
        y = x + 1
        return y * y * 0.5

    with pytest.raises(CheckError, match="mul: the result differs") as caught:
        jmpc.secure(wraps, config=CHECKED)(X * 10_000)
    assert "wraps)" in caught.value.where
    assert __file__ in caught.value.where
    assert "a value passed its assumed bound" in caught.value.why


def test_a_wrong_operation_inside_a_scan_names_the_scan() -> None:
    def grows(x: Any) -> Any:
        c, _ = lax.scan(lambda c, _: (c * 40.0, None), x, None, length=6)
        return c + 1

    with pytest.raises(CheckError, match="scan") as caught:
        jmpc.secure(grows, config=CHECKED)(X)
    assert "grows)" in caught.value.where


def test_a_false_declaration_is_named() -> None:
    def declares(x: Any) -> Any:
        return jax.nn.relu(jmpc.bounded(x * 3.0, 2.0))

    with pytest.raises(CheckError) as caught:
        jmpc.secure(declares, config=CHECKED)(X)
    assert "declared bound" in caught.value.why
    assert "declares)" in caught.value.why


def test_too_few_fraction_bits_are_named() -> None:
    with pytest.raises(CheckError, match="differs from plaintext"):
        jmpc.secure(lambda x: (x * 0.001) * 1000.0, config=jmpc.Config(f=6, check=True))(X)


def test_a_handle_is_checked_too() -> None:
    kept = jmpc.secure(lambda x: x * 2, outputs=jmpc.SECRET, config=CHECKED)(X)
    np.testing.assert_allclose(jmpc.secure(lambda h: h + 1, config=CHECKED)(kept), X * 2 + 1, atol=1e-3)


def test_the_message_holds_no_value() -> None:
    with pytest.raises(CheckError) as caught:
        jmpc.secure(lambda x: x * x, config=CHECKED)(np.array([31234.5], np.float32))
    assert "31234" not in str(caught.value)
