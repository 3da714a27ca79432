"""Every line of bad input: a typed error that says what, where, why and what to do; and the next call works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import (
    ArgumentError,
    BoundError,
    ConfigError,
    JMPCError,
    RangeError,
    SecretBranchError,
    UnsupportedError,
)
from tests.api.golden import assert_message

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)


def _total(tree: Any) -> Any:
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(tree))


def _branch(x: Any) -> Any:
    if x[0, 0] > 0:
        return x
    return -x


def _several(x: Any) -> Any:
    shown = jnp.exp(x)
    called = jax.pure_callback(lambda v: v, shown, shown)
    return jax.lax.while_loop(lambda c: c.sum() > 0, lambda c: c - 1, called)


def _until_small(x: Any) -> Any:
    return jax.lax.while_loop(lambda c: c.sum() > 0.1, lambda c: c * 0.5, x)


def _with(value: float, at: tuple[int, int] = (1, 2)) -> Any:
    bad = X.copy()
    bad[at] = value
    return {"layers": [X, {"w": bad}]}


def _compiled(x: Any) -> Any:
    return jmpc.secure(_total).lower(X).compile()(x)


CASES: dict[str, tuple[type[JMPCError], Callable[[], Any]]] = {
    "wrong_shape": (ArgumentError, lambda: _compiled(X[:1])),
    "wrong_dtype": (ArgumentError, lambda: _compiled(X.astype(np.int32))),
    "shapes_do_not_fit": (ArgumentError, lambda: jmpc.secure(lambda x, y: x + y)(X, X[:, :2])),
    "branch": (SecretBranchError, lambda: jmpc.secure(_branch)(X)),
    "float_of_secret": (SecretBranchError, lambda: jmpc.secure(lambda x: x * float(x[0, 0]))(X)),
    "mask_as_index": (SecretBranchError, lambda: jmpc.secure(lambda x: x[x > 0])(X)),
    "secret_as_index": (SecretBranchError, lambda: jmpc.secure(lambda x: [1, 2][x[0, 0].astype(int)])(X)),
    "numpy_of_secret": (SecretBranchError, lambda: jmpc.secure(lambda x: np.linalg.norm(x))(X)),
    "secret_slice": (SecretBranchError, lambda: jmpc.secure(lambda x, n: x[:n])(X, 1)),
    "secret_shape": (SecretBranchError, lambda: jmpc.secure(lambda n: jnp.zeros(n) + n)(3)),
    "secret_count": (SecretBranchError, lambda: jmpc.secure(lambda x, n: [x for _ in range(n)])(X, 3)),
    "secret_predicate": (UnsupportedError, lambda: jmpc.secure(_until_small)(X)),
    "public_count": (
        UnsupportedError,
        lambda: jmpc.secure(lambda x, n: jax.lax.fori_loop(0, n, lambda k, c: c * x, x), public="n")(X, 3),
    ),
    "print_of_secret": (UnsupportedError, lambda: jmpc.secure(lambda x: jax.debug.print("{x}", x=x))(X)),
    "unsupported": (UnsupportedError, lambda: jmpc.secure(_several)(X)),
    "nan": (RangeError, lambda: jmpc.secure(_total)(_with(np.nan))),
    "infinity": (RangeError, lambda: jmpc.secure(_total)(_with(-np.inf))),
    "out_of_range": (RangeError, lambda: jmpc.secure(_total)(_with(123456789.0))),
    "beyond_declared_bound": (RangeError, lambda: jmpc.secure(lambda x: jmpc.bounded(x, 1.5) * 2)(X)),
    "nan_from_public_work": (RangeError, lambda: jmpc.secure(lambda x, p: x + jnp.log(p), public="p")(X, -1.0)),
    "nan_from_an_owners_work": (
        RangeError,
        lambda: jmpc.secure(lambda x, p: x + jnp.log(p), inputs={"p": "bob"})(X, -1.0),
    ),
    "bound": (BoundError, lambda: jmpc.secure(lambda x: jmpc.bounded(x, 2.0**25) * jmpc.bounded(x, 2.0**24))(X)),
    "unknown_receiver": (ConfigError, lambda: jmpc.secure(_total, outputs="bob")),
    "unknown_argument": (ConfigError, lambda: jmpc.secure(_total, inputs={"z": "bob"})),
    "two_roles": (ConfigError, lambda: jmpc.secure(_total, inputs={"tree": "bob"}, public="tree")),
    "stored_as_owner": (ConfigError, lambda: jmpc.secure(_total, inputs={"tree": jmpc.SECRET})),
    "odd_owner": (ConfigError, lambda: jmpc.secure(_total, inputs={"tree": "bob\n"})),
    "not_a_prefix": (ConfigError, lambda: jmpc.secure(lambda x: (x, x), outputs={"a": "caller"})(X)),
    "not_an_array": (ArgumentError, lambda: jmpc.secure(_total)({"a": "text"})),
    "text_as_result": (ArgumentError, lambda: jmpc.secure(lambda x: {"a": "text"})(X)),
    "captured": (ArgumentError, lambda: jmpc.secure(lambda x: x @ np.ones((3, 40), np.float32) * CAPTURED)(X)),
    "shape_without_values": (ArgumentError, lambda: jmpc.secure(_total)(jax.ShapeDtypeStruct((2,), np.float32))),
    "unhashable_static": (ArgumentError, lambda: jmpc.secure(lambda x, s: x, static_argnames="s")(X, [1])),
}  # fmt: skip
CAPTURED = np.arange(80.0).reshape(2, 40)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str) -> None:
    kind, call = CASES[name]
    with pytest.raises(JMPCError) as caught:
        call()
    assert type(caught.value) is kind
    assert_message(name, caught.value)


def test_the_next_call_works() -> None:
    secured = jmpc.secure(lambda x: jmpc.bounded(x, 4.5) * 2)
    for bad in (X * np.nan, X * 1000):
        with pytest.raises(RangeError):
            secured(bad)
        np.testing.assert_allclose(secured(X), X * 2, atol=1e-4)


def test_no_value_of_an_argument_is_in_a_message() -> None:
    with pytest.raises(RangeError) as caught:
        jmpc.secure(_total)(_with(123456789.0))
    assert "1234567" not in str(caught.value)


def test_what_the_users_own_code_raises_passes_through() -> None:
    def broken(x: Any) -> Any:
        raise KeyError("mine")

    def mistaken(x: Any) -> Any:
        raise ValueError("mine too")

    with pytest.raises(KeyError, match="mine"):
        jmpc.secure(broken)(X)
    with pytest.raises(ValueError, match="mine too"):
        jmpc.secure(mistaken)(X)


def test_a_call_that_does_not_fit_the_signature() -> None:
    secured = jmpc.secure(_total)
    with pytest.raises(TypeError, match=r"_total\(\) missing a required argument: 'tree'"):
        secured()
    with pytest.raises(TypeError, match="too many positional"):
        secured(X, X)
