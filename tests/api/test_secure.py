"""`jmpc.secure` as a user meets it: arguments, owners, receivers, pytrees, methods, caching. In this process."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jmpc
import jmpc.api
from jmpc.errors import ArgumentError
from tests.frontend.oracle import assert_same

Array = np.ndarray


def test_bare_and_with_arguments(x: Array) -> None:
    @jmpc.secure
    def bare(x: Any) -> Any:
        """Doc."""
        return x + 1

    @jmpc.secure(inputs={"x": "alice"}, outputs="alice")
    def named(x: Any, y: Any) -> Any:
        return x + y

    assert (bare.__name__, bare.__doc__) == ("bare", "Doc.")
    assert_same(bare(x), jnp.asarray(x) + 1)
    assert_same(named(x, x), jnp.asarray(x) * 2)
    assert_same(jmpc.secure(lambda x: x - 1)(x), jnp.asarray(x) - 1)


def test_defaults_keywords_and_variadics(x: Array, y: Array) -> None:
    @jmpc.secure
    def f(x: Any, y: Any = 2.0, *rest: Any, scale: Any = 3.0, **more: Any) -> Any:
        return x * scale + y + sum(rest) + sum(more.values())

    assert_same(f(x), x * 3 + 2)
    assert_same(f(y=y, x=x), x * 3 + y)
    assert_same(f(x, y, x, y, scale=0.5), x * 0.5 + y + x + y)
    assert_same(f(x, y, extra=x), x * 3 + y + x)


class Pair(NamedTuple):
    left: Any
    right: Any


def test_pytrees_go_in_and_come_out(x: Array, y: Array) -> None:
    @jmpc.secure
    def f(tree: Any) -> Any:
        return {"sum": tree["a"].left + tree["b"][0], "none": None, "pair": Pair(tree["a"].right * 2, (tree["b"][1],))}

    tree = {"a": Pair(x, y), "b": [y, np.int32(3)]}
    found = f(tree)
    assert_same(found, {"sum": x + y, "none": None, "pair": Pair(y * 2, (np.int32(3),))})
    assert isinstance(found["pair"], Pair)


def test_results_have_the_shapes_and_dtypes_of_eval_shape(x: Array) -> None:
    def f(x: Any, i: Any, b: Any) -> Any:
        return x.sum(), i.T, b, (x * 2).astype(jnp.float16), x > 0, x[:0], i + 1

    args = (x, np.arange(6, dtype=np.int16).reshape(2, 3), x > 0)
    secured = jmpc.secure(f)
    expected = jax.eval_shape(f, *args)
    assert secured.trace(*args).out_info == expected
    found = secured(*args)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), found) == jax.tree.map(lambda a: (a.shape, a.dtype), expected)
    assert all(isinstance(a, jax.Array) for a in jax.tree.leaves(found))


def test_static_arguments(x: Array) -> None:
    def f(x: Any, power: int, mode: str = "plus") -> Any:
        return x**power if mode == "plus" else -(x**power)

    for options in ({"static_argnums": (1, 2)}, {"static_argnames": ("power", "mode")}, {"static_argnums": (-2, -1)}):
        secured = jmpc.secure(f, **options)
        assert_same(secured(x, 2), x**2)
        assert_same(secured(x, power=2, mode="minus"), -(x**2))


def test_one_compile_for_each_combination(x: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    flow = jmpc.api.compile_flow
    monkeypatch.setattr(jmpc.api, "compile_flow", lambda *args: compiled.append(1) or flow(*args))
    secured = jmpc.secure(lambda x, n: x * n, static_argnames="n")
    for n, arg, count in [(2, x, 1), (2, x + 1, 1), (3, x, 2), (2, x[:1], 3), (2, x.astype(np.int32), 4), (2, x, 4)]:
        assert_same(secured(arg, n), arg * np.asarray(n, arg.dtype))
        assert len(compiled) == count
    secured(jnp.asarray(x), 2)
    secured([x][0], n=2)
    assert len(compiled) == 4


def test_receivers_are_a_prefix_of_the_result(x: Array, y: Array) -> None:
    @jmpc.secure(inputs={"x": "alice", "y": "bob"}, outputs=("alice", {"both": "bob"}))
    def f(x: Any, y: Any) -> Any:
        return x + y, {"both": [x * 2, y * 2]}

    lowered = f.lower(x, y)
    assert_same(lowered.compile()(x, y), (x + y, {"both": [x * 2, y * 2]}))
    assert [(o.path, o.receiver) for o in lowered.flow.share.outputs] == [("[0]", "alice"), ("[1]['both'][0]", "bob")]


def test_methods(x: Array) -> None:
    class Scaler:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @jmpc.secure(static_argnums=0)
        def run(self, x: Any) -> Any:
            return x * self.factor

    assert_same(Scaler(2.0).run(x), x * 2)
    assert_same(Scaler(3.0).run(x), x * 3)

    class Layer(nnx.Module):
        def __init__(self) -> None:
            self.linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))

        @jmpc.secure(inputs={"self": "model"})
        def __call__(self, x: Any) -> Any:
            return jax.nn.relu(self.linear(x))

    layer = Layer()
    assert_same(layer(x), jax.nn.relu(layer.linear(x)))


def test_a_compilation_keeps_no_argument(x: Array) -> None:
    """Neither the caller's secrets nor the shares behind a handle live on in the cache."""
    import gc
    import weakref

    secured = jmpc.secure(lambda v: v + 1)
    value = np.array(x)
    gone = weakref.ref(value)
    secured(value)
    del value
    gc.collect()
    assert gone() is None


