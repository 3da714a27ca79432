"""Programs on which the differential run found a fault, each since corrected; smaller by hand where that was easy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.testing import assert_secure_close
from jmpc.testing.cost import assert_cost_stated

X = np.array([[0.5, -1.25], [2.0, 0.0], [-3.5, 1.0]], np.float32)

Case = tuple[Callable[..., Any], tuple[np.ndarray, ...], jmpc.Config]


def _carry_index(x: Any) -> Any:
    """Of one candidate the protocols know the index, a public operand of a loop; of two they bound it by 2, and the
    front end by 1."""
    index = jnp.argmax(x, 1)
    return jax.lax.scan(lambda c, t: (c + t + index, c), index, jnp.stack([index, index]))


def _index_and_more(x: Any) -> Any:
    """The index of the only one, known to be 0, and a sum of it: a public result, which each party gave whole, so that
    the receiver added it three times."""
    index = jnp.argmax(x, 1)
    return index + 3, index, jnp.argsort(x, 1) + 2


FOUND: dict[str, Case] = {
    "an index that is known": (_carry_index, (X[:, :1],), jmpc.Config()),
    "a result that is known": (_index_and_more, (X[:, :1],), jmpc.Config()),
    "no numbers by a public one": (lambda x: (x // 3, x % 3, 7 // x), (np.zeros((0, 2), np.int32),), jmpc.Config()),
    "an index with too wide a limit": (_carry_index, (X,), jmpc.Config()),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_what_jax_says(name: str) -> None:
    function, args, config = FOUND[name]
    assert_secure_close(function, *args, config=config, executors=("meaning", "simulated"))
    assert_cost_stated(function, *args, config=config)


def _length_of_squares(x: Any) -> Any:
    """XLA, up to JAX 0.10, takes abs(y @ y) for y @ y, which is negative where it wraps; op by op it does not."""
    return jnp.abs(x @ x)


def test_where_jit_alone_differs_the_secure_result_is_that_of_each_operation() -> None:
    x = np.array([856599], np.int32)
    with jax.disable_jit():
        expected = _length_of_squares(x)
    assert expected == 677560815  # 2^32 - 856599^2 mod 2^32
    assert jmpc.secure(_length_of_squares)(x) == expected


def test_loops_one_after_the_other_share_nothing() -> None:
    """Equal constants in the bodies of loops stay apart, also where one body is rewritten after another is gone."""

    def powers(x: Any) -> Any:
        return [jax.lax.scan(lambda c, v: (c * 3 + v * 5 - 7, None), x[0], x)[0] for _ in range(12)]

    assert_secure_close(powers, np.arange(4, dtype=np.int32), executors=("meaning",))
