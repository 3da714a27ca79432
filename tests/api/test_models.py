"""Models as arguments and in place of functions: what of them is secret, and what is part of the program."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jmpc
from jmpc.errors import ArgumentError, ConfigError, SecretBranchError
from tests.frontend.oracle import assert_same

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code


class Mode(enum.Enum):
    FAST = 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layer:
    """As Equinox has it: a pytree that can be called, every field of which is a leaf."""

    weight: Any
    act: Any = jax.nn.relu
    name: str = "layer"
    mode: Any = Mode.FAST
    training: bool = False
    depth: int = 2
    scale: float = 0.5
    bias: Any = None

    def __call__(self, x: Any, *, factor: float = 1.0) -> Any:
        if self.training or self.mode is not Mode.FAST or self.name != "layer":
            raise AssertionError
        for _ in range(self.depth):
            x = self.act(x @ self.weight) * self.scale
        return x * factor

    def scores(self, x: Any) -> Any:
        return x @ self.weight


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Record:
    """No model: it cannot be called."""

    age: Any
    smokes: Any


W = np.array([[0.5, -1.0, 0.25], [2.0, 0.25, 0.5], [1.0, 1.0, -0.5]], np.float32)
MODEL = Layer(W)


def test_what_is_no_array_in_a_model_is_static(x: np.ndarray) -> None:
    secured = jmpc.secure(lambda m, x: m(x), inputs={"m": "bank", "x": "client"}, outputs="client")
    lowered = secured.lower(MODEL, x)
    assert_same(lowered.compile()(MODEL, x), MODEL(jnp.asarray(x)), 1e-3)
    found = lowered.explain()
    assert [(a.path, a.owner) for a in found.arguments] == [
        ("m.weight", "bank"),
        ("m.scale", "bank"),
        ("x", "client"),
    ]
    assert {line.split(":")[0] for line in found.static} == {"m.act", "m.name", "m.mode", "m.training", "m.depth"}
    assert "0.5" not in lowered.as_text()  # a real number is a weight


def test_other_static_leaves_are_another_program(x: np.ndarray) -> None:
    secured = jmpc.secure(lambda m, x: m(x))
    for model in (MODEL, Layer(W, jnp.tanh), Layer(W, depth=1), MODEL):
        assert_same(secured(model, x), model(jnp.asarray(x)), 1e-3)
    assert len(secured._cache) == 3
    secured(Layer(W * 2), x)
    assert len(secured._cache) == 3


def test_functions_are_static_in_every_pytree(x: np.ndarray) -> None:
    secured = jmpc.secure(lambda tree, act: act(tree["f"](tree["x"])))
    assert_same(secured({"f": jnp.abs, "x": x}, jnp.sin), jnp.sin(jnp.abs(x)), 1e-3)
    assert_same(secured({"f": jnp.negative, "x": x}, jnp.sin), jnp.sin(-x), 1e-3)


def test_a_function_in_an_argument_is_no_way_around_the_guard(x: np.ndarray) -> None:
    table = np.ones((12, 12), np.float32)
    with pytest.raises(ArgumentError, match="`table` is captured"):
        jmpc.secure(lambda f, x: f(x)).lower(lambda x: x @ table[:3], x)


def test_numbers_outside_of_a_model_are_secret(x: np.ndarray) -> None:
    lowered = jmpc.secure(lambda r, x: x * r.age + r.smokes, inputs={"r": "clinic"}).lower(Record(52, True), x)
    assert [a.path for a in lowered.explain().arguments] == ["r.age", "r.smokes", "x"]
    assert lowered.explain().static == ()
    with pytest.raises(SecretBranchError, match="static_argnames"):
        jmpc.secure(lambda r, x: x if r.smokes else -x).lower(Record(52, True), x)


def test_text_outside_of_a_model_is_refused() -> None:
    for value in ("alice", {"name": "alice"}, Record("old", True)):
        with pytest.raises(ArgumentError, match="is not an array"):
            jmpc.secure(lambda r: r)(value)


SELVES: dict[str, tuple[Any, Any, str]] = {
    "model": (MODEL, lambda m, x: m(x), "Layer"),
    "method": (MODEL.scores, lambda m, x: m.scores(x), "scores"),
    "partial": (jax.tree_util.Partial(lambda w, x: jnp.maximum(x @ w, 0), W), lambda m, x: m(x), "Partial"),
}


@pytest.mark.parametrize("name", SELVES)
def test_a_model_in_place_of_a_function(name: str, x: np.ndarray) -> None:
    """Its arrays are an argument with an owner, not constants, however small they are."""
    target, plain, called = SELVES[name]
    model = getattr(target, "__self__", target)
    expected = plain(model, jnp.asarray(x))
    secured = jmpc.secure(target)
    assert secured.__name__ == called
    assert_same(secured(x), expected, 1e-3)
    lowered = secured.lower(x)
    assert {a.path.split("[")[0].split(".")[0] for a in lowered.explain().arguments} == {"self", "x"}
    assert all(not t.name for t in lowered.explain().tables)
    owned = jmpc.secure(target, inputs={"self": "bank", "x": "client"}, outputs="client")
    assert {i.owner for i in owned.lower(x).flow.share.inputs} == {"bank", "client"}
    assert_same(owned(x), expected, 1e-3)
    assert_same(owned.lower(x).compile()(x), expected, 1e-3)
    with pytest.raises(ConfigError, match="its arguments are self, x"):
        jmpc.secure(target, inputs={"model": "bank"})


def test_keywords_of_a_model(x: np.ndarray) -> None:
    secured = jmpc.secure(MODEL, static_argnames="factor")
    assert_same(secured(x, factor=2.0), MODEL(jnp.asarray(x), factor=2.0), 1e-3)
    assert_same(secured(x), MODEL(jnp.asarray(x)), 1e-3)


def test_a_flax_model_in_place_of_a_function(x: np.ndarray) -> None:
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    secured = jmpc.secure(model, inputs={"self": "bank"})
    assert_same(secured(x), model(jnp.asarray(x)), 1e-3)
    names = [name for name in vars(model) if name in dir(secured)]
    assert not [n for n in names if not n.startswith("__")]  # the model's attributes do not hide those of a function


def test_a_model_inside_another_secure_function_is_no_constant(x: np.ndarray) -> None:
    secured = jmpc.secure(MODEL)
    with pytest.raises(ArgumentError, match="inside another secure function"):
        jmpc.secure(lambda x: secured(x) + 1)(x)


def test_what_holds_no_array_is_just_a_function(x: np.ndarray) -> None:
    for target in (Layer(None), jax.nn.relu, jax.tree_util.Partial(jnp.add, 1.0)):
        assert "self" not in jmpc.secure(target).signature.signature.parameters


def test_a_static_leaf_that_cannot_be_hashed_is_named(x: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match=r"'m\.mode' cannot be hashed"):
        jmpc.secure(lambda m, x: m(x))(Layer(W, mode={1}), x)
