"""Secure calls at a cluster, by one client: what it learns, what stays, what others learn, and what is refused."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.errors import ArgumentError, ConfigError, NotStoredError, RefusedError
from jmpc.handle import Elsewhere
from tests.service.three import Three

X = np.float32([[1, -2.5], [3, 4]])
TO_ALICE = {"outputs": "alice", "owners": ["alice"]}


def names_at(cluster: Cluster) -> list[str]:
    return [entry.name for entry in cluster.list()]


def test_a_call_at_a_cluster_gives_what_a_local_one_gives(alice: Cluster) -> None:
    function = jmpc.secure(lambda x: (x * 2, x > 0, x.sum().astype(np.int32), jax.lax.complex(x, x * x)))
    local = function(X)
    there = alice.run(function, X)
    for a, b in zip(local, there, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
        assert a.dtype == b.dtype
    assert function.last_run is not None
    assert (function.last_run.executor, len(function.last_run.bytes_sent)) == ("cluster", 3)
    assert function.last_run.rounds > 0
    assert alice.last_run is function.last_run


def test_calls_of_a_block_run_there_and_nowhere_after_it(three: Three) -> None:
    double = jmpc.secure(lambda x: x * 2)
    with jmpc.connect(three.folder / "cluster.toml", identity=three.folder / "client-bob") as cluster:
        np.testing.assert_allclose(double(X), 2 * X, atol=1e-5)
        assert double.last_run is not None
        assert double.last_run.executor == "cluster"
    double(X)
    assert double.last_run.executor == "local"
    assert not cluster._pool._idle
    with cluster:  # which connects again
        np.testing.assert_allclose(double(X), 2 * X, atol=1e-5)
    cluster.close()
    with pytest.raises(ConfigError, match="closed"):
        cluster.run(double, X)


def test_a_cluster_may_be_required(alice: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMPC_REQUIRE", "cluster")
    double = jmpc.secure(lambda x: x * 2)
    with pytest.raises(ConfigError, match=r"jmpc\.connect"), jmpc.local():
        double(X)
    np.testing.assert_allclose(alice.run(double, X), 2 * X, atol=1e-5)


def test_an_owner_of_this_clients_name_is_this_client(alice: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    def scaled(x: Any, y: Any) -> Any:
        jax.debug.print("alice scales")
        return (x / x.max()) @ y, x.min()  # the second is alice's own work, and hers

    function = jmpc.secure(scaled, inputs={"x": "alice", "y": "caller"}, outputs=("caller", "alice"))
    product, least = alice.run(function, X, X.T)
    np.testing.assert_allclose(product, X / 4 @ X.T, atol=1e-4)
    assert least == -2.5


def test_what_stays_shared_is_an_argument_of_the_next_call(alice: Cluster) -> None:
    step = jmpc.secure(lambda state, x: {"v": state["v"] * 0.5 + x, "n": state["n"] + 1}, outputs=jmpc.SECRET)
    state: Any = {"v": X, "n": np.int32(0)}
    with jmpc.use(alice.backend):
        for _ in range(3):
            state = step(state, X)
        found = jmpc.secure(lambda state: state)(state)
    np.testing.assert_allclose(found["v"], X * (0.125 + 0.25 + 0.5 + 1), atol=1e-4)
    assert found["n"] == 3
    assert len(step.compilations) == 2


def test_what_nobody_named_goes_with_its_last_handle(alice: Cluster) -> None:
    gc.collect()
    alice.backend.forget()
    before = names_at(alice)
    keep = jmpc.secure(lambda x: (x * 2, x + 1), outputs=jmpc.SECRET)
    one, two = alice.run(keep, X)
    (name,) = set(names_at(alice)) - set(before)
    assert name.startswith("temporary/alice/")
    assert alice.describe(name).expires is not None
    del one
    gc.collect()
    alice.backend.forget()
    assert name in names_at(alice)
    del two
    gc.collect()
    alice.run(jmpc.secure(lambda x: x + 1), X)  # the next call takes it along
    assert names_at(alice) == before


def test_what_is_named_stays(alice: Cluster, three: Three) -> None:
    make = jmpc.secure(lambda x: ({"w": x * 2, "b": [x[0], None]}, x.sum()), outputs=(jmpc.SECRET, "caller"))
    handles, total = alice.run(make, X, keep="kept/model", expires=3600)
    assert float(total) == pytest.approx(5.5, abs=1e-4)
    del handles
    gc.collect()
    alice.backend.forget()
    entry = alice.describe("kept/model")
    assert (entry.owner, entry.missing, entry.consents) == ("alice", (), {})
    assert entry.shapes == {"['b'][0]": ((2,), "float32"), "['w']": ((2, 2), "float32")}
    assert entry.expires is not None
    with jmpc.connect(three.folder, identity="alice") as again:
        found = jmpc.secure(lambda model: model)(jmpc.stored("kept/model"))
        np.testing.assert_allclose(found["w"], 2 * X, atol=1e-4)
        np.testing.assert_allclose(found["b"][0], X[0], atol=1e-4)
        assert found["b"][1] is None
        again.delete("kept/model")
        with pytest.raises(NotStoredError):
            again.describe("kept/model")


def test_parts_of_a_result_are_named_by_their_paths(alice: Cluster) -> None:
    make = jmpc.secure(lambda x: ({"params": {"w": x}, "state": [x, x]}, x + 1, x + 2), outputs=jmpc.SECRET)
    names = {"[0]['params']": "by-path/p", "[0]['state']": "by-path/s", 1: "by-path/one"}
    handles = alice.run(make, X, keep=names)
    assert set(alice.describe("by-path/p").shapes) == {"['w']"}
    assert set(alice.describe("by-path/s").shapes) == {"[0]", "[1]"}
    assert set(alice.describe("by-path/one").shapes) == {""}
    assert jax.tree.structure(alice.stored("by-path/s")) == jax.tree.structure([0, 0])
    found = alice.run(jmpc.secure(lambda all, one: (all, one)), handles, jmpc.stored("by-path/one"))
    np.testing.assert_allclose(found[0][2], X + 2, atol=1e-4)
    np.testing.assert_allclose(found[1], X + 1, atol=1e-4)
    for name in names.values():
        alice.delete(name)
    with pytest.raises(ArgumentError, match=r"nothing that stays shared is at 'params'.*|\n.*\[0\]\['params'\]"):
        alice.run(make, X, keep={"params": "x"})
    with pytest.raises(ArgumentError, match="part of another path"):
        alice.run(make, X, keep={"[0]": "x", "[0]['state']": "y"})
    with pytest.raises(ArgumentError, match="no result that stays shared"):
        alice.run(jmpc.secure(lambda x: x), X, keep="x")


def test_a_result_of_another_waits_for_it(alice: Cluster, bob: Cluster) -> None:
    tell = jmpc.secure(lambda x: {"sum": x.sum(), "z": jax.lax.complex(x, 2 * x)}, outputs="bob", owners=["bob"])
    with pytest.raises(ArgumentError, match="bob learns a result"):
        alice.run(tell, X)
    with jmpc.use(alice.backend), pytest.raises(ArgumentError, match="leave="):
        tell(X)
    found = alice.run(tell, X, leave="for-bob")
    assert isinstance(found["sum"], Elsewhere)
    assert repr(found["sum"]) == "Elsewhere(float32[], learned by 'bob', as 'for-bob')"
    with pytest.raises(ArgumentError, match="bob learns it"):
        float(found["sum"])
    entry = bob.describe("for-bob")
    assert (entry.receivers, entry.owner) == (("bob",), "alice")
    got = bob.get("for-bob")
    assert float(got["sum"]) == pytest.approx(5.5, abs=1e-4)
    np.testing.assert_allclose(got["z"], X + 2j * X, atol=1e-4)
    with pytest.raises(RefusedError):
        alice.get("for-bob")
    with pytest.raises(ArgumentError, match="waits for its receiver"):
        bob.stored("for-bob")
    alice.delete("for-bob")


def test_what_one_knows_of_what_is_told_to_others_is_its_own(alice: Cluster) -> None:
    tell = jmpc.secure(lambda x, y: (x * 2, x + y), inputs={"x": "alice"}, outputs={"alice", "bob"}, owners=["bob"])
    mine, both = alice.run(tell, X, X, leave={"bob": "told"})
    np.testing.assert_allclose(mine, 2 * X, atol=1e-4)
    np.testing.assert_allclose(both, 2 * X, atol=1e-4)
    alice.delete("told")


def test_an_argument_of_another_is_refused_with_what_to_do(alice: Cluster) -> None:
    function = jmpc.secure(lambda x, y: x @ y, inputs={"y": "bob"})
    with pytest.raises(ArgumentError, match=r"bob's to supply[\s\S]*jmpc\.stored") as caught:
        alice.run(function, X, X)
    assert caught.value.where == "y"
    with pytest.raises(ArgumentError, match=r"bob's to supply[\s\S]*label"):
        alice.run(function, X, jax.ShapeDtypeStruct(X.shape, X.dtype))


def test_a_program_that_is_not_approved_is_refused_with_what_its_operator_types(alice: Cluster, three: Three) -> None:
    function = jmpc.secure(lambda x: x * 3 + 1)
    (program,) = {jmpc.client.backend.program_hash(function.lower(X))}
    three.programs[1].refused[program] = "nobody has approved it"
    with pytest.raises(RefusedError) as caught:
        alice.run(function, X)
    text = str(caught.value)
    assert "party 1 does not run the program" in text
    assert f"jmpc programs approve {program}" in text
    assert "nobody has approved it" in text
    three.programs[1].refused.clear()
    np.testing.assert_allclose(alice.run(function, X), X * 3 + 1, atol=1e-4)
    three.programs[2].refused[program] = "its operator has revoked it"
    with pytest.raises(RefusedError, match="revoked"):
        alice.run(function, X)
    with pytest.raises(RefusedError, match="approve"):  # what was loaded is asked for again
        alice.run(function, X)
    three.programs[2].refused.clear()


def test_only_a_secure_function_runs_there(alice: Cluster) -> None:
    with pytest.raises(ArgumentError, match="no secure function"):
        alice.run(jnp.sin, X)
    with pytest.raises(ArgumentError, match="at which cluster"):
        jmpc.secure(lambda x: x)(jmpc.stored("rows"))


def test_a_call_is_awaited(alice: Cluster) -> None:
    double = jmpc.secure(lambda x: x * 2)

    async def both() -> list[Any]:
        jobs = [alice.submit(double, n * X) for n in (1, 2)]
        return list(await asyncio.gather(*jobs))

    one, two = asyncio.run(both())
    np.testing.assert_allclose(two, 2 * np.asarray(one), atol=1e-4)
    job = alice.submit(double, X)
    np.testing.assert_allclose(job.result(60), 2 * X, atol=1e-4)
    assert job.done()
    assert str(job.progress) == "done"
    assert not job.cancel()


def test_an_error_of_a_submitted_call_is_that_of_the_call(alice: Cluster) -> None:
    job = alice.submit(jmpc.secure(lambda x: x * 2), X * np.float32(np.inf))
    with pytest.raises(jmpc.errors.RangeError):
        job.result(60)
