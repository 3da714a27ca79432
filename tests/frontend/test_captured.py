"""The guard of what a function finds outside itself: an array of more than 64 elements is refused wherever it is kept
and whatever is done with it, whoever owns what it meets, unless `jmpc.public` was said; a table that the function
makes is part of its text."""

from __future__ import annotations

import contextlib
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError
from jmpc.frontend.captured import CAPTURE_LIMIT
from jmpc.frontend.reach import Reach

W = np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32)
WJ, WIDE, LISTED, BYTES = jnp.asarray(W), W.astype(np.float64), W.tolist(), W.tobytes()
FEW = np.arange(CAPTURE_LIMIT, dtype=np.float32)
CALLED = jmpc.public(W)
ONE, ALSO_ONE = np.float32(1), jnp.float32(1)
X = np.ones((2, 12), np.float32)
OWNERS: dict[str, dict[str, Any]] = {
    "caller": {},
    "named": {"inputs": {"x": "client"}, "outputs": "client"},
    "public": {"public": ["x"]},
}


class Held:
    shared = W

    def __init__(self, w: Any) -> None:
        self.w, self.nest = w, {"layers": [w + 1]}

    def run(self, x: Any) -> Any:
        return x @ self.w

    def deep(self, x: Any) -> Any:
        return x @ self.nest["layers"][0]

    def __call__(self, x: Any) -> Any:
        return x @ self.w


class Slotted:
    __slots__ = ("__weakref__", "w")

    def __init__(self) -> None:
        self.w = W


