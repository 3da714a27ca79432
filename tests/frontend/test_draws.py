"""Draws of jmpc.random under JAX's transformations: anew for each example and iteration, kept for a backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.testing.executors import executor

uniform, checkpoint = jmpc.random.uniform, jax.checkpoint
X = np.arange(1, 6, dtype=np.float32)
ONE = np.float32(2)


def drawn(function: Callable[..., Any], *args: Any) -> Any:
    with executor("simulated", 0):
        return jax.tree.map(np.asarray, jmpc.secure(lambda *xs: function(*xs))(*args))


def repeated(body: Callable[[Any], Any], start: Any, length: int = 4) -> Any:
    return lax.scan(lambda c, _: (body(c), None), start, None, length=length)[0]


def distinct(values: Any) -> bool:
    flat = np.asarray(values).reshape(-1).tolist()
    return len(set(flat)) == len(flat)


# --- for each example


@jax.custom_jvp
def _custom(v: Any) -> Any:
    return v * 0 + uniform()


_custom.defjvp(lambda primals, tangents: (_custom(*primals), tangents[0] * uniform()))


@jax.custom_vjp
def _pulled(v: Any) -> Any:
    return v * 0 + uniform()


_pulled.defvjp(lambda v: (_pulled(v), uniform()), lambda kept, g: (g * kept,))

MAPPED: dict[str, Callable[[Any], Any]] = {
    "plain": lambda v: uniform() + 0 * v,
    "of nothing that is mapped": lambda v: uniform(),
    "in a call": jax.jit(lambda v: uniform()),
    "in a call without arguments": lambda v: jax.jit(uniform)(),
    "in a loop": lambda v: repeated(lambda c: uniform(), 0 * v),
    "the rows of a loop": lambda v: lax.scan(lambda c, _: (c, uniform()), 0, None, length=3)[1],
    "in a while loop": lambda v: lax.fori_loop(0, 3, lambda k, c: uniform(), 0.0),
    "in a branch": lambda v: lax.cond(True, lambda: uniform(), lambda: 0.0),
    "in a branch of each example": lambda v: lax.cond(v > 2, lambda: uniform(), lambda: uniform()),
    "in a checkpoint": checkpoint(lambda v: uniform()),
    "in a custom_jvp": _custom,
    "in a custom_vjp": _pulled,
    "its gradient": jax.grad(lambda v: v * uniform()),
    "the gradient of a custom_jvp": jax.grad(_custom),
    "the gradient of a custom_vjp": jax.grad(_pulled),
    "the gradient of a loop": jax.grad(lambda v: repeated(lambda c: c * uniform(), v)),
    "in another vmap": lambda v: jax.vmap(lambda u: uniform())(jnp.zeros(3)),
    "a normal number": lambda v: jmpc.random.normal(),
    "an exponential number": lambda v: jmpc.random.exponential(),
    "a Gumbel number": lambda v: jmpc.random.gumbel(),
    "bits": lambda v: jmpc.random.bits((), np.uint64 if jax.config.jax_enable_x64 else np.uint32),
    "a probability of each example": lambda v: uniform() + jmpc.random.bernoulli(v / 8),
    "an order": lambda v: uniform() + 2 * jmpc.random.permutation(3)[0],
}


@pytest.mark.parametrize("name", sorted(MAPPED))
def test_each_example_draws_for_itself(name: str) -> None:
    assert distinct(drawn(jax.vmap(MAPPED[name]), X))


def test_an_axis_with_a_name_and_a_map_in_batches() -> None:
    assert distinct(drawn(jax.vmap(lambda v: uniform(), axis_name="i"), X))
    assert distinct(drawn(lambda x: lax.map(lambda v: uniform(), x, batch_size=2), X))
    assert distinct(drawn(lambda x: jnp.vectorize(lambda v: v * 0 + uniform())(x), X))


def test_a_draw_outside_of_what_is_mapped_serves_all() -> None:
    assert len(set(drawn(lambda x: (lambda n: jax.vmap(lambda v: n)(x))(uniform()), X).tolist())) == 1


def test_every_row_of_a_mapped_permutation_has_an_order_of_its_own() -> None:
    x = np.tile(np.arange(30, dtype=np.float32), (3, 1))
    order = jmpc.random.permutation
    for function in (order, lambda row: order(jnp.arange(30.0))):
        rows = drawn(jax.vmap(function), x)
        np.testing.assert_array_equal(np.sort(rows), x)
        assert distinct([tuple(row).__hash__() for row in rows])


# --- in every iteration, call and branch

ANEW: dict[str, Callable[[Any], Any]] = {
    "iterations": lambda v: lax.scan(lambda c, _: (c, uniform()), v, None, length=4)[1],
    "iterations, with the gradient": lambda v: jax.vjp(
        lambda u: lax.scan(lambda c, _: (lambda n: (c * n, n))(uniform()), u, None, length=4), v
    )[0][1],
    "iterations, in a call, with the gradient": lambda v: jax.vjp(
        lambda u: lax.scan(lambda c, _: (lambda n: (c * n, n))(jax.jit(uniform)()), u, None, length=4), v
    )[0][1],
    "iterations, in a branch, with the gradient": lambda v: jax.vjp(
        lambda u: lax.scan(
            lambda c, _: (lambda n: (c * n, n))(lax.cond(c > 0, lambda: uniform(), lambda: uniform())),
            u, None, length=4,
        ), v,
    )[0][1],
    "loops in loops, with the gradient": lambda v: jax.vjp(
        lambda u: lax.scan(
            lambda c, _: lax.scan(lambda d, _: (lambda n: (d * n, n))(uniform()), c, None, length=3),
            u, None, length=2,
        ), v,
    )[0][1],
    "two calls of one function": lambda v: (lambda f: jnp.stack([f(v), f(v)]))(jax.jit(lambda u: u * 0 + uniform())),
    "two checkpoints of one function": lambda v: (lambda f: jnp.stack([f(v), f(v)]))(checkpoint(lambda u: uniform())),
    "orders in a loop": lambda v: lax.scan(
        lambda c, _: (c, jmpc.random.permutation(jnp.arange(9))), v, None, length=3
    )[1] @ jnp.array([9**k for k in range(9)]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ANEW))
def test_what_draws_anew(name: str) -> None:
    assert distinct(drawn(ANEW[name], ONE))


# --- the same in the backward pass: v^2 n at 2 is its own derivative, whatever n is


def _noisy(v: Any) -> Any:
    return v * v * (0.5 + 0.1 * uniform())


KEPT: dict[str, tuple[Callable[[Any], Any], int]] = {
    "plain": (_noisy, 2),
    "a checkpoint": (checkpoint(_noisy), 2),
    "a checkpoint in a checkpoint": (checkpoint(checkpoint(_noisy)), 2),
    "a checkpoint of a call": (checkpoint(jax.jit(_noisy)), 2),
    "a call of a checkpoint": (jax.jit(checkpoint(_noisy)), 2),
    "a checkpoint of a branch": (checkpoint(lambda v: lax.cond(v > 0, _noisy, lambda u: u, v)), 2),
    "a policy": (checkpoint(_noisy, policy=jax.checkpoint_policies.dots_saveable), 2),
    "a loop": (lambda v: repeated(_noisy, v, 2), 4),
    "a loop of checkpoints": (lambda v: repeated(checkpoint(_noisy), v, 2), 4),
    "a loop in a loop of checkpoints": (lambda v: repeated(checkpoint(lambda u: repeated(_noisy, u, 1)), v, 2), 4),
    "two checkpoints of one function": (lambda v: (lambda f: 10 * f(v) + f(v))(checkpoint(_noisy)), 2),
    "a map of checkpoints": (lambda v: jax.vmap(checkpoint(_noisy))(jnp.stack([v, v])).sum(), 2),
    "an order": (checkpoint(lambda v: v * v * (1 + jmpc.random.permutation(jnp.arange(20.0))[3])), 2),
}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_backward_pass_has_the_numbers_of_the_forward_pass(name: str) -> None:
    function, power = KEPT[name]
    value, slope = drawn(jax.value_and_grad(function), ONE)
    np.testing.assert_allclose(slope, value * power / 2, rtol=2e-3)


def test_a_custom_rule_draws_for_itself_under_a_checkpoint() -> None:
    """v n has the slope n + v m, m drawn by the rule."""
    value, slope = drawn(jax.value_and_grad(checkpoint(lambda v: v * _custom(v))), ONE)
    rest = slope - value / 2
    assert 0 < rest < 2


REFUSED: dict[str, Callable[[Any], Any]] = {
    "a checkpoint of a loop of checkpoints": jax.value_and_grad(checkpoint(lambda v: repeated(checkpoint(_noisy), v))),
    "a loop of checkpoints in checkpoints": jax.value_and_grad(
        lambda v: repeated(checkpoint(checkpoint(_noisy)), v)
    ),
    "a checkpoint of a while loop": jax.grad(
        checkpoint(lambda v: jnp.sin(v * lax.fori_loop(0, jnp.int32(3), lambda k, c: c + uniform(), 0.0)))
    ),
    "a hessian": jax.hessian(_noisy),
    "a forward jacobian": jax.jacfwd(_noisy),
    "the gradient of an order": jax.grad(lambda v: jmpc.random.permutation(v * jnp.arange(3.0))[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_would_draw_once_for_several_or_again_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"jmpc\.random") as caught:
        jmpc.secure(lambda v: REFUSED[name](v)).lower(ONE)
    assert __file__ in str(caught.value)
    assert "pass in" in str(caught.value) or "random order" in str(caught.value)


def test_an_assertion_of_the_users_own_stays_one() -> None:
    def function(v: Any) -> Any:
        noise = uniform()
        assert v.shape == (3,)
        return noise

    with pytest.raises(AssertionError):
        jmpc.secure(function).lower(ONE)


def test_devices_of_the_users_own_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="shard_map"):
        jmpc.secure(lambda x: jax.pmap(lambda v: v + uniform())(x)).lower(X[:1])
