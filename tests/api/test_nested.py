"""A secure function that is called while JAX traces: inside another one it is part of that program; under a
transformation of JAX it is refused, with what to write instead."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError, ConfigError, UnsupportedError
from tests.frontend.oracle import assert_same

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

square = jmpc.secure(lambda x: x * x)
score = jmpc.secure(
    lambda weights, x: jax.nn.relu(x @ weights), inputs={"weights": "bank", "x": "client"}, outputs="client"
)
W = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]], np.float32)

REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "jax.jit": (lambda x: jax.jit(square)(x), "call it outside of jax.jit"),
    "jax.vmap": (lambda x: jax.vmap(square)(x), "jmpc.secure(jax.vmap("),
    "jax.grad": (lambda x: jax.grad(lambda x: square(x).sum())(x), "jmpc.secure(jax.grad("),
    "jax.grad, forward": (lambda x: jax.jvp(square, (x,), (x,)), "jmpc.secure(jax.grad("),
    "jax.lax.scan": (lambda x: jax.lax.scan(lambda c, v: (c + square(v).sum(), None), 0.0, x), "put the loop inside"),
    "jax.lax.scan, counted": (lambda x: jax.lax.fori_loop(0, 2, lambda k, c: square(c), x), "put the loop inside"),
    "jax.lax.scan, mapped": (lambda x: jax.lax.map(square, x), "put the loop inside"),
    "jax.lax.cond": (lambda x: jax.lax.cond(True, square, lambda x: x, x), "put the choice inside"),
    "jax.lax.while_loop": (
        lambda x: jax.lax.while_loop(lambda c: c.sum() < 0, square, x),
        "jmpc.bounded_while",
    ),
    "jax.eval_shape": (lambda x: jax.eval_shape(square, x), "out_info"),
    "jax.make_jaxpr": (lambda x: jax.make_jaxpr(square)(x), ".jaxpr"),
    "jax.jit, of no argument": (lambda x: jax.jit(lambda: square(x))(), "call it outside of jax.jit"),
    "jax.jit, of a stage": (lambda x: jax.jit(lambda x: square.lower(x) and x)(x), "call it outside of jax.jit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_under_a_transformation_it_says_what_to_write(name: str, x: np.ndarray) -> None:
    run, remedy = REFUSED[name]
    with pytest.raises(UnsupportedError) as caught:
        run(x)
    assert caught.value.what == f"<lambda> is a secure function, and is called inside {name.split(',')[0]}"
    assert remedy in caught.value.todo[0]
    assert f"{__file__}:" in caught.value.where
    assert_same(square(x), jnp.asarray(x) ** 2)  # the next call works


def test_a_compiled_one_is_refused_too(x: np.ndarray) -> None:
    compiled = square.lower(x).compile()
    with pytest.raises(UnsupportedError, match=r"inside jax\.jit"):
        jax.jit(compiled)(x)


INSIDE: dict[str, Callable[[Any], Any]] = {
    "call": lambda x: square(x) + 1,
    "twice": lambda x: square(square(x)) * 0.5,
    "vmap": lambda x: jax.vmap(square)(x),
    "jit": lambda x: jax.jit(square)(x),
    "gradient": lambda x: jax.grad(lambda x: square(x).sum())(x),
    "scan": lambda x: jax.lax.scan(lambda c, v: (c + square(v), square(c).sum()), x[0], x),
    "branch": lambda x: jax.lax.cond(x[0, 0] > 0, square, lambda x: x, x),
    "function of it": lambda x: jmpc.secure(lambda y: jmpc.secure(square)(y) - 1)(x),
    "of a number": lambda x: square(3.0) + x,
    "pytrees": lambda x: jmpc.secure(lambda tree, k=2: {"a": tree["a"] * k})({"a": x})["a"],
}


@pytest.mark.parametrize("name", INSIDE)
def test_inside_another_it_is_one_program(name: str, x: np.ndarray) -> None:
    plain = {square: lambda x: x * x}
    expected = INSIDE[name]
    found = jmpc.secure(expected)(x)
    swapped = _with(expected, square=plain[square], jmpc=_Plain)
    assert_same(found, swapped(jnp.asarray(x)))


class _Plain:
    """`jmpc` where everything is in the clear."""

    @staticmethod
    def secure(function: Any, **options: Any) -> Any:
        return function


def _with(function: Any, **names: Any) -> Any:
    return types.FunctionType(function.__code__, {**function.__globals__, **names})


def test_it_costs_what_the_plain_function_costs(x: np.ndarray) -> None:
    one, two = (jmpc.secure(f).lower(x).cost() for f in (lambda x: square(x) + 1, lambda x: x * x + 1))
    assert (one.rounds, one.bytes_sent) == (two.rounds, two.bytes_sent)


def test_owners_that_both_name(x: np.ndarray) -> None:
    options: dict[str, Any] = {"inputs": {"weights": "bank", "x": "client"}, "outputs": "client"}
    above = jmpc.secure(lambda weights, x: score(weights, x) > 0.5, **options)
    np.testing.assert_array_equal(above(W, x), np.maximum(x @ W, 0) > 0.5)
    work = jmpc.secure(lambda weights, x: score(weights * 2, jnp.tanh(x)).sum(), **options)
    np.testing.assert_allclose(work(W, x), np.maximum(np.tanh(x) @ (2 * W), 0).sum(), atol=1e-2)


MISFITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "owners that the outer one does not know": (lambda x: jmpc.secure(lambda w, x: score(w, x))(W, x), "bank, client"),
    "another owner": (
        lambda x: jmpc.secure(
            lambda w, x: score(w, x), inputs={"w": "client", "x": "bank"}, owners=["client"], outputs="client"
        )(W, x),
        "weights is bank's, and in the one around it, it is client's",
    ),
    "a public argument of the outer one": (
        lambda x: jmpc.secure(
            lambda w, x: score(w, x), inputs={"x": "client"}, public="w", owners=["bank"], outputs="client"
        )(W, x),
        "it is public",
    ),
    "a result for others": (
        lambda x: jmpc.secure(lambda w, x: score(w, x), inputs={"w": "bank", "x": "client"}, outputs="bank")(W, x),
        "its result is for client, and here it is for bank",
    ),
    "another configuration": (
        lambda x: jmpc.secure(lambda x: jmpc.secure(lambda x: x + 1, config=jmpc.Config(f=12))(x))(x),
        "f=12",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_refused(name: str, x: np.ndarray) -> None:
    run, what = MISFITS[name]
    with pytest.raises(ConfigError, match="does not fit into") as caught:
        run(x)
    assert what in caught.value.what
    assert f"{__file__}:" in caught.value.where
    assert ".function" in caught.value.todo[-1]


def test_what_says_the_same_fits(x: np.ndarray) -> None:
    config = jmpc.Config(f=12)
    inner = jmpc.secure(lambda x: x * 2, config=config)
    np.testing.assert_allclose(jmpc.secure(lambda x: inner(x) + 1, config=jmpc.Config(f=12))(x), x * 2 + 1, atol=1e-2)
    kept = jmpc.secure(lambda x: x * 2, outputs=jmpc.SECRET)
    assert_same(jmpc.secure(lambda x: kept(x) + 1)(x), jnp.asarray(x) * 2 + 1)


def test_no_secret_of_the_inner_one_becomes_a_constant_of_the_outer_one(x: np.ndarray) -> None:
    """However small it is."""

    def default(x: Any, w: Any = W) -> Any:
        return x @ w

    held = jmpc.secure(lambda w, x: x @ w, inputs={"w": "bank"})
    owned = jmpc.secure(default, inputs={"w": "bank"})
    for function in (lambda x: held(W, x), owned):
        for outer in ({}, {"owners": ["bank"]}):
            with pytest.raises((ArgumentError, ConfigError)) as caught:
                jmpc.secure(lambda x: function(x), **outer).lower(x)  # noqa: B023
            assert outer == {} or isinstance(caught.value, ArgumentError)
    assert_same(jmpc.secure(lambda x: held(jmpc.public(W), x), owners=["bank"])(x), jnp.asarray(x) @ W)


def test_a_handle_comes_as_an_argument(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    scalar = jmpc.secure(lambda x: x.sum(), outputs=jmpc.SECRET)(x)
    for held in (handle, scalar):
        with pytest.raises(ArgumentError, match="a secret handle"):
            jmpc.secure(lambda x: square(held) + x)(x)  # noqa: B023
        with pytest.raises(ArgumentError, match="make it an argument"):
            jmpc.secure(lambda x: x + held)(x)  # noqa: B023
    assert_same(jmpc.secure(lambda h: square(h))(handle), (jnp.asarray(x) + 1) ** 2)


def test_a_stage_inside_another_is_refused(x: np.ndarray) -> None:
    compiled = square.lower(x).compile()
    for stage in (compiled, square.lower, square.trace):
        with pytest.raises(UnsupportedError, match="a stage of <lambda> inside the secure function"):
            jmpc.secure(lambda x: stage(x))(x)  # noqa: B023


def test_a_trace_inside_is_not_taken_for_one_outside(x: np.ndarray) -> None:
    """JAX keeps traces of jitted functions: that of a secure program must not serve a call in the clear."""
    jitted = jax.jit(square)
    assert_same(jmpc.secure(lambda x: jitted(x) + 1)(x), jnp.asarray(x) ** 2 + 1)
    with pytest.raises(UnsupportedError, match=r"inside jax\.jit"):
        jitted(x)
    configured = jax.jit(jmpc.secure(lambda x: x * 3, config=jmpc.Config()))
    assert_same(jmpc.secure(lambda x: configured(x))(x), jnp.asarray(x) * 3)
    with pytest.raises(ConfigError, match="f=12"):
        jmpc.secure(lambda x: configured(x), config=jmpc.Config(f=12)).lower(x)
    with pytest.raises(UnsupportedError, match=r"inside jax\.jit"):
        configured(x)


def test_a_failed_trace_leaves_nothing_behind(x: np.ndarray) -> None:
    def broken(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        jmpc.secure(broken)(x)
    assert_same(square(x), jnp.asarray(x) ** 2)
