"""Values that clients store: pytrees, tables, rows batch by batch; read by programs afterwards, or refused in place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.errors import ArgumentError, NotStoredError, RangeError, RefusedError, UnsupportedError

from .doubles import Frame, rows_of

TREE: dict[str, Any] = {
    "w": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "n": [np.int32(-4), np.arange(300) % 3 == 0, None],
    "rest": (np.zeros((0, 3), np.float32), np.int8([-128, 127]), 2.5),
}


class Pair(NamedTuple):
    a: Any
    b: Any


def opened(cluster: Cluster, value: Any) -> Any:
    return cluster.run(jmpc.secure(lambda value: value), value)


def same(found: Any, right: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), atol=1e-5)
        assert a.shape == np.shape(b)


def test_a_tree_comes_back_as_it_was_put(alice: Cluster) -> None:
    entry = alice.put(TREE, name="tree", expires=dt.timedelta(hours=1))
    assert (entry.owner, entry.missing, entry.receivers) == ("alice", (), ())
    assert entry.shapes["['n'][1]"] == ((300,), "bool")
    same(opened(alice, jmpc.stored("tree")), TREE)
    assert "tree" in [one.name for one in alice.list()]
    alice.delete("tree")
    with pytest.raises(NotStoredError, match="tree"):
        alice.stored("tree")
    with pytest.raises(NotStoredError):
        alice.delete("tree")


def test_shares_are_those_of_the_number_format_of_its_readers(alice: Cluster) -> None:
    narrow = jmpc.Config(k=32, f=10)
    alice.put(TREE, name="narrow", config=narrow)
    with pytest.raises(ArgumentError, match="another number format"):
        opened(alice, jmpc.stored("narrow"))
    found = alice.run(jmpc.secure(lambda value: value["w"] * 2, config=narrow), jmpc.stored("narrow"))
    np.testing.assert_allclose(found, 2 * TREE["w"], atol=5e-3)
    alice.delete("narrow")


def test_other_nodes_take_a_template(alice: Cluster) -> None:
    pair = Pair(np.float32([1, 2]), {"c": np.int32(3)})
    alice.put(pair, name="pair")
    with pytest.raises(ArgumentError, match="like=template"):
        alice.stored("pair")
    with pytest.raises(ArgumentError, match=r"it lacks \.b\['c'\]"):
        alice.stored("pair", like=Pair(0, {"d": 0}))
    same(opened(alice, jmpc.stored("pair", like=Pair(0, {"c": 0}))), pair)
    alice.delete("pair")


def test_a_value_is_replaced_by_its_owner_alone(alice: Cluster, bob: Cluster) -> None:
    first = alice.put(np.float32([1, 2]), name="mine")
    second = alice.put(np.float32([3, 4, 5]), name="mine")
    assert second.version > first.version
    same(opened(alice, jmpc.stored("mine")), np.float32([3, 4, 5]))
    for refused in (lambda: bob.put(np.float32([0]), name="mine"), lambda: bob.delete("mine")):
        with pytest.raises(RefusedError, match="mine"):
            refused()
    alice.delete("mine")


def test_a_handle_is_never_on_what_replaced_its_value(alice: Cluster) -> None:
    alice.put(np.float32([1, 2]), name="again")
    old = alice.stored("again")
    alice.put(np.float32([3, 4]), name="again")
    with pytest.raises(ArgumentError, match="was replaced"):
        opened(alice, old)
    step = jmpc.secure(lambda x: x * 2, outputs=jmpc.SECRET)
    one = alice.run(step, jmpc.stored("again"), keep="again")
    two = alice.run(step, one, keep="again")
    same(opened(alice, two), np.float32([12, 16]))
    with pytest.raises(ArgumentError, match="was replaced"):
        opened(alice, one)
    alice.delete("again")


def test_owners_consent_to_programs(alice: Cluster, bob: Cluster) -> None:
    alice.put(np.float32([1, 2]), name="a/x")
    total = jmpc.secure(lambda x: x.sum())
    with pytest.raises(RefusedError, match="alice"):
        bob.run(total, jmpc.stored("a/x"))
    program = total.lower(bob.stored("a/x"))
    alice.consent("a/x", program)
    assert float(bob.run(total, jmpc.stored("a/x"))) == pytest.approx(3, abs=1e-4)
    (hashes,) = alice.describe("a/x").consents.values()
    alice.withdraw("a/x", *hashes)
    with pytest.raises(RefusedError, match="alice"):
        bob.run(total, jmpc.stored("a/x"))
    alice.put(np.float32([5, 6]), name="a/x", programs=[program])
    assert float(bob.run(total, jmpc.stored("a/x"))) == pytest.approx(11, abs=1e-4)
    with pytest.raises(ArgumentError, match="no hash"):
        alice.consent("a/x", "total")
    alice.delete("a/x")


def test_rows_and_columns_of_several_owners_are_joined_in_the_program(alice: Cluster, bob: Cluster) -> None:
    x, y = np.float32([[1, 2], [3, 4]]), np.float32([[5, 6]])
    by_rows = jmpc.secure(lambda parts: jnp.concatenate(parts).mean(0))
    by_columns = jmpc.secure(lambda a, b: jnp.concatenate([a["x"], b["x"]], axis=1) @ jnp.ones(4))
    alice.put({"x": x}, name="alice/rows")
    bob.put({"x": y}, name="bob/rows")
    bob.put({"x": 2 * x}, name="bob/columns")
    parts = [bob.stored("alice/rows")["x"], bob.stored("bob/rows")["x"]]
    alice.consent("alice/rows", by_rows.lower(parts))
    alice.consent("alice/rows", by_columns.lower(bob.stored("alice/rows"), bob.stored("bob/columns")))
    np.testing.assert_allclose(bob.run(by_rows, parts), [3, 4], atol=1e-4)
    found = bob.run(by_columns, jmpc.stored("alice/rows"), jmpc.stored("bob/columns"))
    np.testing.assert_allclose(found, 3 * x.sum(1), atol=1e-4)
    for cluster, name in ((alice, "alice/rows"), (bob, "bob/rows"), (bob, "bob/columns")):
        cluster.delete(name)


def test_what_depends_on_the_data_of_two_is_both_of_theirs(alice: Cluster, bob: Cluster) -> None:
    alice.put(np.float32([1, 2]), name="both/a")
    add = jmpc.secure(lambda a, b: a + b, outputs=jmpc.SECRET)
    alice.consent("both/a", add.lower(bob.stored("both/a"), np.float32([3, 4])))
    handle = bob.run(add, jmpc.stored("both/a"), np.float32([3, 4]), keep="both/sum")
    contents = bob.describe("both/sum").contents
    assert contents is not None
    assert contents.owners == ("alice", "bob")
    with pytest.raises(RefusedError, match="alice"):
        opened(bob, handle)
    bob.delete("both/sum")
    alice.delete("both/a")


@pytest.mark.parametrize("when", [dt.timedelta(seconds=-1), -5.0, dt.datetime(2020, 1, 1)])
def test_nothing_expires_in_the_past(alice: Cluster, when: Any) -> None:
    with pytest.raises(ArgumentError, match="in the past"):
        alice.put(np.float32([1]), name="late", expires=when)


def test_a_value_expires_when_its_owner_says(alice: Cluster) -> None:
    alice.put(np.float32([1]), name="e", expires=3600)
    at = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    alice.expire("e", at)
    assert alice.describe("e").expires == at
    alice.expire("e", None)
    assert alice.describe("e").expires is None
    alice.delete("e")


# --- tables


def test_a_table_is_a_dict_of_columns(alice: Cluster) -> None:
    frame = Frame({"age": np.int64([30, 40]), "dose": np.float64([0.5, -1]), "sick": np.array([True, False])})
    alice.put(frame, name="table")
    same(opened(alice, jmpc.stored("table")), frame.data)
    alice.delete("table")


BAD = np.float64([0, 1, 2])
BAD[1] = np.nan


@pytest.mark.parametrize(
    ("columns", "where", "word"),
    [
        ({"ok": [1, 2, 3], "dose": BAD}, "column 'dose', row 1", "NaN"),
        ({"dose": [0.0, 1.0, 1e30]}, "column 'dose', row 2", "beyond the number format"),
        ({"n": np.int64([1, 2, 2**40])}, "column 'n', row 2", "cannot be held in int32"),
        ({"name": np.array(["a", "b", "c"], object)}, "column 'name', row 0", "holds a str"),
        ({"n": np.array([1, None, 3], object)}, "column 'n', row 1", "lacks a value"),
        ({"t": np.array(["2020-01-01"] * 3, "M8[D]")}, "column 't'", "datetimes"),
        ({"z": np.complex64([1, 2, 3])}, "column 'z'", "complex"),
        ({"m": np.zeros((3, 2))}, "column 'm'", "2 axes"),
        ({("a", "b"): [1, 2, 3]}, "a table", "named by a tuple"),
        ({"a": [1], 7: [2]}, "a table", "some by numbers"),
        ({}, "a table", "no column"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_its_place(
    alice: Cluster, columns: dict[Any, Any], where: str, word: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        alice.put(Frame(columns), name="refused")
    assert caught.value.where == where
    assert word in str(caught.value)
    assert "1e+30" not in str(caught.value)
    assert "refused" not in [entry.name for entry in alice.list()]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_a_name_is_one_line(alice: Cluster, name: str) -> None:
    with pytest.raises(ArgumentError, match="1 to 200 characters") as error:
        alice.put(np.ones(2), name)
    assert error.value.todo


def test_an_element_of_a_tree_is_refused_with_its_place(alice: Cluster) -> None:
    wrong = np.zeros((200_000, 2), np.float32)
    wrong[150_001, 1] = np.inf
    with pytest.raises(RangeError) as caught:
        alice.put({"x": [wrong]}, name="refused")
    assert caught.value.where == "['x'][0], row 150001"
    with pytest.raises(UnsupportedError, match="complex"):
        alice.put({"z": np.complex64([1])}, name="refused")
    for tree, place in (({"z": "text"}, "['z']"), ("text", "the value")):
        with pytest.raises(ArgumentError, match="not an array") as refused:
            alice.put(tree, name="refused")
        assert refused.value.where == place
        assert "static_argnames" not in str(refused.value)


def test_tables_of_libraries_are_read(alice: Cluster) -> None:
    frame = pandas.DataFrame({"a": [1.5, 2.5], "b": pandas.array([1, 2], dtype="Int64"), "c": [True, False]})
    alice.put(frame, name="pandas")
    same(opened(alice, jmpc.stored("pandas")), {name: frame[name].to_numpy(float) for name in frame})
    alice.put(pandas.DataFrame([[1, 2], [3, 4]]), name="pandas")
    same(opened(alice, jmpc.stored("pandas")), {0: np.float32([1, 3]), 1: np.float32([2, 4])})
    frame.loc[1, "b"] = pandas.NA
    with pytest.raises(ArgumentError) as caught:
        alice.put(frame, name="pandas")
    assert caught.value.where == "column 'b', row 1"
    alice.delete("pandas")


# --- rows that come batch by batch


def test_rows_come_batch_by_batch(alice: Cluster) -> None:
    whole = rows_of(1000)
    sizes = [1, 0, 399, 600]

    def batches() -> Iterator[Any]:
        at = 0
        for size in sizes:
            yield jax.tree.map(lambda array, at=at, size=size: array[at : at + size], whole)
            at += size

    heard: list[tuple[int, int]] = []
    alice.put_rows(batches, name="rows", progress=lambda done, of: heard.append((done, of)))
    same(opened(alice, jmpc.stored("rows")), whole)
    assert heard[0][0] == 0
    assert heard[-1][0] == heard[-1][1]
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    alice.put_rows(batches(), name="rows", rows=1000)
    same(opened(alice, jmpc.stored("rows")), whole)
    alice.put_rows([Frame({"a": [1, 2]}), Frame({"a": [3]})], name="rows")
    same(opened(alice, jmpc.stored("rows")), {"a": np.float32([1, 2, 3])})
    alice.delete("rows")


def test_batches_that_do_not_fit_store_nothing(alice: Cluster) -> None:
    one, two = {"x": np.zeros((2, 3), np.float32)}, {"x": np.zeros((2, 4), np.float32)}
    nan = {"x": np.float32([[0, 1, 2], [3, np.nan, 5]])}
    cases: list[tuple[Any, int | None, str, str]] = [
        ([one, two], None, "batch 1", r"rows of float32\[4\]"),
        ([one, {"y": one["x"]}], None, "batch 1", "it has the arrays"),
        (iter([one, one]), 3, "put_rows(rows=...)", "ends at row 4"),
        (iter([one, one]), 5, "put_rows(rows=...)", "end at row 4"),
        (iter([one, one]), None, "put_rows(rows=...)", "how many rows"),
        ([], None, "batches", "no batch"),
        ([{"x": np.float32(1)}], None, "batches", "single number"),
        ([one, nan], None, "['x'], row 3", "NaN"),
        ([{"x": one["x"], "y": np.zeros(3)}], None, "batch 0", "different numbers of rows"),
    ]
    for batches, rows, where, word in cases:
        with pytest.raises(ArgumentError, match=word) as caught:
            alice.put_rows(batches, name="unfit", rows=rows)
        assert caught.value.where == where
    assert "unfit" not in [entry.name for entry in alice.list()]
