"""Constants beyond the number format: right as factors, refused in sums that cannot fit, and standing for something
very large where they are compared, chosen or added as a mask; what then takes them at their word is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.errors import RangeError, RangeWarning
from jmpc.testing.executors import SIMULATED, executor
from tests.frontend.oracle import check, run

SMALL = np.array([0.0, 1e-3, -2e-3, 2.0**-18, 0.25, -0.5], np.float32)
MOST = 2.0**26
LOWEST = float(jnp.finfo(jnp.float32).min)


@pytest.mark.parametrize("factor", [1e8, -1e8, 7e7, 3.3e12, -1e30, LOWEST])
def test_a_factor_is_right_where_the_product_is_in_the_format(factor: float) -> None:
    x = np.round(SMALL * 2**18) / 2**18
    found = np.asarray(run(lambda x: x * factor, x.astype(np.float32)), np.float64)
    expected = x * np.float64(np.float32(factor))
    inside = np.abs(expected) < MOST
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-6, atol=1e-5)
    assert (found[~inside] * np.sign(expected[~inside]) >= MOST / 2).all()


@settings(max_examples=40, deadline=None)
@given(factor=st.floats(-1e12, 1e12).filter(lambda c: abs(c) > 1e-3), units=st.integers(-(2**44) + 1, 2**44 - 1))
def test_any_factor_of_any_number(factor: float, units: int) -> None:
    """Where the exact product is in the format."""
    x = np.array([units / 2**18, 0.0])
    product = x * np.float32(factor)
    with jax.enable_x64(True):
        found = np.asarray(run(lambda x: x * np.float32(factor), x), np.float64)
    fits = np.abs(product) < MOST * 0.99
    slack = 2.0**-17 + np.abs(x) * abs(factor) * 2.0**-17  # a factor has 18 significant bits
    assert (np.abs(found - product) <= slack)[fits].all()


def test_other_forms_of_such_a_factor() -> None:
    x = (np.round(SMALL * 2**15) / 2**15).astype(np.float32)
    check(
        lambda x: (x / 1e-8, -x * 1e8, x * np.float32([1e8, 0.5, 0, -2, 1e9, 3])),
        x / 8,
        tolerance=1e-5,
    )
    check(lambda x, b: (1 - b) * -1e9 + x > -1, x, np.float32([0, 1, 0, 1, 1, 0]))
    check(lambda x: x * 2000.0, np.float32([0.125, -0.25, 0]), config=jmpc.Config(k=32, f=10), tolerance=1e-2)
    check(lambda x: jax.grad(lambda v: (v * 1e8).sum())(x) > 1e7, x)


def test_what_cannot_be_right_is_refused() -> None:
    for function in (lambda x: x + 1e9, lambda x: 1e9 - x, lambda x: x - 1e30, lambda x: x + jnp.inf):
        with pytest.raises(RangeError, match="no sum with it") as caught:
            run(function, SMALL)
        assert re.search(r"test_constants.py:\d+", caught.value.where)
    with pytest.raises(RangeError, match=r"NaN or infinity[\s\S]*fix: choose before what makes it"):
        run(lambda x: x * jnp.inf, SMALL)
    with pytest.raises(RangeError, match="beyond the number format"):
        run(lambda x: x @ np.full(6, 1e9, np.float32), SMALL)
    with pytest.raises(RangeError, match="beyond the number format"):  # the owner's own number, not a constant
        jmpc.secure(lambda x, y: x + y * 1e3, inputs={"x": "a", "y": "b"}, outputs="a")(SMALL, SMALL + 1e6)


MASKS: dict[str, Callable[..., Any]] = {
    "chosen": lambda x, m, low: jax.nn.softmax(jnp.where(m > 0, x, low)),
    "added": lambda x, m, low: jax.nn.softmax(x + (1 - m) * low),
    "from bools": lambda x, m, low: jax.nn.softmax(x + (1 - (m > 0).astype(x.dtype)) * low),
    "compared": lambda x, m, low: (x + (1 - m) * low > -1e5, jnp.argmax(jnp.where(m > 0, x, low))),
    "largest": lambda x, m, low: (jnp.max(jnp.where(m > 0, x, low)), jnp.maximum(x, low)),
}


@pytest.mark.parametrize("low", [-1e4, -1e9, LOWEST])
@pytest.mark.parametrize("who", ["caller", "owner", "public", "constant"])
@pytest.mark.parametrize("name", MASKS)
def test_a_mask_works_whoever_has_it(name: str, who: str, low: float) -> None:
    x, m = np.linspace(-3, 4, 8).astype(np.float32), np.array([1, 0, 1, 1, 0, 1, 0, 1], np.float32)
    mask = MASKS[name]
    options: dict[str, Any] = {
        "owner": {"inputs": {"x": "a", "m": "b"}, "outputs": "a"},
        "public": {"public": ["m"]},
    }.get(who, {})
    function = (lambda x: mask(x, jnp.asarray(m), low)) if who == "constant" else (lambda x, m: mask(x, m, low))
    args = (x,) if who == "constant" else (x, m)
    with executor(SIMULATED):
        found = jmpc.secure(function, **options)(*args)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(function(*args)), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.where(x > 0, x, -1e9),
        lambda x: jnp.where(x > 0, x, -1e9) * 0.5,
        lambda x: jnp.where(x > 0, x, 1e9).sum(),
        lambda x: x + np.float32([0, -1e9, 0, 0, 0, 0]),
        lambda x: jax.lax.fori_loop(0, 3, lambda i, c: jnp.where(c > 0, c, -1e9) * 0.5, x),
    ],
)
def test_a_result_that_rests_on_one_is_named(function: Callable[..., Any]) -> None:
    with pytest.warns(RangeWarning, match="stands for 6.71e\\+07") as caught:
        run(function, SMALL)
    assert all("test_constants.py" in str(w.message) and w.filename.endswith("test_constants.py") for w in caught)
