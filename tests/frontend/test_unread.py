"""What no result reads is dropped before anything is refused or computed, as `jax.jit` drops it; effects stay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import UnsupportedError
from jmpc.ir.program import walk
from tests.frontend.data import X
from tests.frontend.oracle import check


def zeta(x: Any) -> Any:
    """Without a secure form."""
    return lax.zeta(x + 2, x + 1)


@jax.custom_jvp
def _custom(x: Any) -> Any:
    return zeta(x), x * 2


_custom.defjvp(lambda primals, tangents: (_custom(*primals), _custom(*tangents)))


@jax.custom_vjp
def _pulled(x: Any) -> Any:
    return zeta(x), x * 2


_pulled.defvjp(lambda x: (_pulled(x), None), lambda _, g: (g[1],))


def _while(x: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2 + s[3], zeta(s[2]), s[3]), (0, x, x, x))[1]


UNREAD = {
    "in the function": lambda x: (zeta(x), x + 1)[1],
    "in a call": lambda x: jax.jit(lambda v: (zeta(v), v + 1))(x)[1],
    "in a call in a call": lambda x: jax.jit(lambda v: jax.jit(lambda u: (zeta(u), u))(v))(x)[1],
    "a carry of a scan": lambda x: lax.scan(lambda c, t: ((c[0] + t, zeta(c[1])), t), (x[0], x[1]), x)[0][0],
    "a row of a scan": lambda x: lax.scan(lambda c, t: (c + t, (zeta(t), t)), x[0], x)[1][1],
    "a carry of a while loop": _while,
    "the counter of a while loop": lambda x: (_while(x), lax.fori_loop(0, 3, lambda k, c: c * 2, x)),
    "in a branch": lambda x: lax.cond(x[0, 0] > 0, lambda v: (zeta(v), v), lambda v: (v, v + 1), x)[1],
    "of a custom_jvp": lambda x: _custom(x)[1],
    "of a custom_vjp": lambda x: _pulled(x)[1],
    "in a checkpoint": lambda x: jax.checkpoint(lambda v: (zeta(v), v * 2))(x)[1],
    "under vmap": lambda x: jax.vmap(lambda v: (zeta(v), v * 2))(x)[1],
    "under grad": jax.grad(lambda x: (zeta(lax.stop_gradient(x)).sum() * 0, (x * x).sum())[1]),
    "a key made of a secret": lambda x: (jax.random.key(x[0, 0].astype(int)), x)[1],
}


@pytest.mark.parametrize("name", sorted(UNREAD))
def test_what_nothing_reads_is_not_refused(name: str) -> None:
    check(UNREAD[name], X)


@pytest.mark.parametrize("name", ["in the function", "a carry of a scan", "in a branch"])
def test_check_mode_follows(name: str) -> None:
    jmpc.secure(UNREAD[name], config=jmpc.Config(check=True))(X)


def test_what_is_read_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="zeta on a secret"):
        jmpc.secure(lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, zeta(s[1])), (0, x))[1]).lower(X)


def test_an_unread_carry_costs_nothing() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 9, lambda s: (s[0] + 1, s[1] * 2, jnp.sin(s[2])), (0, x, x))[1]

    text = jmpc.secure(loop).lower(X).as_text("value")
    assert "periodic" not in text


@pytest.mark.filterwarnings("ignore::jmpc.errors.NothingSecretWarning")
def test_effects_stay(capsys: pytest.CaptureFixture[str]) -> None:
    def said(x: Any) -> Any:
        jax.jit(lambda v: jax.debug.print("rows: {}", v.shape[0]))(x)
        return x

    jmpc.secure(said)(X)
    jax.effects_barrier()
    assert "rows: 3" in capsys.readouterr().out


def test_a_loop_that_is_walked_again_prints_as_often_as_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def step(k: Any, c: Any) -> Any:
        jax.debug.print("step")
        return c * 2

    jmpc.secure(lambda x: x + lax.fori_loop(0, 3, step, jnp.zeros(()) + x[0, 0]))(X)
    jmpc.secure(lambda x: x + lax.fori_loop(0, 2, step, jmpc.bounded(x[0, 0], 4.0)))(X)
    jax.effects_barrier()
    assert capsys.readouterr().out.count("step") == 5


# --- random keys of the function's surroundings

KEY, KEYS, RAW = jax.random.key(3), jax.random.split(jax.random.key(4), 60), jax.random.PRNGKey(5)

CAPTURED = {
    "a key": lambda x: x + jax.random.normal(KEY, x.shape),
    "a raw key": lambda x: x + jax.random.normal(RAW, x.shape),
    "many keys": lambda x: x + jax.vmap(jax.random.normal)(KEYS)[:3, None],
    "a key in a loop": lambda x: lax.scan(lambda k, t: (jax.random.split(k)[0], t + jax.random.normal(k)), KEY, x)[1],
    "a key in a branch": lambda x: lax.cond(
        x[0, 0] > 0, lambda: jax.random.normal(KEY), lambda: jax.random.normal(KEYS[1])
    ),
}


@pytest.mark.parametrize("name", sorted(CAPTURED))
def test_a_captured_key_is_public(name: str) -> None:
    check(CAPTURED[name], X)


@pytest.mark.filterwarnings("ignore::jmpc.errors.NothingSecretWarning")
def test_a_captured_key_is_returned_as_it_is() -> None:
    _, key = jmpc.secure(lambda x: (x, jax.random.split(KEY)))(X)
    np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.split(KEY)))


def test_no_op_is_left_of_what_nothing_reads() -> None:
    text = jmpc.secure(lambda x: (jnp.exp(x), x + 1)[1]).lower(X)
    assert {op.name for op in walk(text.flow.frontier.program.body)} <= {"share", "add", "const"}
