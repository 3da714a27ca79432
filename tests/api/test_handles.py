"""A result that stays shared: a handle between calls, in this process."""

from __future__ import annotations

import copy
import gc
import pickle  # noqa: TID251  (that it refuses)
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError
from tests.frontend.oracle import assert_same


def test_a_handle_has_a_shape_and_a_dtype_and_no_value(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: (x * 2).T, outputs=jmpc.SECRET)(x)
    assert isinstance(handle, jmpc.SecretArray)
    assert (handle.shape, handle.dtype) == ((3, 2), np.float32)
    assert repr(handle) == "SecretArray(float32[3, 2])"


def test_handles_pass_between_calls(x: np.ndarray, y: np.ndarray) -> None:
    step = jmpc.secure(lambda state, x: {"v": state["v"] * 0.5 + x, "n": state["n"] + 1}, outputs=jmpc.SECRET)
    reveal = jmpc.secure(lambda state: (state["v"].sum(), state["n"], state["v"] > 0))
    state: Any = {"v": y, "n": np.int32(0)}
    expected: Any = {"v": jnp.asarray(y), "n": jnp.int32(0)}
    for _ in range(3):
        state = step(state, x)
        expected = {"v": expected["v"] * 0.5 + x, "n": expected["n"] + 1}
    assert_same(reveal(state), (expected["v"].sum(), expected["n"], expected["v"] > 0))


def test_shared_bits_and_public_results(x: np.ndarray) -> None:
    bits, seven = jmpc.secure(lambda x: (x > 0, jnp.arange(7)), outputs=jmpc.SECRET)(x)
    assert_same(jmpc.secure(lambda b, s: (~b, s * 2))(bits, seven), (~(jnp.asarray(x) > 0), jnp.arange(7) * 2))


def test_some_results_stay_and_some_leave(x: np.ndarray) -> None:
    kept, total = jmpc.secure(lambda x: (x + 1, x.sum()), outputs=(jmpc.SECRET, "caller"))(x)
    assert isinstance(kept, jmpc.SecretArray)
    assert_same(total, jnp.asarray(x).sum())


@pytest.mark.parametrize(
    "look",
    [
        np.asarray,
        bool,
        float,
        int,
        len,
        list,
        lambda h: h + 1,
        lambda h: 2 * h,
        lambda h: h[0],
        pickle.dumps,
        copy.copy,
    ],
)
def test_a_handle_cannot_be_looked_at(look: Callable[[Any], Any], x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    with pytest.raises(ArgumentError, match="no value in this process"):
        look(handle)


def test_a_handle_is_not_an_argument_for_jax(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    with pytest.raises(TypeError, match="SecretArray"):
        jax.jit(lambda h: h)(handle)


def test_a_handle_keeps_its_number_format_and_is_never_public(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    with pytest.raises(ArgumentError, match="another number format"):
        jmpc.secure(lambda h: h, config=jmpc.Config(f=16))(handle)
    with pytest.raises(ArgumentError, match="is public"):
        jmpc.secure(lambda h: h, public="h")(handle)


def test_an_owner_may_share_once_and_for_all(x: np.ndarray) -> None:
    """A handle stands for the owner's argument: the owner need not be there for the next call."""
    share = jmpc.secure(lambda weights: weights / 2, inputs={"weights": "bob"}, outputs=jmpc.SECRET)
    use = jmpc.secure(lambda weights, x: weights * x, inputs={"weights": "bob", "x": "carol"}, outputs="carol")
    handle = share(x)
    assert_same(use(handle, x), use(x / 2, x))


def test_a_compiled_function_takes_handles_or_arrays_as_it_was_lowered(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    compiled = jmpc.secure(lambda v: v * 2).lower(handle).compile()
    assert_same(compiled(handle), (jnp.asarray(x) + 1) * 2)
    with pytest.raises(ArgumentError, match=r"\(shared\)"):
        compiled(x)


def test_the_shares_go_with_the_last_reference(x: np.ndarray) -> None:
    use = jmpc.secure(lambda v: v * 2)
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    use(handle)
    gone = weakref.ref(handle.kept)
    del handle
    gc.collect()
    assert gone() is None
