"""What the simulator computes of an equation in NumPy is what JAX computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.testing.simulator.lockstep import Machine
from jmpc.testing.simulator.numpy_rules import RULES

WORDS = np.random.default_rng(0).integers(0, 1 << 64, (6, 4), np.uint64)
ROWS = np.array([5, 0, 3, 3])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "arithmetic that wraps": lambda x: (x + x * np.uint64(3) - np.uint64(7), -x),
    "numbers that wrap": lambda x: (x[0, 0] * x[1, 1] + x[2, 2], -x[3, 3] - x[0, 1]),
    "bits": lambda x: ((x & np.uint64(255)) ^ ~x | np.uint64(9), x != x[:, ::-1]),
    "shifts": lambda x: (x << np.uint64(3), x >> np.uint64(5), x.astype(np.int64) >> 5),
    "parts": lambda x: (x[1:5:2, ::3], x[2], lax.slice(x, (0, 1), (6, 3)), x[0, 0]),
    "moved": lambda x: (x.T, x[::-1], x.reshape(3, 8), jnp.concatenate([x, x[:1]]), jnp.tile(x[:, :1], 3)),
    "padded": lambda x: lax.pad(x, np.uint64(7), [(1, 2, 1), (0, 3, 0)]),
    "padded and cut": lambda x: lax.pad(x, np.uint64(7), [(-1, 2, 1), (0, -1, 0)]),
    "padded with a number of its own": lambda x: lax.pad(x, x[0, 0], [(1, 0, 0), (0, 0, 2)]),
    "counted": lambda x: x + lax.broadcasted_iota(np.uint64, x.shape, 1),
    "other dtypes": lambda x: (x.astype(np.uint8), lax.bitcast_convert_type(x, np.int64)),
    "bytes and back": lambda x: (
        lax.bitcast_convert_type(x, np.uint8),
        lax.bitcast_convert_type(lax.bitcast_convert_type(x[0, 0], np.uint16), np.uint64),
    ),
    "reduced": lambda x: (jnp.sum(x, 0), lax.reduce(x, np.uint64(0), lax.bitwise_or, (1,))),
    "rows": lambda x: x.at[ROWS].get(mode="promise_in_bounds"),
    "rows of numbers": lambda x: x[:, 0].at[ROWS[:, None] // 2].get(mode="promise_in_bounds"),
    "rows of a secret's order": lambda x: x.at[(x[:, 0] % np.uint64(6)).astype(np.int32)].get(mode="promise_in_bounds"),
    "columns": lambda x: x.at[:, ROWS // 2].get(mode="promise_in_bounds"),
    "elements": lambda x: x.at[ROWS, ROWS // 2].get(mode="promise_in_bounds"),
    "rows beyond the end, filled": lambda x: x.at[ROWS + 2].get(mode="fill", fill_value=3),
    "rows beyond the end, clamped": lambda x: x.at[ROWS + 2].get(mode="clip"),
    "chosen": lambda x: jnp.where(x > np.uint64(9), x, np.uint64(5)),
    "constants alone": lambda x: jnp.arange(4, dtype=np.uint64) * np.uint64(3) + jnp.uint64(2),
    "a loop": lambda x: lax.scan(lambda c, row: (c + row, c ^ row), x[0], x, reverse=True),
    "a loop without turns": lambda x: lax.scan(lambda c, row: (c + row, c ^ row), x[0], x[:0]),
    "a barrier": lambda x: lax.optimization_barrier((x, x[0])),
    "a body": lambda x: jax.jit(lambda y: y * y)(x[1:]),
}


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_equation_is_what_it_is_in_jax(name: str, ahead: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "ahead", ahead)
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(FUNCTIONS[name])(WORDS)
        right = [np.asarray(x) for x in jax.tree.leaves(FUNCTIONS[name](jnp.asarray(WORDS)))]
    run = Machine().inlined(jaxpr)
    for _ in range(2):  # what is kept from one run to the next is not changed by it
        for one, two in zip(run(WORDS), right, strict=True):
            assert isinstance(one, np.ndarray)
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)


def test_every_rule_is_tried() -> None:
    with jax.enable_x64(True):
        tried = {str(jax.make_jaxpr(function)(WORDS)) for function in FUNCTIONS.values()}
    assert [rule for rule in RULES if not any(f" {rule}[" in text or f" {rule} " in text for text in tried)] == []
