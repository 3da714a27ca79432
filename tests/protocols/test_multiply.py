"""The local products of a multiplication, which parties choose by the sizes of the operands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmpc._types import Array
from jmpc.families.replicated3.protocols.multiply import THIN, summed, terms
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.testing.simulator.shares import hold

RING = Ring(64)


@pytest.mark.parametrize("columns", [1, 2, THIN - 1, THIN, 3 * THIN])
@pytest.mark.parametrize("wide_first", [False, True])
def test_the_summands_of_a_product_whatever_the_sizes(columns: int, wide_first: bool) -> None:
    """A row times a matrix, and a matrix times a column: by each party's way to take fewer sums."""
    rng = np.random.default_rng(columns)
    thin, wide = rng.integers(-(2**40), 2**40, (1, 2)), rng.integers(-(2**20), 2**20, (2, columns))
    values: tuple[np.ndarray, ...] = (wide.T, thin.T) if wide_first else (thin, wide)
    held = [hold(v, Type(v.shape, "fixed", 0, 2**40), RING, rng) for v in values]

    def pair(arrays: list[np.ndarray]) -> Any:
        return jnp.asarray(arrays[0]), jnp.asarray(arrays[1])

    def times(x: Array, y: Array) -> Array:
        return (x[:, :, None] * y[None]).sum(1)

    with jax.enable_x64(True):
        parts = [
            np.asarray(summed(terms(SimpleNamespace(index=p), *(pair(one[p]) for one in held)), times))  # pyright: ignore[reportArgumentType]
            for p in range(3)
        ]
    np.testing.assert_array_equal(RING.to_int(sum(parts[1:], parts[0])), values[0] @ values[1])
