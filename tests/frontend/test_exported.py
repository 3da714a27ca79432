"""A function that `jax.export` made is called like any other: its StableHLO is read back as the primitives that it
says, and what cannot be read is refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

import jmpc
from jmpc.errors import ArgumentError, UnsupportedError
from tests.frontend.oracle import assert_same, run

RNG = np.random.default_rng(5)
X = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
I = jnp.array([2, 0, 1, 3], jnp.int32)
IMAGE, KERNEL = (jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((1, 2, 6, 6), (3, 2, 3, 3)))
PARAMS = {"w": jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32), "b": jnp.ones(5)}
TABLE = np.asarray(RNG.normal(size=(3, 40)), np.float32)


def _scan(x: Any) -> Any:
    return lax.scan(lambda c, t: (c * 0.5 + t, c.sum()), x[0], x)


def _pool(x: Any) -> Any:
    most = lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID")
    return most, lax.reduce_window(x, 0.0, lax.add, (1, 2), (1, 1), "SAME")


def _conv(x: Any, k: Any) -> Any:
    grouped = lax.conv_general_dilated(x, k[:2, :1], (1, 1), "VALID", feature_group_count=2)
    return lax.conv_general_dilated(x, k, (1, 2), "SAME", rhs_dilation=(1, 1)), grouped


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "network": (lambda p, x: jax.nn.relu(x @ p["w"] + p["b"]), (PARAMS, X)),
    "attention": (lambda x: jax.nn.softmax(x @ x.T / 2, -1) @ x, (X,)),
    "functions": (lambda x: (jnp.tanh(x), jax.nn.sigmoid(x), jnp.exp(x), jnp.sin(x) + jnp.cos(x), lax.erf(x)), (X,)),
    "more functions": (lambda x: (jnp.sinh(x), jnp.cbrt(x), jnp.expm1(x), jnp.log1p(x * x), jnp.arctan(x)), (X,)),
    "roots": (lambda x: (jnp.sqrt(x * x + 1), lax.rsqrt(x * x + 1), jnp.abs(x) ** 1.5, x / (x * x + 1)), (X,)),
    "rounding": (lambda x: (jnp.round(x), jnp.floor(x), jnp.ceil(x), jnp.sign(x), x % 2), (X,)),
    "order": (lambda x: (jnp.sort(x), jnp.argsort(x), lax.top_k(x, 2), jnp.median(x, 1)), (X,)),
    "keys": (lambda x: lax.sort((jnp.round(x[:, 0]), x[:, 1], x[:, 2]), num_keys=2), (X,)),
    "reductions": (lambda x: (x.sum(), x.prod(1), x.max(0), x.min(0), (x > 0).any(1), (x > 0).all(0), x.mean()), (X,)),
    "places": (lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0), jnp.argmax(x)), (X,)),
    "statistics": (lambda x: (jnp.std(x), jnp.cumsum(x, 0), jax.nn.logsumexp(x)), (X,)),
    "shapes": (lambda x: (x.T[::-1, ::2], jnp.pad(x, ((1, 2), (0, 1)), constant_values=0.5), jnp.tile(x, 2)), (X,)),
    "choices": (lambda x: (jnp.where(x > 0, x, 0.1), jnp.clip(x, -0.5, 0.5), jnp.maximum(x, 0)), (X,)),
    "branches": (lambda x, i: (lax.cond(x[0, 0] > 0, lambda: x, lambda: -x), _switch(x, i)), (X, I)),
    "scan": (_scan, (X,)),
    "loop": (lambda x: lax.fori_loop(0, 5, lambda k, c: c * 0.5 + k, x), (X,)),
    "windows": (_pool, (X,)),
    "convolution": (_conv, (IMAGE, KERNEL)),
    "look-up": (lambda x, i: (x[i], x.at[i].add(1.0), x.at[i].set(0.5), x.at[i].multiply(2.0)), (X, I)),
    "slices": (lambda x, i: (lax.dynamic_slice(x, (i[1], 0), (2, 3)), _updated(x, i)), (X, I)),
    "integers": (lambda i: (i // 3, i % 2, i << 1, i ^ 3, lax.population_count(i), i.astype(jnp.uint8)), (I,)),
    "classes": (lambda i: jax.nn.one_hot(i, 4), (I,)),
    "constants": (lambda x: x * jnp.array([True, False, True]) + jnp.array([1.5, jnp.pi, -2.0]), (X,)),
    "bfloat16": (lambda x: (x.astype(jnp.bfloat16) + jnp.array([1, 2.5, 3], jnp.bfloat16)).astype(jnp.float32), (X,)),
    "complex": (lambda x: jnp.real(x * jnp.array([1 + 2j, 3.0, 1j])), (X,)),
    "gradient": (jax.grad(lambda x: jnp.tanh(x @ x.T).sum()), (X,)),
    "public noise": (lambda x: x + jax.random.normal(jax.random.key(0), x.shape), (X,)),
    "unused argument": (lambda x, i: x * 2, (X, I)),
}  # fmt: skip


def _switch(x: Any, i: Any) -> Any:
    return lax.switch(i[0] - 1, [lambda: x, lambda: -x, lambda: x * 2])


def _updated(x: Any, i: Any) -> Any:
    return lax.dynamic_update_slice(x, x[:2] * 2, (i[1], 0))


def _exported(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), args)
    return export.export(jax.jit(function), **options)(*specs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_means_what_was_exported(name: str) -> None:
    function, args = FUNCTIONS[name]
    found = _exported(function, *args)
    tolerance = 0.02 if name == "bfloat16" else 1e-3
    assert_same(run(lambda *args: found.call(*args), *args), jax.jit(function)(*args), tolerance)


def test_a_program_of_its_own() -> None:
    """Work around it, owners, and a gradient through it; as cheap as the plain function."""
    function, (params, x) = FUNCTIONS["network"]
    found = _exported(function, params, x)
    options: dict[str, Any] = {"inputs": {"p": "bank", "x": "client"}, "outputs": "client"}
    secured = jmpc.secure(lambda p, x: found.call(p, x * 2).sum(0), **options)
    np.testing.assert_allclose(secured(params, x), function(params, x * 2).sum(0), atol=1e-3)
    plain = jmpc.secure(lambda p, x: function(p, x * 2).sum(0), **options)
    one, two = secured.lower(params, x).cost(), plain.lower(params, x).cost()
    assert (one.rounds, one.bytes_sent) == (two.rounds, two.bytes_sent)
    slope = jmpc.secure(lambda p, x: jax.grad(lambda p: found.call(p, x).sum())(p)["b"])(params, x)
    np.testing.assert_allclose(slope, jax.grad(lambda p: function(p, x).sum())(params)["b"], atol=1e-3)


def test_for_several_platforms() -> None:
    found = _exported(lambda x: jnp.tanh(x) * 2, X, platforms=("cuda", "cpu"))
    assert_same(run(lambda x: found.call(x), X), jnp.tanh(X) * 2, 1e-3)


def _symbolic() -> Any:
    (n,) = export.symbolic_shape("n")
    return export.export(jax.jit(lambda x: x * 2))(jax.ShapeDtypeStruct((n, 3), np.float32))


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "symbolic shapes": (_symbolic, "shapes that are not known", "for the shapes of the call"),
    "compiled code": (lambda: _exported(lambda x: jnp.linalg.cholesky(x @ x.T), X), "lapack", "call the function"),
    "8 bits": (lambda: _exported(lambda x: x.astype(jnp.float8_e5m2).astype(jnp.float32), X), "f8E5M2", "that dtype"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(name: str) -> None:
    make, what, todo = REFUSED[name]
    found = make()
    with pytest.raises(UnsupportedError) as caught:
        run(lambda x: found.call(x), X)
    assert what in caught.value.what
    assert todo in caught.value.todo[0]
    assert caught.value.why
    assert f"{__file__}:" in caught.value.where


def test_a_formula_that_needs_floating_point_is_computed_by_its_name_or_refused() -> None:
    found = _exported(lax.erfc, X)
    if "composite" in found.mlir_module():
        return assert_same(run(lambda x: found.call(x), X), lax.erfc(X), 1e-3)
    with pytest.raises(UnsupportedError, match="erfc"):
        run(lambda x: found.call(x), X)


def test_its_constants_are_no_way_around_the_guard() -> None:
    found = _exported(lambda x: x @ TABLE, X)
    for options in ({}, {"inputs": {"x": "client"}, "outputs": "client"}):
        with pytest.raises(
            ArgumentError, match=r"exported function <lambda> holds a constant, float32\[3, 40\]"
        ) as caught:
            jmpc.secure(lambda x: found.call(x), **options).lower(X)
        assert f"{__file__}:" in caught.value.where
    known = jmpc.public(found)
    assert known is found
    assert_same(run(lambda x: known.call(x), X), X @ TABLE, 1e-3)
    ones = _exported(lambda x: x @ jnp.ones((3, 40)), X)  # equal numbers are no table
    assert_same(run(lambda x: ones.call(x), X), X @ jnp.ones((3, 40)), 1e-3)
