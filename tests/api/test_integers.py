"""Integers that wrap, in calls of secure functions: three parties, receivers, handles, check mode."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.testing.simulator.lockstep import run_held
from jmpc.testing.simulator.shares import hold
from tests.frontend.test_integers import pairs

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code


def _mixed(x: Any, y: Any) -> Any:
    z = x * y + x
    return z, z < y, (z & 7) == 3, jnp.maximum(z, y), z.astype(jnp.int16)


@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_results_are_those_of_jax(dtype: str) -> None:
    with jax.enable_x64(True):
        args = pairs(dtype)
        for one, two in zip(jmpc.secure(_mixed)(*args), jax.jit(_mixed)(*args), strict=True):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_check_mode_compares_what_counts() -> None:
    x, y = pairs("int8")
    config = jmpc.Config(check=True)
    found = jmpc.secure(lambda i, j: (i * j + i, i * j < j), config=config)(x, y)
    np.testing.assert_array_equal(found[1], x * y < y)


def test_a_handle_holds_the_low_bits_of_an_integer_that_left_its_dtype() -> None:
    x, y = pairs("int8")
    kept = jmpc.secure(lambda i, j: i * j, outputs=jmpc.SECRET)(x, y)
    np.testing.assert_array_equal(jmpc.secure(lambda p: (p, p < 0, p > 3))(kept)[2], x * y > 3)


def test_a_receiver_gets_the_low_bits_alone() -> None:
    """The product of two bytes has two; the upper one is no result of the function."""
    x, y = pairs("int8")
    program = jmpc.secure(lambda i, j: i * j).lower(x, y).flow.share
    rng, ring = np.random.default_rng(0), Ring(64)
    types = [input_type(p.type) for p in program.body.params]
    flat, _ = run_held(
        program, [hold(v.astype(np.int64), t, ring, rng) for v, t in zip((x, y), types, strict=True)], rng
    )
    assert all(int(summands[0].max()) < 256 for summands in flat)
    np.testing.assert_array_equal(np.add.reduce([summands[0] for summands in flat]).astype(np.int8), x * y)