def test_public_values_are_computed_in_the_clear(x: Array) -> None:
    secured = jmpc.secure(lambda x, p: (jnp.exp(p), x * jnp.sin(p)), public=["p"])
    assert_same(secured(x, np.float32(0.5)), (jnp.exp(np.float32(0.5)), x * jnp.sin(np.float32(0.5))))


def test_a_run_says_what_it_cost(x: Array) -> None:
    secured = jmpc.secure(lambda x: jax.nn.relu(x))
    assert secured.last_run is None
    secured(x)
    assert secured.last_run is not None
    predicted = secured.lower(x).cost()
    assert (secured.last_run.rounds, secured.last_run.bytes_sent) == (predicted.rounds, predicted.bytes_sent)
    assert secured.last_run.executor == "local"


def test_a_default_is_part_of_the_function() -> None:
    """As under jax.jit: NumPy's functions take axes and flags with defaults."""
    x = np.array([3.0, 1.0, 2.0], np.float32)
    assert float(jmpc.secure(jnp.max)(x)) == 3.0
    scaled = jmpc.secure(lambda x, factor=2.0, *, shift=1.0: factor * x + shift)
    np.testing.assert_allclose(scaled(x, shift=0.5), 2 * x + 0.5, atol=1e-4)
    assert len(scaled.lower(x).flow.share.inputs) == 1


# --- what a compilation depends on, and how many are kept


SETTINGS: dict[str, tuple[str, Any]] = {
    "64-bit numbers": ("jax_enable_x64", True),
    "dtype promotion": ("jax_numpy_dtype_promotion", "strict"),
    "matmul precision": ("jax_default_matmul_precision", "float32"),
    "random keys": ("jax_default_prng_impl", "rbg"),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_another_setting_of_jax_is_another_program(what: str) -> None:
    name, value = SETTINGS[what]
    position = jmpc.secure(lambda x: jnp.argmax(x))
    row = np.float32([1.0, 3.0, 2.0])
    compiled, old = position.lower(row).compile(), getattr(jax.config, name)
    assert (position(row).dtype, compiled(row)) == (np.int32, 1)
    jax.config.update(name, value)
    try:
        with pytest.raises(ArgumentError, match=f"{name}: compiled under {old}, called under"):
            compiled(row)
        assert position(row).dtype == (np.int64 if what == "64-bit numbers" else np.int32)
        assert len(position.compilations) == 2
        assert name in position.compilations[1]
    finally:
        jax.config.update(name, old)
    assert position(row).dtype == np.int32
    assert compiled(row) == 1
    assert len(position.compilations) == 2


def test_the_programs_called_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jmpc.api, "PROGRAMS", 2)
    double = jmpc.secure(lambda x: x * 2)
    for size in (1, 2, 1, 3, 1, 2):  # the third takes the place of the second, and the second again that of the third
        np.testing.assert_allclose(double(np.ones(size, np.float32)), np.full(size, 2), atol=1e-3)
    assert len(double.compilations) == 4
    assert len(double._cache) == 2