class Frame:
    """As a table of another library: an array only when asked."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return W.copy()


HELD, SLOTTED, FRAME, MODULE = Held(WJ), Slotted(), Frame(), types.ModuleType("of_a_user")
WEAK = weakref.ref(SLOTTED)
MODULE.w = W  # pyright: ignore[reportAttributeAccessIssue]


@functools.lru_cache
def _cached() -> np.ndarray:
    return W * 1.5


_cached()


def _closing(w: Any) -> Callable[[Any], Any]:
    return lambda x: x @ w


def _helper(x: Any) -> Any:
    return x @ WJ


def _compile_time(x: Any) -> Any:
    with jax.ensure_compile_time_eval():
        doubled = WJ * 2
    return x @ doubled


def _with_default(x: Any, w: Any = CALLED) -> Any:
    return x @ w


# Where an array can be kept, and how the message calls it.
PLACES: dict[str, tuple[Any, str]] = {
    "closure": (_closing(W), "`w`"),
    "global": (lambda x: x @ W, "`W`"),
    "global of JAX": (lambda x: x @ WJ, "`WJ`"),
    "global of another dtype": (lambda x: x @ WIDE, "`WIDE` is captured"),
    "list of numbers": (lambda x: x @ jnp.array(LISTED), "`LISTED`"),
    "bytes": (lambda x: x @ np.frombuffer(BYTES, np.float32).reshape(12, 12), "`BYTES`"),
    "partial": (functools.partial(lambda w, x: x @ w, W), "argument 0 of the partial"),
    "method": (HELD.run, "`self.w`"),
    "nested in an object": (HELD.deep, "`self.nest['layers'][0]`"),
    "object that is called": (HELD, "`Held.w`"),
    "class": (lambda x: x @ Held.shared, "`Held.shared`"),
    "slot": (lambda x: x @ SLOTTED.w, "`SLOTTED`"),
    "weak reference": (lambda x: x @ WEAK().w, "`WEAK`"),
    "module": (lambda x: x @ MODULE.w, "`of_a_user.w`"),
    "cache of a function": (lambda x: x @ _cached(), "`_cached`"),
    "another library's table": (lambda x: x @ np.asarray(FRAME), "`FRAME`"),
    "function that is called": (lambda x: _helper(x), "`WJ`"),
    "jitted function": (jax.jit(_helper), "`WJ`"),
    "function in a container": (lambda x: {"f": [_helper]}["f"][0](x), "`WJ`"),
    "function with vmap": (jax.vmap(_helper), "`WJ`"),
    "compile time": (_compile_time, "an array is captured"),
}
# What can be done with it.
USES: dict[str, Callable[[Any], Any]] = {
    "NumPy": lambda x: x @ (W * 2),
    "NumPy of JAX": lambda x: x @ np.asarray(WJ),
    "row": lambda x: x * W[0],
    "row of JAX": lambda x: x * WJ[0],
    "transposed": lambda x: x @ W.T,
    "copy": lambda x: x @ W.copy(),
    "number by number": lambda x: x @ jnp.array([[float(v) for v in row] for row in W]),
    "JAX first": lambda x: x @ (WJ * 2),
    "largest": lambda x: x / WJ.max(),
    "look-up at a secret": lambda x: WJ[x[0].astype(int)],
    "update": lambda x: x.at[0].set(WJ[0]),
    "add at": lambda x: WJ.at[x[0].astype(int)].add(1.0),
    "slices of a scan": lambda x: jax.lax.scan(lambda c, t: (c + t, None), x[0], WJ)[0],
    "closed over by a scan": lambda x: jax.lax.scan(lambda c, t: (c + t @ W, None), x[0], x)[0],
    "carry of a scan": lambda x: jax.lax.scan(lambda c, t: (c + t, None), WJ, x)[0],
    "loop": lambda x: jax.lax.fori_loop(0, 3, lambda k, c: c @ W, x),
    "length of a loop": lambda x: jax.lax.while_loop(_below_sum, lambda s: (s[0] + 1, s[1] * 0.5), (0.0, x))[1],
    "inside a reduction": lambda x: jax.lax.reduce(x, 0.0, lambda a, b: a + b * WJ[0, 0], (0,)),
    "inside a solver": lambda x: jax.lax.custom_linear_solve(
        lambda v: WJ @ v, x[0], lambda _, b: WJ @ b, symmetric=True
    ),
    "branch": lambda x: jax.lax.cond(x[0, 0] > 0, lambda: WJ[0], lambda: x[0]),
    "choice by it": lambda x: jax.lax.cond(WJ[0, 0] > 0, lambda: x[0] * 2, lambda: x[0]),
    "selection": lambda x: jnp.where(x > 0, WJ[:2], x),
    "comparison": lambda x: x[0] > WJ[0],
    "comparison with infinity": lambda x: (x[0] < jnp.inf * jnp.sign(WJ[0])) | (x[0] > 0),
    "division": lambda x: x / WJ[0],
    "complex": lambda x: x @ (WJ + 1j * WJ),
    "result": lambda x: (x, WJ),
    "vmap": lambda x: jax.vmap(lambda row: row @ W)(x),
    "gradient": lambda x: jax.grad(lambda x: (x @ W).sum())(x),
    "checkpoint": lambda x: jax.checkpoint(_helper)(x),
    "clear to the end": lambda x: jax.nn.relu(x @ W) @ W,
    "beside what is made of it and public": lambda x: x @ jmpc.public(WJ * 2) @ (np.asarray(WJ) * 3),
    "draw, which nobody can call public": lambda x: x + jmpc.public(WJ[0] * jmpc.random.uniform((12,))),
}
# What the function makes itself, or was called public, or is small as it was written.
RIGHT: dict[str, Callable[[Any], Any]] = {
    "NumPy": lambda x: x @ np.tril(np.ones((12, 12), np.float32)),
    "literal": lambda x: x @ jnp.array([[0.01 * i * j for i in range(12)] for j in range(12)]),
    "helper": lambda x: x @ _table(12),
    "JAX": lambda x: x @ jnp.tril(jnp.ones((12, 12))),
    "jitted": lambda x: jax.jit(lambda x: x @ np.eye(12, dtype=np.float32))(x),
    "compared": lambda x: x[0] > np.arange(12.0),
    "look-up": lambda x: jnp.array([0.5 * i for i in range(100)])[x[0].astype(int)],
    "shape": lambda x: x * W.shape[0],
    "nothing of it read": lambda x: x + jnp.zeros_like(WJ)[0],
    "called public inside": lambda x: x @ jmpc.public(W),
    "called public after work": lambda x: x @ jmpc.public(W * 2) @ jmpc.public(WJ * 2),
    "called public outside": lambda x: x @ CALLED,
    "called public, read by NumPy": lambda x: x @ (np.asarray(CALLED) * 2),
    "row of what is public": lambda x: x * CALLED[0],
    "public, beside a table": lambda x: x @ jmpc.public(W) @ np.tril(np.ones((12, 12), np.float32)),
    "public in a loop": lambda x: jax.lax.scan(lambda c, t: (c + t @ jmpc.public(W), None), x[0], CALLED)[0],
    "public under vmap and grad": lambda x: jax.grad(lambda x: jax.vmap(lambda r: r @ jmpc.public(W))(x).sum())(x),
    "public default": _with_default,
    "small": lambda x: x * FEW[:12] + FEW.sum(),
    "small in a large batch": lambda x: jnp.broadcast_to(x[:, None], (2, 100, 12)) * FEW[:12],
}  # fmt: skip


def _below_sum(state: Any) -> Any:
    return state[0] < jnp.sign(WJ).sum()


def _table(n: int) -> np.ndarray:
    return np.add.outer(np.arange(n), np.arange(n)).astype(np.float32)


def _lower(function: Callable[..., Any], owner: str) -> Any:
    return jmpc.secure(function, **OWNERS[owner]).lower(X)


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("place", PLACES)
def test_wherever_it_is_kept(place: str, owner: str) -> None:
    function, name = PLACES[place]
    with pytest.raises(ArgumentError, match="argument") as caught:
        _lower(function, owner)
    assert name in caught.value.what
    assert __file__ in caught.value.where
    assert "jmpc.public" in caught.value.todo[-1]


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("use", USES)
def test_whatever_is_done_with_it(use: str, owner: str) -> None:
    with pytest.raises(ArgumentError, match="argument") as caught:
        _lower(USES[use], owner)
    assert __file__ in caught.value.where or use in ("result", "gradient")  # its gradient is the array itself
    assert "`W`" in caught.value.what or "`WJ`" in caught.value.what


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_public_by_the_readers_eye(name: str, owner: str) -> None:
    _lower(RIGHT[name], owner)


def test_it_is_judged_as_it_was_written() -> None:
    """Neither the batch nor the element that is taken decides."""
    for size, holds in ((CAPTURE_LIMIT, True), (CAPTURE_LIMIT + 1, False)):
        table = np.arange(size, dtype=np.float32)
        for taken in (lambda x: x * table[0:1], lambda x: x[..., None] * table, lambda x: x + jnp.asarray(table)[3]):  # noqa: B023
            with contextlib.nullcontext() if holds else pytest.raises(ArgumentError, match=rf"float32\[{size}\]"):
                jmpc.secure(taken).lower(X)


def test_a_small_array_that_meets_a_batch() -> None:
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    images = np.random.default_rng(1).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    for function in (lambda x: x - mean, lambda x: jnp.where(x > mean, x, 0)):
        np.testing.assert_allclose(jmpc.secure(function)(images), function(images), atol=1e-3)


def test_the_array_that_may_have_been_copied_is_named_and_public_settles_it() -> None:
    def masked(x: Any) -> Any:
        return x @ np.tril(np.ones(W.shape, np.float32))

    with pytest.raises(ArgumentError, match="`W` at hand"):
        jmpc.secure(masked).lower(X)
    jmpc.secure(lambda x: x @ jmpc.public(np.tril(np.ones(W.shape, np.float32)))).lower(X)


def test_modules_that_name_one_another_are_looked_through() -> None:
    one, two = types.ModuleType("one_of_two"), types.ModuleType("two_of_two")
    one.other, two.other, two.w = two, one, W  # pyright: ignore[reportAttributeAccessIssue]
    reached = Reach({"f": lambda: one.other.other.other.w})
    assert reached.complete
    assert [r.name for r in reached.arrays] == ["two_of_two.w"]


class Closed:
    """It does not let itself be looked at."""

    @property
    def __wrapped__(self) -> Any:
        raise RuntimeError


def test_what_cannot_be_looked_at_may_hold_anything() -> None:
    closed = Closed()
    with pytest.raises(ArgumentError, match="`closed` at hand"):
        jmpc.secure(lambda x: x @ np.eye(12, dtype=np.float32) if closed else x).lower(X)


def test_what_public_was_said_of_is_forgotten_with_the_array() -> None:
    from jmpc.frontend import words

    before = len(words._called_public)
    called = jmpc.public({"a": np.ones(70, np.float32), "name": "kept as it is", "act": jax.nn.relu})
    assert called["act"] is jax.nn.relu
    assert words.is_called_public(called["a"])
    assert not words.is_called_public(jnp.ones(70))
    del called
    assert len(words._called_public) == before


@pytest.mark.parametrize("default", [W, WJ, W[0, :2], {"a": [0.5] * 100}, [1.0, {"b": W[0]}]], ids=str)
def test_a_default_is_no_way_around_it(default: Any) -> None:
    def f(x: Any, w: Any = default) -> Any:
        return x * sum(jnp.sum(jnp.asarray(leaf)) for leaf in jax.tree.leaves(w))

    with pytest.raises(ArgumentError, match="the default of 'w' is an array") as caught:
        jmpc.secure(f).lower(X)
    assert caught.value.where == "w"
    for options in ({"public": "w"}, {"inputs": {"w": "bank"}}):
        jmpc.secure(f, **options).lower(X)
    jmpc.secure(f).lower(X, default)


def test_what_a_partial_names_is_a_default() -> None:
    with pytest.raises(ArgumentError, match="the default of 'w' is an array"):
        jmpc.secure(functools.partial(lambda x, w: x @ w, w=W)).lower(X)


def test_numbers_are_defaults_as_ever() -> None:
    def f(x: Any, scale: float = 2.0, shift: Any = ONE, axes: Any = (0, 1), step: Any = ALSO_ONE) -> Any:
        return (x * scale + shift * step).sum(axes)

    jmpc.secure(f).lower(X)
