"""What does more than compute is never run by the compiler, and never in a branch that is not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import checkify, io_callback

import jmpc
from jmpc.errors import UnsupportedError

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)
CALLS: list[str] = []


def _host(v: Any) -> Any:
    CALLS.append("called")
    return np.asarray(v)


def _pure(v: Any) -> Any:
    return jax.pure_callback(_host, jax.ShapeDtypeStruct(jnp.shape(v), np.float32), v)


def _ordered(v: Any) -> Any:
    return io_callback(_host, jax.ShapeDtypeStruct(jnp.shape(v), np.float32), v)


def _debug(v: Any) -> Any:
    jax.debug.callback(_host, v)
    return v


def _jitted(v: Any) -> Any:
    return jax.jit(_pure)(v)


ACTING: dict[str, Callable[[Any], Any]] = {"pure": _pure, "ordered": _ordered, "debug": _debug, "jitted": _jitted}


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLS.clear()


@pytest.mark.parametrize("name", ACTING)
def test_on_constants_it_waits_for_the_call(name: str) -> None:
    act = ACTING[name]
    compiled = jmpc.secure(lambda x: x + act(jnp.float32(2.0))).lower(X).compile()
    assert CALLS == []
    for count in (1, 2):
        np.testing.assert_allclose(compiled(X), X + 2, atol=1e-4)
        jax.effects_barrier()
        assert len(CALLS) == count


@pytest.mark.parametrize("name", ACTING)
def test_in_a_loop_of_constants_it_waits_for_the_call(name: str) -> None:
    act = ACTING[name]
    secured = jmpc.secure(lambda x: x + lax.scan(lambda c, t: (c + act(t), None), 0.0, jnp.arange(3.0))[0])
    compiled = secured.lower(X).compile()
    assert CALLS == []
    np.testing.assert_allclose(compiled(X), X + 3, atol=1e-4)
    jax.effects_barrier()
    assert len(CALLS) == 3


@pytest.mark.parametrize("name", ACTING)
def test_a_choice_in_the_clear_calls_for_the_branch_that_is_taken(name: str) -> None:
    act = ACTING[name]
    secured = jmpc.secure(lambda x, p: x * lax.cond(p > 0, act, lambda v: v * 2, p), public="p")
    compiled = secured.lower(X, np.float32(1)).compile()
    assert CALLS == []
    np.testing.assert_allclose(compiled(X, np.float32(-1)), X * -2, atol=1e-4)
    jax.effects_barrier()
    assert CALLS == []
    np.testing.assert_allclose(compiled(X, np.float32(3)), X * 3, atol=1e-4)
    jax.effects_barrier()
    assert CALLS == ["called"]


@pytest.mark.parametrize("predicate", ["secret", "public"])
@pytest.mark.parametrize("name", ACTING)
def test_a_branch_of_a_secret_computation_is_refused(name: str, predicate: str) -> None:
    """All of its branches are computed: one that raises must not."""

    def checked(x: Any, p: Any) -> Any:
        hit = (x.sum() if predicate == "secret" else p) > 100
        return lax.cond(hit, lambda v: v + ACTING[name](jnp.float32(0)), lambda v: v, x)

    with pytest.raises(UnsupportedError, match="calls the host") as caught:
        jmpc.secure(checked, public="p").lower(X, np.float32(1))
    assert f"{__file__}:" in caught.value.where
    assert "checked)" in caught.value.where
    assert CALLS == []


def test_a_branch_that_the_compiler_knows_is_as_good_as_no_branch() -> None:
    compiled = jmpc.secure(lambda x: lax.cond(False, lambda v: v + _pure(1.0), lambda v: v * 2, x)).lower(X).compile()
    np.testing.assert_allclose(compiled(X), X * 2, atol=1e-4)
    assert CALLS == []


def test_counting_the_trips_of_a_loop_calls_nothing() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (_pure(s[0]) + 1, s[1] * 0.5), (jnp.float32(0), x))[1]

    with pytest.raises(UnsupportedError, match="calls the host in a loop"):
        jmpc.secure(loop).lower(X)
    assert CALLS == []


def test_a_check_on_a_secret() -> None:
    def checked(x: Any) -> Any:
        checkify.check(x.sum() < 100, "too big")
        return x * 2

    with pytest.raises(UnsupportedError, match="check on a secret") as caught:
        jmpc.secure(checked).lower(X)
    assert "checked)" in caught.value.where
    error, doubled = jmpc.secure(lambda x: _flat(checkify.checkify(checked)(x)))(X)
    assert not bool(error)
    np.testing.assert_allclose(doubled, X * 2, atol=1e-4)


def _flat(checked: Any) -> Any:
    """Whether it failed, in place of an error that holds its message."""
    error, out = checked
    return jax.tree.leaves(error)[0], out


def test_a_library_between_is_named_with_the_users_line(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from jmpc import _jax

    library = tmp_path / "installed.py"
    library.write_text("import jax\ndef guard(x):\n    return jax.lax.zeta(x, x)\n")
    monkeypatch.syspath_prepend(tmp_path)
    _jax.is_library.cache_clear()
    known = _jax.sysconfig.get_path
    monkeypatch.setattr(_jax.sysconfig, "get_path", lambda name: str(tmp_path) if name == "purelib" else known(name))
    import installed  # pyright: ignore[reportMissingImports]

    with pytest.raises(UnsupportedError, match="zeta") as caught:
        jmpc.secure(lambda x: installed.guard(x + 1)).lower(X)
    _jax.is_library.cache_clear()
    assert caught.value.where.startswith(f"{__file__}:")
    assert f"in {library}:3" in caught.value.where
