"""Which leaf of a call is static, public, some owner's or shared already; what makes two calls one compilation."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.arguments import Call, Signature, describe, name_of
from jmpc.errors import ArgumentError, ConfigError
from jmpc.handle import SecretArray
from jmpc.ir.types import secret_fixed
from jmpc.roles import Role

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)
HANDLE = SecretArray((2, 3), np.dtype(np.float32), secret_fixed((2, 3), 18, 99), None, jmpc.Config())


def tree_and_more(tree: Any, p: Any = 2.0, *, n: int = 3) -> Any:
    return tree, p, n


def variadic(x: Any, *rest: Any, **named: Any) -> Any:
    return x, rest, named


def signature(function: Any = tree_and_more, **told: Any) -> Signature:
    return Signature(function, **told)


def bound(*args: Any, told: dict[str, Any] | None = None, function: Any = tree_and_more, **kwargs: Any) -> Call:
    return signature(function, **(told or {})).bind(args, kwargs)


# --- leaves


def test_the_leaves_of_a_call_and_whose_they_are() -> None:
    told = {"inputs": {"tree": "bob"}, "public": "p", "static_argnames": "n"}
    call = bound({"a": X, "b": [np.int8(1), True]}, 5, n=7, told=told)
    assert [(leaf.path, leaf.owner, leaf.shape, np.dtype(leaf.dtype).name) for leaf in call.leaves] == [
        ("p", "", (), "int32"),
        ("tree['a']", "bob", (2, 3), "float32"),
        ("tree['b'][0]", "bob", (), "int8"),
        ("tree['b'][1]", "bob", (), "bool"),
    ]
    assert call.statics == (("n", 7),)
    assert call.leaves[1].value is X
    assert all(leaf.stored is None for leaf in call.leaves)


def test_a_long_name_of_a_leaf_is_cut_in_the_middle() -> None:
    (short, long) = (
        leaf.path for key in ("k" * 392, "k" * 393) for leaf in bound({key: X}, 5).leaves if leaf.value is X
    )
    assert short == f"tree['{'k' * 392}']"
    assert len(long) == 403
    assert long.startswith("tree['kkk")
    assert long.endswith("kkk']")
    assert "k...k" in long


def test_an_argument_that_nothing_is_said_of_is_the_callers() -> None:
    assert [leaf.owner for leaf in bound(X).leaves] == [Role.CALLER]


def test_a_handle_is_with_the_parties() -> None:
    (leaf,) = bound(HANDLE, told={"inputs": {"tree": "bob"}}).leaves
    assert (leaf.owner, leaf.stored, leaf.shape) == (Role.SECRET, HANDLE.type, (2, 3))


def test_a_handle_is_never_public() -> None:
    with pytest.raises(ArgumentError, match=r"tree\['h'\] is a secret handle, and its argument is public"):
        bound({"h": HANDLE}, told={"public": ["tree"]})


def test_names_of_variadic_arguments() -> None:
    told = {"inputs": {"rest": "bob", "u": "carol"}, "public": ["v"]}
    call = bound(X, 1.0, 2.0, u=3.0, v=4.0, w=5.0, told=told, function=variadic)
    assert [(leaf.path, leaf.owner) for leaf in call.leaves] == [
        ("named['u']", "carol"), ("named['v']", ""), ("named['w']", Role.CALLER),
        ("rest[0]", "bob"), ("rest[1]", "bob"), ("x", Role.CALLER),
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["text", object()])
def test_what_is_no_array_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"tree\[1\] is not an array: (str|object)"):
        bound([X, value])


class Table:
    """As a DataFrame is to NumPy."""

    def __init__(self, *columns: Any) -> None:
        self.columns = columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.columns, dtype)


def test_a_table_of_numbers_is_an_array_and_one_with_text_says_what_it_holds() -> None:
    secured = jmpc.secure(lambda x: x.sum())
    assert secured(Table([1.0, 2.0], [3.0, 4.0])) == 10
    with pytest.raises(ArgumentError, match=r"^x is not an array of numbers: it holds <U") as caught:
        secured(Table(["1", "2"], ["a", "b"]))
    assert "columns of text" in caught.value.todo[0]


@pytest.mark.parametrize("value", [1, 1.5, True, 1j, np.uint8(3), np.float16(2)])
def test_numbers_are_arrays(value: Any) -> None:
    (leaf,) = bound(value).leaves
    assert leaf.shape == ()
    assert np.dtype(leaf.dtype).kind == np.asarray(value).dtype.kind


def test_dtypes_are_those_that_jax_has_now() -> None:
    """Wide ones are cut, unless `jax_enable_x64` is set."""
    assert np.dtype(bound(np.zeros(2, np.float64)).leaves[0].dtype) == np.float32
    with jax.enable_x64(True):
        assert np.dtype(bound(np.zeros(2, np.float64)).leaves[0].dtype) == np.float64


def test_keys_of_a_generator_keep_their_dtype() -> None:
    key = jax.random.key(0)
    assert bound(key).leaves[0].dtype == key.dtype


@dataclass(frozen=True)
class Options:
    times: Any
    beside: tuple[Any, ...] = ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (2, 2.0),
        (0.0, -0.0),
        (1.0, 1 + 0j),
        ((1, "a"), (True, "a")),
        (frozenset({1}), frozenset({1.0})),
        (np.float32(0.0), np.float32(-0.0)),
        (np.int8(1), np.int32(1)),
        (np.float64(2), 2.0),
        (Options(1), Options(True)),
        (Options(1, (0.0,)), Options(1, (-0.0,))),
        ((Options(np.float32(0.0)),), (Options(np.float32(-0.0)),)),
    ],
)
def test_static_values_that_python_takes_for_equal_are_different_programs(one: Any, other: Any) -> None:
    assert one == other
    first, second, again = (bound(X, n=n, told={"static_argnames": "n"}) for n in (one, other, one))
    assert first.key() == again.key() != second.key()
    assert hash(first.key()) == hash(again.key())
    assert not first.takes(second)
    assert describe(first, second) == "n: another static value"


# --- defaults


def test_a_default_is_part_of_the_function() -> None:
    call = bound(X)
    assert [leaf.path for leaf in call.leaves] == ["tree"]
    assert call.statics == ()
    assert call.rebuild([1]) == ([1], {})


def test_a_default_that_something_is_said_of_is_an_argument() -> None:
    told = {"inputs": {"p": "bob"}, "static_argnums": 2}
    call = bound(X, told=told)
    assert [(leaf.path, leaf.owner) for leaf in call.leaves] == [("p", "bob"), ("tree", Role.CALLER)]
    assert call.statics == (("n", 3),)
    assert call.rebuild([9, 8]) == ([8, 9], {"n": 3})


def test_the_arguments_are_rebuilt_as_they_were_given() -> None:
    call = bound({"a": X, "b": 1.0}, p=4.0, n=2, told={"static_argnames": ("n",)})
    args, kwargs = call.rebuild(["p", "a", "b"])
    assert (args, kwargs) == ([{"a": "a", "b": "b"}, "p"], {"n": 2})
    call = bound(X, 1.0, u=2.0, function=variadic)
    assert call.rebuild([10, 20, 30]) == ([30, 20], {"u": 10})


# --- one compilation, or another


def test_calls_share_a_compilation_where_all_but_values_is_equal() -> None:
    told = {"inputs": {"tree": "bob"}, "static_argnames": "n"}
    base = bound(X, 1.0, n=1, told=told)
    assert base.key() == bound(X + 1, 2.0, n=1, told=told).key()
    others = [
        bound(X[:1], 1.0, n=1, told=told),
        bound(X.astype(np.int32), 1.0, n=1, told=told),
        bound(X, 1.0, n=2, told=told),
        bound([X], 1.0, n=1, told=told),
        bound(X, 1.0, n=1, told={**told, "inputs": {"tree": "carol"}}),
        bound(HANDLE, 1.0, n=1, told=told),
    ]
    keys = [base.key(), *(call.key() for call in others)]
    with jax.enable_x64(True):
        keys.append(bound(X, np.float32(1.0), n=1, told=told).key())
    assert all(a != b for n, a in enumerate(keys) for b in keys[:n])


def test_a_compilation_keeps_no_values() -> None:
    call = bound(X, 3.0)
    kept = call.described()
    assert kept.key() == call.key()
    assert all(isinstance(leaf.value, jax.ShapeDtypeStruct) for leaf in kept.leaves)
    assert [(leaf.value.shape, leaf.value.dtype) for leaf in kept.leaves] == [(x.shape, x.dtype) for x in call.leaves]
    with pytest.raises(AssertionError, match="keeps no argument"):
        kept.rebuild([])


def test_arrays_are_the_values_and_a_shape_has_none() -> None:
    first, second = bound(X, 3.0).arrays()
    assert (first, second is X) == (np.float64(3.0), True)
    with pytest.raises(ArgumentError, match="tree is a shape without values"):
        bound(jax.ShapeDtypeStruct((2,), np.float32)).arrays()


def test_what_is_compiled_for_a_handle_runs_those_that_are_known_to_be_less() -> None:
    def call(limit: int, of: int = 1) -> Call:
        held = SecretArray((2, 3), np.dtype(np.float32), secret_fixed((2, 3), 18, limit), None, jmpc.Config())
        return bound([held] * of)

    assert call(99).takes(call(99))
    assert call(99).takes(call(50))
    assert not call(50).takes(call(99))
    assert not call(99).takes(call(50, of=2))
    assert not call(99).takes(bound([X]))
    assert not bound([X]).takes(call(99))
    assert bound(X).takes(bound(X + 1))


def test_what_of_the_arguments_is_part_of_the_program() -> None:
    call = bound({"a": X, "b": (X, jnp.tanh)}, n=7, told={"static_argnames": "n"})
    assert [leaf.path for leaf in call.leaves] == ["tree['a']", "tree['b'][0]"]
    assert dict(call.statics) == {"n": 7, "tree['b'][1]": jnp.tanh}
    text = call.program_text()
    assert text["n"] == 7
    assert [*text["the structure of the arguments"]] == [["tree"], ["a", "b"], None]


def test_what_differs_between_two_calls_is_said() -> None:
    one, other = bound({"a": X, "b": X, "c": X}), bound({"a": X[:1], "b": X, "d": X})
    assert describe(one, other) == (
        "tree['a']: compiled for float32[2, 3], called with float32[1, 3]; tree['c']: missing; tree['d']: unexpected"
    )
    shared = "float32[2, 3] (shared, assumed |x| <= 0.000377655)"
    assert describe(bound(X), bound(HANDLE)) == f"tree: compiled for float32[2, 3], called with {shared}"
    assert describe(bound(X), bound(X)).startswith("the structure of a pytree")


# --- what `secure` is told


@pytest.mark.parametrize(
    ("told", "where", "said"),
    [
        ({"inputs": {"z": "bob"}}, "secure(inputs=...)", "no argument 'z'"),
        ({"public": ["z"]}, "secure(public=...)", "no argument 'z'"),
        ({"static_argnames": "z"}, "secure(static_argnames=...)", "no argument 'z'"),
        ({"static_argnums": 3}, "secure(static_argnums)", "static_argnums=3 is no argument"),
        ({"static_argnums": -4}, "secure(static_argnums)", "static_argnums=-4 is no argument"),
        ({"inputs": {"p": "bob"}, "public": "p"}, "secure(inputs=..., public=...)", "'p' is in inputs and in public"),
        ({"inputs": {"p": "bob"}, "static_argnums": 1}, "static_argnames=...)", "'p' is in inputs and in static"),
        ({"public": "p", "static_argnames": "p"}, "secure(public=...", "'p' is in public and in static_argnames"),
        ({"inputs": {"p": ""}}, "secure(inputs=...)", "'' is not the name of an owner"),
        ({"inputs": {"p": "a\n"}}, "secure(inputs=...)", "not the name of an owner"),
        ({"inputs": {"p": 5}}, "secure(inputs=...)", "5 is not the name of an owner"),
        ({"owners": [Role.SECRET]}, "secure(owners=...)", "not the name of an owner"),
        ({"inputs": [("p", "bob")]}, "secure(inputs=...)", "inputs is not a mapping"),
        ({"outputs": "bob"}, "secure(outputs=...)", "unknown owner 'bob'"),
        ({"outputs": {"a": Role.CALLER, "b": "bob"}}, "secure(outputs=...)", "unknown owner 'bob'"),
    ],
)
def test_a_mistake_is_named_with_its_place(told: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        signature(**told)
    assert said in str(found.value)
    assert where in str(found.value)


def test_any_name_will_do_where_any_is_taken() -> None:
    assert signature(variadic, public=["whatever"], inputs={"more": "bob"}).owners >= {"bob"}


def test_owners_are_known_by_inputs_and_by_name() -> None:
    found = signature(inputs={"p": "bob"}, owners=["carol"], outputs=("carol", Role.SECRET))
    assert found.owners == {"bob", "carol", Role.CALLER, Role.SECRET}
    with pytest.raises(ConfigError) as refused:
        signature(inputs={"p": "bob"}, outputs="dave")
    assert "the owners are bob, caller\n" in str(refused.value)


@pytest.mark.parametrize("nums", [(1, 2), [-1, -2], (1, -1)])
def test_static_arguments_by_number(nums: Any) -> None:
    assert signature(static_argnums=nums).statics == {"p", "n"}
    assert signature(static_argnums=0).statics == {"tree"}
    assert signature(static_argnums=-3).statics == {"tree"}


def test_receivers_spread_over_the_result() -> None:
    shape = {"a": jax.ShapeDtypeStruct((), np.float32), "b": (jax.ShapeDtypeStruct((), np.float32),) * 2}
    assert signature().receivers(shape) == [(Role.CALLER,)] * 3
    assert signature(owners=["bob"], outputs={"a": "bob", "b": Role.CALLER}).receivers(shape) == [
        ("bob",),
        (Role.CALLER,),
        (Role.CALLER,),
    ]
    with pytest.raises(ConfigError, match="outputs is not a prefix"):
        signature(outputs={"c": Role.CALLER}).receivers(shape)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [((), {}, "missing a required argument"), ((1, 2, 3), {}, "too many"), ((1,), {"z": 1}, "z")],
)
def test_a_call_that_does_not_fit(args: Any, kwargs: Any, said: str) -> None:
    with pytest.raises(TypeError, match=r"tree_and_more\(\) ") as found:
        signature().bind(args, kwargs)
    assert said in str(found.value)


def test_a_static_argument_must_be_hashable() -> None:
    with pytest.raises(ArgumentError, match="the static argument 'p' cannot be hashed"):
        bound(X, [1], told={"static_argnames": "p"})
    assert bound(X, (1,), told={"static_argnames": "p"}).statics == (("p", (1,)),)


def test_statics_are_in_order_of_their_names() -> None:
    call = bound(X, 1, n=2, told={"static_argnames": ("n", "p")})
    assert call.statics == (("n", 2), ("p", 1))
    assert [name for name, _ in replace(call, leaves=[]).key()[2]] == ["n", "p"]


def test_what_can_be_called_has_the_name_of_its_class() -> None:
    class Callable_:
        def __call__(self, x: Any) -> Any:
            return x

    assert signature(Callable_()).name == "Callable_"
    assert signature().name == "tree_and_more"


def test_what_jax_wrapped_has_the_name_of_what_is_inside() -> None:
    class Callable_:
        def __call__(self, x: Any) -> Any:
            return x

    def outer(x: Any) -> Any:
        return x

    assert name_of(jax.jit(Callable_())) == "Callable_"
    assert name_of(functools.partial(jax.jit(tree_and_more), 1)) == "tree_and_more"
    outer.__wrapped__ = tree_and_more  # pyright: ignore[reportFunctionMemberAccess]
    assert name_of(outer) == "outer"


# --- constants where secrets are expected


@pytest.mark.parametrize("default", [X, [X], [1.0] * 65, {"a": [0] * 64, "b": True}])
def test_a_default_that_is_an_array_is_refused(default: Any) -> None:
    def function(tree: Any, weights: Any = default) -> Any:
        return tree, weights

    for call in (signature(function).bind, signature(function).inlined):
        with pytest.raises(ArgumentError, match="the default of 'weights' is an array"):
            call((2.0,), {})
        call((2.0, 1.0), {})  # which is given, and so no default
    bound(X, function=function, told={"inputs": {"weights": "bob"}})


@pytest.mark.parametrize("default", [None, 2.0, "text", [1.0] * 64, jmpc.public(X), [jmpc.public(X + 1), 3]])
def test_other_defaults_are_part_of_the_function(default: Any) -> None:
    def function(tree: Any, weights: Any = default) -> Any:
        return tree, weights

    assert [leaf.path for leaf in bound(X, function=function).leaves] == ["tree"]
    assert [path for path, _, _ in signature(function).inlined((3.0,), {})] == ["tree"]


def test_what_becomes_part_of_another_program_is_no_array_of_that_one() -> None:
    told = {"inputs": {"tree": "bob"}, "public": "p"}
    given = {"a": 2.0, "b": np.float32(3), "c": jmpc.public(X)}
    found = signature(**told).inlined((given, X), {})
    assert [(path, owner) for path, owner, _ in found] == [(f"tree[{k!r}]", "bob") for k in given]
    with pytest.raises(ArgumentError, match=r"tree\['x'\] is secret in tree_and_more; here it would become part"):
        signature(**told).inlined(({"x": X},), {})
    with pytest.raises(ArgumentError, match="on a secret handle"):
        signature(**told).inlined((HANDLE,), {})
    traced = jax.make_jaxpr(lambda x: [v for _, _, v in signature(**told).inlined(({"x": x, "y": 2 * x},), {})])(X)
    assert len(traced.jaxpr.outvars) == 2
    with pytest.raises(TypeError, match=r"tree_and_more\(\) missing a required argument: 'tree'"):
        signature(**told).inlined((), {})


def test_a_setting_that_changes_random_numbers_makes_another_program() -> None:
    before = bound(X).key()
    with jax.numpy_dtype_promotion("strict"):
        assert bound(X).key() != before
    try:
        jax.config.update("jax_random_seed_offset", 5)
        assert bound(X).key() != before
    finally:
        jax.config.update("jax_random_seed_offset", 0)
    assert bound(X).key() == before
