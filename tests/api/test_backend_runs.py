"""What a backend feeds the parties, and what it makes of their results: opened outputs, kept ones, counts, handles that
are forgotten. Three services in threads of this process stand for the processes."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc import backends
from jmpc.backends import LOCAL, Kept, LocalBackend, MeshBackend, RunStats, current, use
from jmpc.client import processes
from jmpc.client.processes import ProcessBackend
from jmpc.errors import ArgumentError, ConfigError
from jmpc.executors import mesh
from jmpc.executors.engine import text_hash
from jmpc.executors.placement import Placement
from tests.api.parties_here import PartiesHere, parties_here
from tests.frontend.oracle import assert_same


class Idle:
    """Parties that are asked for nothing."""

    parties, pool, life, closed = 3, None, None, False

    def close(self) -> None:
        self.closed = True


X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)


@pytest.fixture(scope="module")
def running() -> Iterator[ProcessBackend]:
    with parties_here() as backend:
        yield backend


@pytest.fixture
def parties(running: ProcessBackend) -> Iterator[PartiesHere]:
    """The parties, which hold nothing, and of which this process knows no program."""
    gc.collect()
    running.forget()
    here: Any = running.cluster
    assert here.held == [0, 0, 0]
    here.fed.clear()
    for programs in here.programs:
        programs.texts.clear()
    with use(running):
        yield here


step = jmpc.secure(lambda s: (s["v"] * 2 + 1, s["n"] + 1, s["b"]), outputs=jmpc.SECRET)
show = jmpc.secure(lambda v, n, b: (v, n, b, v.sum()))
first = {"v": X, "n": np.int32(3), "b": np.array([True, False, True])}


def test_results_and_counts_are_those_of_the_parties(parties: PartiesHere) -> None:
    positive = jmpc.secure(
        lambda x, y, w: (jnp.maximum(x - y, 0) * w, x > y, w), inputs={"x": "a", "y": "b"}, public="w"
    )
    arguments = X, X[::-1] * 2, np.float32(2.0)
    expected = (np.maximum(X - X[::-1] * 2, 0) * 2, X[::-1] * 2 < X, np.float32(2.0))
    assert_same(positive(*arguments), expected)
    stats = positive.last_run
    with use(LOCAL):
        assert_same(positive(*arguments), expected)
    there = positive.last_run
    assert isinstance(stats, RunStats)
    assert isinstance(there, RunStats)
    assert stats.executor == "processes"
    assert stats.seconds > 0
    assert stats.rounds == there.rounds
    assert stats.bytes_sent == there.bytes_sent
    assert len(stats.bytes_sent) == 3
    assert all(n > 0 for n in stats.bytes_sent)
    assert there.seconds > 0
    assert there.executor == "local"


def test_each_party_is_fed_its_own_pair(parties: PartiesHere) -> None:
    """Party i has summands i and i + 1; a public array goes to all as it is."""
    jmpc.secure(lambda x, w: x + w, public="w")(X, np.int32(5))
    (fed,) = parties.fed
    for party in range(3):
        pair, public = fed[party][0], fed[party][1]
        np.testing.assert_array_equal(pair[1], fed[(party + 1) % 3][0][0])
        assert len(public) == 1
        np.testing.assert_array_equal(public[0], fed[0][1][0])
    assert len({a.tobytes() for party in range(3) for a in fed[party][0]}) == 3


def test_the_parties_are_told_no_name(parties: PartiesHere) -> None:
    """Owners and receivers are labels of this process, which is the caller of every program."""
    x = np.float32([1.0, -2.0])
    function = jmpc.secure(
        lambda a, b: jnp.maximum(a * 2, b),
        inputs={"a": "alice", "b": "bob"},
        outputs=["alice", "carol"],
        owners=["alice", "bob", "carol"],
    )
    assert_same(function(x, x + 1), np.maximum(x * 2, x + 1))
    for programs in parties.programs:
        (text,) = programs.texts
        assert not any(name in text for name in ("alice", "bob", "carol"))


def test_a_program_of_the_caller_alone_is_sent_as_it_is(parties: PartiesHere) -> None:
    double = jmpc.secure(lambda x: x * 2)
    double(X)
    assert [text_hash(text) for text in parties.programs[0].texts] == [double.lower(X).program_hash]


def test_a_program_is_sent_once(parties: PartiesHere) -> None:
    double = jmpc.secure(lambda x: x * 2)
    double(X)
    double(X + 1)
    assert [len(programs.texts) for programs in parties.programs] == [1, 1, 1]
    double(X[0])
    assert [len(programs.texts) for programs in parties.programs] == [2, 2, 2]


@pytest.mark.parametrize("where", ["parties", "here"])
def test_handles_come_back_in_their_order(where: str, parties: PartiesHere) -> None:
    with use(current() if where == "parties" else LOCAL):
        v, n, b = step(first)
        again = step({"v": v, "n": n, "b": b})
        assert_same(show(*again), (X * 4 + 3, np.int32(5), first["b"], (X * 4 + 3).sum()))


def test_some_results_are_kept_and_some_opened(parties: PartiesHere) -> None:
    some = jmpc.secure(lambda x: (x + 1, x.sum(), x > 0, x * 2), outputs=("caller", jmpc.SECRET, "caller", jmpc.SECRET))
    plus, total, positive, twice = some(X)
    assert_same((plus, positive), (X + 1, X > 0))
    assert_same(jmpc.secure(lambda t, u: (t, u))(total, twice), (X.sum(), X * 2))
    assert parties.held == [4, 4, 4]


def test_what_no_handle_refers_to_is_forgotten_by_the_next_run(parties: PartiesHere) -> None:
    """A value goes with the last handle on it."""
    v, n, b = step(first)
    w = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X)
    assert parties.held == [8, 8, 8]
    del v, n, w
    gc.collect()
    assert parties.held == [8, 8, 8]
    jmpc.secure(lambda x: x * 2)(X)
    assert parties.held == [6, 6, 6]
    assert_same(jmpc.secure(lambda b: b)(b), first["b"])
    del b
    gc.collect()
    jmpc.secure(lambda x: x * 2)(X)
    assert parties.held == [0, 0, 0]


@pytest.mark.parametrize("where", ["here", "parties"])
def test_a_handle_is_used_where_its_shares_are(where: str, parties: PartiesHere, running: ProcessBackend) -> None:
    kept = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X)
    use_it = jmpc.secure(lambda x: x * 2)
    other = LocalBackend() if where == "here" else ProcessBackend(running.cluster)
    with use(other), pytest.raises(ArgumentError) as caught:
        use_it(kept)
    assert "handle" in str(caught.value)
    assert "block" in str(caught.value)
    assert_same(use_it(kept), (X + 1) * 2)


def test_a_family_runs_with_as_many_parties_as_it_has(parties: PartiesHere, running: ProcessBackend) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "parties", 4)
        with pytest.raises(ConfigError, match="family aby3 is one of 3 parties, and this cluster has 4"):
            jmpc.secure(lambda x: x + 1)(X)
    assert parties.programs[0].texts == []


def test_a_mesh_has_as_many_devices_as_the_family_has_parties() -> None:
    flow = jmpc.secure(lambda x: x + 1).lower(X).flow
    for count in (2, 4):
        devices = [Device("cpu", n) for n in range(count)]
        with pytest.raises(ConfigError, match=f"it has 3 of them, and the mesh {count} devices"):
            mesh.MeshProgram(flow.placed(Placement.on(devices)))


def test_blocks_nest_and_end_with_errors() -> None:
    inner, outer = (ProcessBackend(cast(Any, Idle())) for _ in range(2))
    with use(outer):
        with contextlib.suppress(ZeroDivisionError), use(inner):
            assert current() is inner
            _ = 1 // 0
        assert current() is outer


def test_the_seconds_are_those_between_two_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "time", SimpleNamespace(perf_counter=iter([10.0, 12.5]).__next__))
    double = jmpc.secure(lambda x: x * 2)
    double(X)
    assert double.last_run is not None
    assert double.last_run.seconds == 2.5


@pytest.mark.parametrize("platform", ["cpu", "cuda", "aaa"])
@pytest.mark.parametrize("prf", ["aes", "chacha20"])
def test_a_mesh_draws_masks_inside_on_accelerators(prf: Any, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(mesh, "MeshProgram", lambda *args: asked.append(args) or "program")
    devices: Any = tuple(Device(platform, n) for n in range(3))
    flow = jmpc.secure(lambda x: x * 2, config=jmpc.Config(prf=prf)).lower(X).flow
    backend = MeshBackend(Placement.of_each(devices))
    backend.prepare(flow)
    backend.prepare(flow)
    ((placed, folder),) = asked
    assert placed.placement.devices == devices
    assert (placed.prf, placed.inside, folder) == (prf, prf == "chacha20" and platform != "cpu", None)


class Device(NamedTuple):
    platform: str
    id: int


def test_what_is_kept_is_itself_alone() -> None:
    """By identity: shares are never compared, and each of the three parties has its pair."""
    with use(LOCAL):
        kept = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X).kept
    assert len(kept.pieces) == 3
    assert Kept(kept.place, kept.pieces) != kept
    assert {kept: 1}[kept] == 1


def test_a_block_of_a_mesh_or_of_parties_is_the_backend_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Processes", lambda _: Idle())
    devices = tuple(Device("cpu", n) for n in range(3))
    with backends.mesh(devices) as made:
        assert current() is made
        assert made.placement == Placement(devices)
    with processes.processes() as parties:
        assert current() is parties
        assert isinstance(parties.cluster, Idle)
        assert not parties.cluster.closed
    assert parties.cluster.closed
