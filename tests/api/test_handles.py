"""A result that stays shared: a handle between calls, in this process."""

from __future__ import annotations

import copy
import gc
import operator
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
from jmpc.testing.executors import executor
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


def copy_of(handle: Any) -> Any:
    return jmpc.secure(lambda h: h, outputs=jmpc.SECRET)(handle)


@pytest.mark.parametrize(
    "look",
    [
        np.asarray,
        bool,
        float,
        int,
        len,
        list,
        round,
        abs,
        lambda h: h + 1,
        lambda h: 2 * h,
        lambda h: h / 2,
        lambda h: 2 / h,
        lambda h: h**2,
        lambda h: h // 2,
        lambda h: h & 1,
        lambda h: ~h,
        lambda h: jnp.ones(3) + h,
        lambda h: np.ones(3) == h,
        lambda h: h == 1,
        lambda h: h != copy_of(h),
        lambda h: h < 1,
        lambda h: h >= 0,
        lambda h: np.float32(0) <= h,
        lambda h: 1.0 in h,
        lambda h: h[0],
        pickle.dumps,
        copy.copy,
    ],
)
def test_a_handle_cannot_be_looked_at(look: Callable[[Any], Any], x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    with pytest.raises(ArgumentError, match="no value in this process"):
        look(handle)


def test_a_handle_is_a_key_of_dicts_and_equals_itself(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    other = copy_of(handle)
    assert handle == handle
    assert handle in [handle, other]
    assert {handle: 1, other: 2}[other] == 2


def test_a_handle_refuses_every_operator_of_an_array(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    inplace = {f"__i{name[2:]}" for name in dir(np.ndarray)}  # x += y is x + y where nothing else is said
    assigned = {"__setitem__", "__delitem__"}
    reflected = {n for n in dir(np.ndarray) if n.startswith("__r") and f"__{n[3:]}" in dir(np.ndarray)}
    for name in sorted(({n for n in dir(np.ndarray) if n in vars(operator)} | reflected) - inplace - assigned):
        if name in dir(object):
            continue  # Python's own, and the comparisons, which are asked above
        with pytest.raises(ArgumentError, match="no value in this process"):
            getattr(handle, name)(1)


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


def test_what_is_compiled_already_takes_no_handle_of_another_format() -> None:
    """Of the same type, so that it would be the same program."""
    x, keep = np.arange(3, dtype=np.int8), jmpc.secure(lambda x: x, outputs=jmpc.SECRET)
    wide, narrow = keep(x), keep.with_config(jmpc.Config(k=32, f=10))(x)
    assert wide.type == narrow.type
    double = jmpc.secure(lambda h: h * 2)
    compiled = double.lower(wide).compile()
    for function in (double, compiled):
        assert_same(function(wide), jnp.asarray(x) * 2)
        with pytest.raises(ArgumentError, match="another number format"):
            function(narrow)


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
    with pytest.raises(ArgumentError, match=r"\(shared, assumed"):
        compiled(x)


def test_the_shares_go_with_the_last_reference(x: np.ndarray) -> None:
    use = jmpc.secure(lambda v: v * 2)
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    use(handle)
    gone = weakref.ref(handle.kept)
    del handle
    gc.collect()
    assert gone() is None


# --- loops that feed handles back

STEPS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "a counter": (np.int32(0), lambda s: s + 1),
    "counts": (np.zeros(3, np.uint8), lambda s: s * 3 + 7),
    "a product of integers": (np.array([3, -5], np.int16), lambda s: s * s - 7),
    "bits": (np.array([3, 5], np.uint32), lambda s: (s << 3) ^ (s >> 5) ^ 9),
    "bools": (np.array([True, False]), lambda s: ~s),
    "a float": (np.float32(1), lambda s: s * 0.5 + 1),
    "a bounded float": (np.float32(0), lambda s: s * 0.9 + jmpc.bounded(s * 0 + 1.0, 8.0)),
    "a declared float": (np.float32(0), lambda s: jmpc.bounded(s * 0.9 + 1.0, 16.0)),
    "a clipped float": (np.ones(3, np.float32), lambda s: jnp.tanh(s * 2)),
    "places": (np.zeros((), np.int32), lambda s: jnp.argmax(jnp.roll(jnp.arange(7), s))),
    "a pair that trades places": ((np.int32(1), np.int32(2)), lambda s: (s[1], s[0] + s[1])),
    "a loop inside": (np.int32(1), lambda s: jax.lax.fori_loop(0, 3, lambda k, c: c * 3 + 1, s)),
}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_loop_over_handles_compiles_twice_at_most(name: str) -> None:
    start, function = STEPS[name]
    step = jmpc.secure(function, outputs=jmpc.SECRET)
    expected = jax.tree.map(jnp.asarray, start)
    with executor("simulated", 0):
        handle = jmpc.secure(lambda s: s, outputs=jmpc.SECRET)(start)
        for _ in range(5):
            handle, expected = step(handle), jax.jit(function)(expected)
        assert len(step.compilations) <= 2
        assert_same(jmpc.secure(lambda s: s)(handle), expected, 1e-3)
        once = jmpc.secure(function, outputs=jmpc.SECRET).lower(handle).compile()
        assert [h.type for h in jax.tree.leaves(once(handle))] == [h.type for h in jax.tree.leaves(handle)]


def kept(function: Callable[..., Any], *args: Any) -> Any:
    return jmpc.secure(function, outputs=jmpc.SECRET)(*args).type


def test_what_a_handle_is_known_to_be() -> None:
    """What follows without the handles that went in, or is declared; nothing that grows with them."""
    i, x = np.array([3, -5], np.int32), np.ones(3, np.float32)
    assert kept(lambda i: i, i).limit == 2**31
    assert kept(lambda i: i * i, i).limit == 2**31  # settled: a handle never holds what has left its dtype
    assert kept(jnp.argmax, x).limit == 2
    one, other = (jmpc.secure(lambda x, m=m: jmpc.bounded(x, m), outputs=jmpc.SECRET)(x) for m in (4.0, 8.0))
    assert (one.type.limit, one.type.origin) == (4 * 2**18, "declared")
    assert kept(lambda h: h * 0.5, one) == kept(lambda h: h * 0.5, other)
    assert kept(lambda h: jmpc.bounded(h * 0.5, 3.0), one).limit == 3 * 2**18
    assert kept(lambda h: jnp.tanh(h), one).origin == "inferred"
    assert kept(lambda h: h > 0, one).kind == "bool"


def test_a_bound_declared_at_the_call_makes_the_program_cheaper() -> None:
    handle = jmpc.secure(lambda x: x, outputs=jmpc.SECRET)(np.ones(64, np.float32))
    wide = jmpc.secure(lambda h: h > 0).lower(handle).cost()
    narrow = jmpc.secure(lambda h: jmpc.bounded(h, 1.0) > 0).lower(handle).cost()
    assert max(narrow.bytes_sent) < max(wide.bytes_sent)


def test_a_compiled_function_takes_handles_within_its_bounds() -> None:
    wide, narrow = (
        jmpc.secure(f, outputs=jmpc.SECRET)(np.ones(3, np.float32))
        for f in (lambda x: x * 0.5, lambda x: jmpc.bounded(x * 0.5, 1.0))
    )
    double = jmpc.secure(lambda h: h * 2)
    assert_same(double.lower(wide).compile()(narrow), jnp.ones(3))
    with pytest.raises(ArgumentError, match=r"declared \|x\| <= 1\), called with .* assumed") as caught:
        double.lower(narrow).compile()(wide)
    assert "h: compiled for" in str(caught.value)


def test_what_made_a_call_compile_is_said(caplog: pytest.LogCaptureFixture) -> None:
    f = jmpc.secure(lambda x, y, n: x * n + y, static_argnames="n")
    one, two = np.ones(2, np.float32), np.ones((2, 2), np.float32)
    with caplog.at_level("INFO", logger="jmpc"), executor("simulated", 0):
        for args in ((one, one, 2), (one, one, 2), (one, two, 2), (one, one, 3), (one, np.ones(2, np.int32), 2)):
            f(*args)
    assert f.compilations == [
        "it is the first call",
        "y: compiled for float32[2], called with float32[2, 2]",
        "n: another static value",
        "y: compiled for float32[2], called with int32[2]",
    ]
    assert [r.getMessage().split(": compiling, since ")[1] for r in caplog.records] == f.compilations
