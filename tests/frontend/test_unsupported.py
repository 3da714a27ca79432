"""What has no secure form: one error lists all of it, with file:line and the nearest supported form."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.frontend.unsupported import NEAREST, reason
from jmpc.frontend.walk import RULES
from tests.frontend.data import X

MANY = {
    "regularized_incomplete_beta": lambda x: jax.lax.betainc(x, x, x),
    "igamma": lambda x: jax.lax.igamma(x, x),
    "bitcast_convert_type": lambda x: jax.lax.bitcast_convert_type(x, np.int32),
    "polygamma": lambda x: jax.lax.polygamma(x, x),
    "zeta": lambda x: jax.lax.zeta(x, x),
}


def _all(x: Any) -> Any:
    return [function(x) for function in MANY.values()]


def test_every_operation_is_named_at_once_with_its_line_and_a_hint() -> None:
    with pytest.raises(UnsupportedError) as caught:
        jmpc.secure(_all).lower(X)
    named = {line.split(" on a secret, at ")[0]: line for line in caught.value.todo}
    assert set(named) == set(MANY)
    for name, line in named.items():
        assert __file__ in line
        assert reason(name) in line


def test_operations_inside_loops_and_calls_are_named_too() -> None:
    def loop(x: Any) -> Any:
        return jax.lax.fori_loop(0, 2, lambda k, c: jax.jit(MANY["zeta"])(c) + MANY["igamma"](c), x)

    with pytest.raises(UnsupportedError, match="2 operations"):
        jmpc.secure(loop).lower(X)


def test_a_fault_that_follows_from_one_does_not_hide_it() -> None:
    with pytest.raises(UnsupportedError, match="zeta on a secret"):
        jmpc.secure(lambda x: jmpc.bounded(MANY["zeta"](x), 2.0**25) * jmpc.bounded(x, 2.0**25)).lower(X)


def test_hints_are_for_what_is_missing() -> None:
    """A hint for a primitive that has a rule is about secret operands of it."""
    partly = {"gather", "dynamic_slice", "dynamic_update_slice", "scatter", "scatter-add", "cond"}
    partly |= {"reduce_precision", "pow"}
    assert {name for name in NEAREST if name in RULES} <= partly


def test_a_secret_random_key() -> None:
    with pytest.raises(UnsupportedError, match=r"draw with jmpc\.random"):
        jmpc.secure(lambda k, x: x + jax.random.normal(k, x.shape)).lower(jax.random.key(0), np.zeros(2))
