"""The text of a tree's structure: back it gives the same tree, and no other text gives one that does not fit."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.client.trees import DEEPEST, MOST_PATH, paths_of, rebuilt, text_of
from jmpc.errors import ArgumentError, JMPCError, StoreError

KEYS = st.text(max_size=5) | st.just("a'b") | st.just("][")
TREES = st.recursive(
    st.just(0) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_tree_comes_back(tree: Any) -> None:
    leaves = list(range(len(jax.tree.leaves(tree))))
    found = rebuilt("x", text_of(tree), paths_of(tree), leaves)
    assert found == jax.tree.unflatten(jax.tree.structure(tree), leaves)
    assert jax.tree.structure(found) == jax.tree.structure(tree)


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(max_size=4), st.lists).map(json.dumps)
    | TREES.map(text_of)
)
def test_any_text_gives_a_tree_of_the_paths_or_an_error(text: str) -> None:
    try:
        found = rebuilt("x", text, ["['a']", "['b'][0]"], [1, 2])
    except JMPCError:
        return
    assert paths_of(found) == ["['a']", "['b'][0]"]


class Pair(NamedTuple):
    a: Any
    b: Any


@pytest.mark.parametrize("tree", [Pair(1, 2), [Pair(1, 2)], OrderedDict(a=1), {"a": {2.5: 1}}, {1: 0, "a": 1}])
def test_what_has_other_nodes_has_no_text(tree: Any) -> None:
    assert text_of(tree) == ""
    with pytest.raises(ArgumentError, match="like=template"):
        rebuilt("x", "", ["a"], [1])


def test_a_template_must_have_the_same_paths() -> None:
    assert rebuilt("x", "", [".a", ".b"], [1, 2], like=Pair(0, 0)) == Pair(1, 2)
    with pytest.raises(ArgumentError, match=r"it lacks \.b; it has \.b\[0\] besides"):
        rebuilt("x", "", [".a", ".b"], [1, 2], like=Pair(0, [0]))
    with pytest.raises(ArgumentError, match="another order"):
        rebuilt("x", "", [".b", ".a"], [1, 2], like=Pair(0, 0))


def test_a_structure_that_is_too_deep_is_refused() -> None:
    deep: Any = 0
    for _ in range(DEEPEST + 2):
        deep = [deep]
    with pytest.raises(StoreError, match="cannot be read"):
        rebuilt("x", text_of(deep), ["x"], [1])
    with pytest.raises(StoreError, match="cannot be read"):
        rebuilt("x", "[" * 100_000, ["x"], [1])


def test_long_paths_are_cut() -> None:
    (path,) = paths_of({"a" * 1000: 0})
    assert len(path) <= MOST_PATH
    assert rebuilt("x", text_of({"a" * 1000: 0}), [path], [5]) == {"a" * 1000: 5}
