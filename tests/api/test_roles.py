"""Owners and receivers: names of every kind, names in the structure of an argument or a result, several at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.errors import ConfigError
from jmpc.ir.text import parse_program, print_program
from jmpc.prefixes import Mismatch, looks, spread
from jmpc.roles import MOST_CHARACTERS, Role, name_fault
from jmpc.roles import WORDS as WORDS_OF_REPORTS
from jmpc.testing.executors import SIMULATED, executor
from tests.frontend.oracle import assert_same

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

WORDS = [
    *(
        "secret",
        "public",
        "local",
        "caller",
        "(all)",
        "(public)",
        "from",
        "to",
        "work of",
        "none",
        "%0",
        '"',
        "\\",
        "'",
    ),
    *(
        "a" * MOST_CHARACTERS,
        "Ärztin",
        "医院",
        "🏦",
        "Ω" * MOST_CHARACTERS,
        "🏦" * MOST_CHARACTERS,
        "a b",
        " ",
        "Result",
    ),
]
NAMES = st.text(min_size=1, max_size=12).filter(str.isprintable) | st.sampled_from(WORDS)


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES)
@example("secret", "public")
@example("caller", "jmpc")
def test_an_owner_may_have_any_name(one: str, two: str) -> None:
    assume(len({looks(name) for name in (one, two, Role.CALLER)}) == len({one, two, Role.CALLER}))
    x = np.array([1.0, 2.0], np.float32)
    secured = jmpc.secure(lambda x, y: x * y + 1, inputs={"x": one, "y": two}, outputs=one)
    lowered = secured.lower(x, x)
    for stage in ("value", "share"):
        assert print_program(parse_program(lowered.as_text(stage))) == lowered.as_text(stage)
    if one != two:
        assert [i.owner for i in lowered.flow.share.inputs] == [one, two]
        assert [o.receiver for o in lowered.flow.share.outputs] == [one]
    assert "x: float32[2]" in str(lowered.explain())
    if one != two or one == "caller":
        with executor(SIMULATED):
            np.testing.assert_allclose(secured(x, x), x * x + 1, atol=1e-3)


@pytest.mark.parametrize(("one", "other"), [("é", "e\u0301"), ("bob", "bob "), ("a b", "a  b"), ("bank", "ｂank")])
def test_two_names_that_look_alike_are_refused(one: str, other: str) -> None:
    cases: list[dict[str, Any]] = [{"inputs": {"x": one, "y": other}}, {"inputs": {"x": one}, "owners": [other]}]
    for told in cases:
        with pytest.raises(ConfigError, match="look alike") as found:
            jmpc.secure(lambda x, y: x + y, **told)
        assert ascii(one) in str(found.value)
        assert ascii(other) in str(found.value)


@pytest.mark.parametrize(
    "name", ["", "bob\n", "a\x00", "\ud800", "x" * (MOST_CHARACTERS + 1), "jmpc.SECRET", 3, None, b"a"]
)
def test_what_is_no_name_is_refused_in_the_users_terms(name: Any) -> None:
    for options in ({"inputs": {"x": name}}, {"inputs": {"x": [name, "a"]}}, {"owners": [name]}):
        with pytest.raises(ConfigError, match="is not the name of an owner") as caught:
            jmpc.secure(lambda x: x, **options)
        assert len(str(caught.value)) < 400
    if name != "jmpc.SECRET":
        with pytest.raises(ConfigError, match="unknown owner"):
            jmpc.secure(lambda x: x, outputs=name)


def test_an_argument_with_a_long_name(x: np.ndarray) -> None:
    key = "k" * 10_000
    found = jmpc.secure(lambda tree: {key: tree[key] + 1})({key: x})
    assert_same(found, {key: jnp.asarray(x) + 1})


class Batch(NamedTuple):
    rows: Any
    labels: Any


def _owners(inputs: Any, *args: Any, function: Any = lambda batch: batch) -> dict[str, str]:
    call = jmpc.secure(function, inputs=inputs, owners=["a", "b"]).signature.bind(args, {})
    return {leaf.path: leaf.owner for leaf in call.leaves}


def test_the_leaves_of_one_argument_have_owners_of_their_own(x: np.ndarray, y: np.ndarray) -> None:
    assert _owners({"batch": {"x": "a", "y": "b"}}, {"x": x, "y": y}) == {"batch['x']": "a", "batch['y']": "b"}
    assert _owners({"batch": Batch("a", "b")}, Batch([x, y], y)) == {
        "batch.rows[0]": "a",
        "batch.rows[1]": "a",
        "batch.labels": "b",
    }
    assert _owners({"batch": ("a", ["b", "a"])}, (x, [y, x])) == {
        "batch[0]": "a",
        "batch[1][0]": "b",
        "batch[1][1]": "a",
    }
    found = _owners({"batch": "a", "more": "b"}, x, function=lambda batch, **more: batch)
    assert found == {"batch": "a"}
    secured = jmpc.secure(
        lambda batch: jnp.exp(batch["x"]) * batch["y"], inputs={"batch": {"x": "a", "y": "b"}}, outputs="b"
    )
    lowered = secured.lower({"x": x, "y": y})
    assert {i.owner for i in lowered.flow.share.inputs} == {"a", "b"}
    assert list(lowered.cost().clear) == ["a"]  # who owns a part works on it alone
    assert_same(lowered.compile()({"x": x, "y": y}), jnp.exp(x) * y, 1e-3)


@pytest.mark.parametrize(
    "inputs",
    [{"x": "a"}, {"x": "a", "z": "b"}, ["a", "b"], {"x": ["a", "b"], "y": "a"}, {"x": {"a", "b"}, "y": "a"}],
    ids=["some", "others", "a list", "a list of some", "a set of some"],
)
def test_owners_that_do_not_fit_the_argument(inputs: Any, x: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="inputs does not fit an argument"):
        _owners({"batch": inputs}, {"x": x, "y": x})


def _receivers(outputs: Any, function: Any, *args: Any) -> list[tuple[str, ...]]:
    return jmpc.secure(function, outputs=outputs, owners=["a", "b", "c"]).trace(*args).receivers


def test_several_learn_one_result(x: np.ndarray) -> None:
    for outputs in (["a", "b"], ("a", "b"), {"b", "a"}, frozenset("ab")):
        assert _receivers(outputs, lambda x: x + 1, x) == [("a", "b")]
    assert _receivers({"a", "b"}, lambda x: (x, {"y": x}), x) == [("a", "b")] * 2
    assert _receivers(("a", {"y": ["b", "c"]}), lambda x: (x, {"y": x}), x) == [("a",), ("b", "c")]
    assert _receivers(["a", {"b", "c"}], lambda x: [x, (x, x)], x) == [("a",), ("b", "c"), ("b", "c")]
    assert _receivers(["a", "a"], lambda x: x, x) == [("a",)]


@pytest.mark.parametrize(
    "function",
    [lambda x: x * 2, lambda x: x > 0, lambda x: x * 1j, lambda x: {"y": (x, x.sum())}],
    ids=["number", "bit", "complex", "tree"],
)
def test_each_receiver_gets_it(function: Any, x: np.ndarray) -> None:
    secured = jmpc.secure(function, outputs={"a", "b"}, owners=["a", "b"])
    lowered = secured.lower(x)
    told = [o.receiver for o in lowered.flow.share.outputs]
    assert told.count("a") == told.count("b") == len(told) // 2 > 0
    for found, expected in zip(jax.tree.leaves(secured(x)), jax.tree.leaves(function(jnp.asarray(x))), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    both, one = lowered.cost(), jmpc.secure(function, outputs="a", owners=["a", "b"]).lower(x).cost()
    assert both.rounds == one.rounds
    assert "learned by a and b" in str(lowered.explain())


def test_who_knows_a_result_already_is_told_nothing(x: np.ndarray) -> None:
    secured = jmpc.secure(lambda x: jnp.exp(x / 9), inputs={"x": "a"}, outputs=["a", "b"], owners=["b"])
    lowered = secured.lower(x)
    assert [o.receiver for o in lowered.flow.share.outputs] == ["b"]
    assert_same(secured(x), jnp.exp(jnp.asarray(x) / 9))


@pytest.mark.parametrize(
    ("outputs", "function"),
    [
        (("a", "b"), lambda x: (x, x, x)),
        (["a", "b"], lambda x: [x, x, x]),
        (["a", "b"], lambda x: (x, x)),
        (("a", "b"), lambda x: {"x": x}),
        ({"x": "a"}, lambda x: x),
        ({"x": "a"}, lambda x: {"y": x}),
        ([["a", "b"]], lambda x: x),
    ],
)
def test_a_list_that_could_be_meant_otherwise_is_refused(outputs: Any, function: Any, x: np.ndarray) -> None:
    """A list of the wrong length must not tell everything to everybody."""
    with pytest.raises(ConfigError, match="outputs is not a prefix") as caught:
        _receivers(outputs, function, x)
    assert "a set" in caught.value.todo[-1]


def test_shared_and_told_at_once_is_refused(x: np.ndarray) -> None:
    for outputs in ({"a", jmpc.SECRET}, ["a", jmpc.SECRET]):
        with pytest.raises(ConfigError, match="stays shared and has a receiver"):
            _receivers(outputs, lambda x: x, x)
    kept, told = jmpc.secure(lambda x: (x, x), outputs=(jmpc.SECRET, ["a", "b"]), owners=["a", "b"])(x)
    assert isinstance(kept, jmpc.SecretArray)
    assert_same(told, jnp.asarray(x))


TREES = st.recursive(
    st.just(0),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text("xy"), inner),
)


@settings(max_examples=200)
@given(TREES, st.data())
def test_a_prefix_gives_each_leaf_what_stands_above_it(tree: Any, data: st.DataObject) -> None:
    def prefix(node: Any) -> tuple[Any, list[tuple[str, ...]]]:
        """A prefix of a node, and the names that each of its leaves has by it."""
        count, kind = len(jax.tree.leaves(node)), data.draw(st.sampled_from(("name", "set", "inside")))
        if kind == "name":
            return "a", [("a",)] * count
        if kind == "set":
            return {"b", "a"}, [("a", "b")] * count
        if node == 0:
            return ["c", "b"], [("c", "b")]
        if isinstance(node, dict):
            parts = {key: prefix(node[key]) for key in sorted(node)}
            return {key: p for key, (p, _) in parts.items()}, [n for _, names in parts.values() for n in names]
        several = [prefix(part) for part in node]
        return type(node)(p for p, _ in several), [n for _, names in several for n in names]

    given_prefix, names = prefix(tree)
    assert spread(given_prefix, tree) == names
    if not isinstance(tree, int) and tree != [] and tree != {}:
        with pytest.raises(Mismatch):
            spread([given_prefix, "a", "b", "c", "d"], tree)


@pytest.mark.parametrize("word", WORDS_OF_REPORTS)
def test_a_word_by_which_reports_speak_of_others_is_nobodys_name(word: str) -> None:
    """An explanation that says "computed in the clear by everybody" must mean everybody."""
    with pytest.raises(ConfigError, match="is not the name of an owner"):
        jmpc.secure(lambda x: x, inputs={"x": word})
    text = str(jmpc.secure(lambda x, y: x + y, public="y").lower(1.0, 2.0).explain())
    assert word in text or word == "everybody"


def test_roles_read_as_texts_and_are_no_names() -> None:
    """Programs are printed, hashed and parsed with them."""
    assert [repr(role) for role in Role] == ["''", "'caller'", "'jmpc.SECRET'"]
    assert {Role.CALLER: 1}["caller"] == 1
    assert jmpc.SECRET is Role.SECRET
    assert [bool(name_fault(role)) for role in Role] == [True, False, True]
