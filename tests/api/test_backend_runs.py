"""What a backend feeds the parties, and what it makes of their results: opened outputs, kept ones, counts, handles that
are forgotten. Three engines of this process stand for the three of a cluster."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc import backends
from jmpc.backends import LOCAL, Kept, LocalBackend, MeshBackend, ProcessBackend, RunStats, current, use
from jmpc.errors import ArgumentError, ConfigError
from jmpc.executors import mesh
from jmpc.executors.engine import PartyEngine
from jmpc.executors.local import run_local
from jmpc.executors.placement import Placement
from jmpc.executors.segment import Placed
from jmpc.runtime import launch
from jmpc.runtime.client import RunResult, StoredRef
from tests.frontend.oracle import assert_same

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)
SECONDS = [0.25, 0.75, 0.5]


class Engines:
    """A cluster without a network: what the parties hold, and what it was asked to do."""

    parties = 3

    def __init__(self) -> None:
        self.engines = [PartyEngine(party) for party in range(3)]
        self.stored: list[dict[str, np.ndarray]] = [{}, {}, {}]
        self.texts: list[str] = []
        self.fed: list[Sequence[Sequence[Any]]] = []

    def load(self, text: str) -> str:
        self.texts.append(text)
        (name,) = {engine.load(text) for engine in self.engines}
        return name

    def run(
        self, name: str, inputs: Sequence[Sequence[Any]], keep: Sequence[Sequence[tuple[int, str]]] = ()
    ) -> RunResult:
        self.fed.append(inputs)
        given = [
            [stored[a.handle] if isinstance(a, StoredRef) else a for a in arrays]
            for arrays, stored in zip(inputs, self.stored, strict=True)
        ]
        plans = [plan for engine in self.engines for plan in engine.placed[name].plans]
        held, counts = run_local(Placed.here(plans), given)
        outputs: list[list[np.ndarray | None]] = []
        for arrays, stored, mine in zip(held, self.stored, keep or [()] * len(held), strict=True):
            stored.update((handle, arrays[n]) for n, handle in mine)
            kept = {n for n, _ in mine}
            outputs.append([None if n in kept else a for n, a in enumerate(arrays)])
        sent = [n + party for party, n in enumerate(counts.bytes_sent)]  # parties that send alike are told apart
        return RunResult(outputs, counts.rounds, sent, SECONDS)

    def unload(self, program: str) -> None:
        for engine in self.engines:
            engine.unload(program)

    def drop(self, handle: str) -> None:
        for stored in self.stored:
            del stored[handle]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    made = Engines()
    with use(ProcessBackend(made)):
        yield made


step = jmpc.secure(lambda s: (s["v"] * 2 + 1, s["n"] + 1, s["b"]), outputs=jmpc.SECRET)
show = jmpc.secure(lambda v, n, b: (v, n, b, v.sum()))
first = {"v": X, "n": np.int32(3), "b": np.array([True, False, True])}


def test_results_and_counts_are_those_of_the_parties(engines: Engines) -> None:
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
    assert (stats.executor, stats.seconds) == ("processes", max(SECONDS))
    assert stats.rounds == there.rounds
    assert stats.bytes_sent == tuple(n + party for party, n in enumerate(there.bytes_sent))
    assert len(stats.bytes_sent) == 3
    assert all(n > 0 for n in stats.bytes_sent)
    assert there.seconds > 0
    assert there.executor == "local"


def test_each_party_is_fed_its_own_pair(engines: Engines) -> None:
    """Party i has summands i and i + 1; a public array goes to all as it is."""
    jmpc.secure(lambda x, w: x + w, public="w")(X, np.int32(5))
    (fed,) = engines.fed
    for party, arrays in enumerate(fed):
        pair, public = arrays[:2], arrays[2:]
        np.testing.assert_array_equal(pair[1], fed[(party + 1) % 3][0])
        assert len(public) == 1
        assert len({id(row[2]) for row in fed}) == 1
    assert len({a.tobytes() for row in fed for a in row[:2]}) == 3


def test_a_program_is_sent_once(engines: Engines) -> None:
    double = jmpc.secure(lambda x: x * 2)
    double(X)
    double(X + 1)
    assert len(engines.texts) == 1
    double(X[0])
    assert len(engines.texts) == 2


def test_a_program_goes_with_the_last_function_that_needs_it(engines: Engines) -> None:
    """Two functions of one text share it; the next run tells the parties, since the collector may run anywhere."""

    def loaded() -> int:
        gc.collect()
        jmpc.secure(lambda x: x - 1)(X)
        (count,) = {len(engine.placed) for engine in engines.engines}
        return count

    one, other = (jmpc.secure(lambda x: x * 2) for _ in range(2))
    one(X)
    other(X)
    assert engines.texts[0] == engines.texts[1]
    assert loaded() == 2
    del one
    assert loaded() == 2
    other(X + 1)
    del other
    assert loaded() == 1


@pytest.mark.parametrize("where", ["parties", "here"])
def test_handles_come_back_in_their_order(where: str, engines: Engines) -> None:
    with use(current() if where == "parties" else LOCAL):
        v, n, b = step(first)
        again = step({"v": v, "n": n, "b": b})
        assert_same(show(*again), (X * 4 + 3, np.int32(5), first["b"], (X * 4 + 3).sum()))


def test_some_results_are_kept_and_some_opened(engines: Engines) -> None:
    some = jmpc.secure(lambda x: (x + 1, x.sum(), x > 0, x * 2), outputs=("caller", jmpc.SECRET, "caller", jmpc.SECRET))
    plus, total, positive, twice = some(X)
    assert_same((plus, positive), (X + 1, X > 0))
    assert_same(jmpc.secure(lambda t, u: (t, u))(total, twice), (X.sum(), X * 2))
    assert [sorted(stored) for stored in engines.stored] == [["v0.0", "v0.1", "v1.0", "v1.1"]] * 3


def test_what_no_handle_refers_to_is_forgotten_by_the_next_run(engines: Engines) -> None:
    v, n, b = step(first)
    assert len(engines.stored[0]) == 6
    del v, n
    gc.collect()
    assert len(engines.stored[0]) == 6
    jmpc.secure(lambda x: x * 2)(X)
    assert [sorted(stored) for stored in engines.stored] == [["v2.0", "v2.1"]] * 3
    assert_same(jmpc.secure(lambda b: b)(b), first["b"])


@pytest.mark.parametrize("other", [LocalBackend, lambda: ProcessBackend(Engines())])
def test_a_handle_is_used_where_its_shares_are(other: Callable[[], Any], engines: Engines) -> None:
    kept = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X)
    use_it = jmpc.secure(lambda x: x * 2)
    with use(other()), pytest.raises(ArgumentError) as caught:
        use_it(kept)
    assert "handle" in str(caught.value)
    assert "block" in str(caught.value)
    assert_same(use_it(kept), (X + 1) * 2)


def test_a_family_runs_with_as_many_parties_as_it_has(engines: Engines) -> None:
    engines.parties = 4
    with pytest.raises(ConfigError, match="family aby3 is one of 3 parties, and here are 4"):
        jmpc.secure(lambda x: x + 1)(X)
    assert engines.texts == []


def test_a_mesh_has_as_many_devices_as_the_family_has_parties() -> None:
    flow = jmpc.secure(lambda x: x + 1).lower(X).flow
    for count in (2, 4):
        devices = [Device("cpu", n) for n in range(count)]
        with pytest.raises(ConfigError, match=f"it has 3 of them, and the mesh {count} devices"):
            mesh.MeshProgram(flow.placed(Placement.on(devices)))


def test_blocks_nest_and_end_with_errors() -> None:
    inner, outer = ProcessBackend(Engines()), ProcessBackend(Engines())
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


def test_what_is_kept_is_itself_alone(engines: Engines) -> None:
    """By identity: shares are never compared, and each of the three parties has its pair."""
    kept = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X).kept
    assert len(kept.pieces) == 3
    assert Kept(kept.place, kept.pieces) != kept
    assert {kept: 1}[kept] == 1


def test_a_block_of_a_mesh_or_of_parties_is_the_backend_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "launch", lambda **_: contextlib.nullcontext("cluster"))
    devices = tuple(Device("cpu", n) for n in range(3))
    with backends.mesh(devices) as made:
        assert current() is made
        assert made.placement == Placement(devices)
    with backends.processes() as parties:
        assert current() is parties
        assert parties.cluster == "cluster"
