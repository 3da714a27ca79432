"""Logic on bits that takes no message: each party acts on its own shares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jmpc.families.replicated3.protocols.logic import not_planes, xor_planes
from jmpc.ir.types import secret_bits
from jmpc.ring.element import Ring
from jmpc.testing.simulator.shares import hold, worth

RING, RNG = Ring(64), np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(), (1,), (3, 67), (128,), (0,)])
def test_exclusive_or_and_not_of_shares(shape: tuple[int, ...]) -> None:
    t = secret_bits(shape)
    x, y = (RNG.integers(0, 2, shape).astype(bool) for _ in range(2))
    one, two = (hold(v, t, RING, RNG) for v in (x, y))

    def party(p: int) -> Any:
        return SimpleNamespace(index=p)

    def pair(held: list[np.ndarray]) -> Any:
        return jax.numpy.asarray(held[0]), jax.numpy.asarray(held[1])

    with jax.enable_x64(True):
        exclusive = [[np.asarray(a) for a in xor_planes(pair(one[p]), pair(two[p]))] for p in range(3)]
        negated = [[np.asarray(a) for a in not_planes(party(p), pair(one[p]))] for p in range(3)]
    np.testing.assert_array_equal(worth(exclusive, t, RING), x ^ y)
    np.testing.assert_array_equal(worth(negated, t, RING), ~x)
