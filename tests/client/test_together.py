"""Calls that clients make together, and calls that run by themselves: progress, cancelling, what outlives a client."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.client.job import Progress, Watch
from jmpc.errors import ArgumentError, DeadlineError, HandshakeError, PartyError, RangeError
from jmpc.handle import Elsewhere
from jmpc.runtime.control import ControlLink
from tests.runtime.helpers import until
from tests.service.three import Three

from .fakes import Fakes, failed, reply

X, Y = np.float32([[1, -2.5], [3, 4]]), np.float32([[0.5, 1], [2, -1]])
HERE = {"x": "alice", "y": "bob"}


def shape_of(array: np.ndarray) -> Any:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def together(*calls: Any) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(60) for future in [threads.submit(call) for call in calls]]


def function(outputs: Any = ("alice", "bob", "bob")) -> jmpc.Secured:
    return jmpc.secure(lambda x, y: (x @ y, x.sum(), y.sum()), inputs=HERE, outputs=outputs)


def test_two_clients_make_one_call_each_with_its_own_arguments(alice: Cluster, bob: Cluster) -> None:
    one, two = together(
        lambda: alice.run(function(), X, shape_of(Y), label="both"),
        lambda: bob.run(function(), shape_of(X), Y, label="both"),
    )
    np.testing.assert_allclose(one[0], X @ Y, atol=1e-4)
    assert [isinstance(result, Elsewhere) for result in (*one, *two)] == [False, True, True, True, False, False]
    assert float(two[1]) == pytest.approx(X.sum(), abs=1e-4)
    assert float(two[2]) == pytest.approx(Y.sum(), abs=1e-4)
    with pytest.raises(ArgumentError, match="alice learns it"):
        np.asarray(two[0])


def test_work_in_the_clear_is_done_by_its_owner_alone(alice: Cluster, bob: Cluster) -> None:
    at: list[tuple[str, str]] = []
    who = threading.local()

    def work(x: Any, y: Any) -> Any:
        jax.debug.callback(lambda: at.append((who.name, "x")))
        return jax.jit(lambda x: x * 2)(x) @ y

    def call(name: str, cluster: Cluster, *args: Any) -> Any:
        who.name = name
        return cluster.run(jmpc.secure(work, inputs=HERE, outputs={"alice", "bob"}), *args, label="clear")

    both = together(lambda: call("a", alice, X, shape_of(Y)), lambda: call("b", bob, shape_of(X), Y))
    for result in both:
        np.testing.assert_allclose(result, 2 * X @ Y, atol=1e-4)
    before = len(at)
    bad = X.copy()
    bad[0, 0] = np.nan
    with pytest.raises(RangeError):  # alice's own, at alice, before anything leaves her
        call("a", alice, bad, shape_of(Y))
    assert len(at) <= before + 1


def test_what_clients_keep_together_needs_a_name_of_both(alice: Cluster, bob: Cluster) -> None:
    keep = function(outputs=(jmpc.SECRET, "alice", "bob"))
    handles = together(
        lambda: alice.run(keep, X, shape_of(Y), label="kept", keep="together"),
        lambda: bob.run(keep, shape_of(X), Y, label="kept", keep="together"),
    )
    entry = alice.describe("together")
    assert entry.contents is not None
    assert entry.contents.owners == ("alice", "bob")
    again = jmpc.secure(lambda z, x, y: (z + x + y).sum(), inputs={**HERE, "z": "alice"}, outputs={"alice", "bob"})
    one, two = together(
        lambda: alice.run(again, handles[0][0], X, shape_of(Y), label="again"),
        lambda: bob.run(again, jmpc.stored("together"), shape_of(X), Y, label="again"),
    )
    assert float(one) == float(two) == pytest.approx((X @ Y + X + Y).sum(), abs=1e-3)
    bob.delete("together")


def test_handles_that_clients_keep_together_go_with_the_last_of_them(alice: Cluster, bob: Cluster) -> None:
    gc.collect()
    alice.backend.forget()
    bob.backend.forget()
    before = {entry.name for entry in alice.list()}
    keep = function(outputs=(jmpc.SECRET, "alice", "bob"))
    calls = together(
        lambda: alice.run(keep, X, shape_of(Y), label="drawn"), lambda: bob.run(keep, shape_of(X), Y, label="drawn")
    )
    (name,) = {entry.name for entry in alice.list()} - before
    assert name.startswith("temporary/together/")
    del calls
    gc.collect()
    alice.backend.forget()
    bob.backend.forget()  # it is gone already, which is nobody's error
    assert {entry.name for entry in alice.list()} == before


def test_clients_that_ask_for_different_things_are_told(alice: Cluster, bob: Cluster) -> None:
    keep = function(outputs=(jmpc.SECRET, "alice", "bob"))

    def refused(call: Any) -> Any:
        with pytest.raises(HandshakeError, match="do not ask for the same"):
            call()

    together(
        lambda: refused(lambda: alice.run(keep, X, shape_of(Y), label="differ", keep="one")),
        lambda: refused(lambda: bob.run(keep, shape_of(X), Y, label="differ", keep="other")),
    )


def test_a_call_that_waits_for_another_client_says_so_and_is_cancelled(alice: Cluster, three: Three) -> None:
    job = alice.submit(function(), X, shape_of(Y), label="lonely")
    until(lambda: "bob" in job.progress.waits)
    assert str(job.progress) == "waits for bob"
    with pytest.raises(DeadlineError, match="is not done"):
        job.result(0.01)
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result()
    alice.list()  # over links that nobody owes an answer
    until(lambda: all(service is None or not service.jobs.counts["gathering"] for service in three.services))


def test_cancelling_a_task_cancels_the_call(alice: Cluster, three: Three) -> None:
    async def main() -> jmpc.client.job.Job:
        job = alice.submit(function(), X, shape_of(Y), label="task")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.2)
        return job

    assert asyncio.run(main()).done()
    until(lambda: all(service is None or not service.jobs.counts["gathering"] for service in three.services))


def test_a_detached_call_goes_on_without_its_client(three: Three, bob: Cluster) -> None:
    total = jmpc.secure(lambda x, y: (x * y).sum(), inputs=HERE, outputs="alice")
    alone = jmpc.connect(three.folder, identity="alice")
    left = [len(events.named("client left")) for events in three.events]
    job = alone.submit(total, X, shape_of(Y), label="detached", leave={"alice": "later"}, detached=True)
    until(lambda: len(job.watch.parties) == 3)
    job.cancel()
    alone.close()
    until(
        lambda: all(
            len(events.named("client left")) > before for events, before in zip(three.events, left, strict=True)
        )
    )
    bob.run(total, shape_of(X), Y, label="detached", leave={"alice": "later"})
    with jmpc.connect(three.folder, identity="alice") as again:
        until(lambda: "later" in [entry.name for entry in again.list()])
        assert float(again.get("later")) == pytest.approx((X * Y).sum(), abs=1e-3)
        again.delete("later")


def test_progress_is_that_of_the_slowest_and_the_rest_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, now = Watch(), [100.0]
    monkeypatch.setattr("jmpc.client.job.time", SimpleNamespace(monotonic=lambda: now[0]))
    assert str(watch.progress) == "is prepared"
    watch.started(function().lower(X, Y).flow)
    expected = watch.progress.remaining_s
    assert expected is not None
    assert expected > 0
    for party, waits in enumerate(("for bob", "", "")):
        watch.heard(party, {"rounds": 0, "of": 10, "waits": waits})
    assert watch.progress == Progress(0, 10, "for bob", None)
    watch.heard(0, {"rounds": 2, "of": 10, "waits": ""})
    watch.heard(1, {"rounds": 3, "of": 10, "waits": ""})
    assert watch.progress.remaining_s == expected
    watch.heard(2, {"rounds": 2, "of": 10, "waits": ""})
    now[0] += 3
    for party in range(3):
        watch.heard(party, {"rounds": 5 + party, "of": 10, "waits": ""})
    assert watch.progress == Progress(5, 10, "", 5.0)
    assert str(watch.progress) == "round 5 of 10, 5 s left"


# --- parties that misbehave in a call


def running(folder: Path, answer: Any) -> Fakes:
    """Parties that take a program and its inputs, and then do as `answer` says."""

    def serve(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind == "load":
            import hashlib

            text = link.receive_bytes(fields["bytes"], jmpc.client.upload.time.monotonic() + 30)
            said = {"program": hashlib.sha256(text).hexdigest(), "allowed": True, "why": ""}
            reply(link, "loaded", said)
        elif kind == "join":
            link.receive_bytes(fields["bytes"], jmpc.client.upload.time.monotonic() + 30)
            answer(party, link, fields)
        else:
            reply(link, "listed", {"entries": [], "more": False})

    return Fakes(folder, serve)


DONE: dict[str, Any] = {"session": bytes(32), "seconds": 0.1, "rounds": 1, "sent": 1, "received": 1, "version": 0}


def test_results_that_are_not_this_clients_are_refused(tmp_path: Path) -> None:
    def answer(party: int, link: ControlLink, fields: dict[str, Any]) -> None:
        reply(link, "done", {**DONE, "outputs": [0, 1] if party == 1 else [0]}, arrays=[np.zeros(1, np.uint64)])

    with running(tmp_path, answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        with pytest.raises(PartyError, match="party 1 sends other results"):
            cluster.run(jmpc.secure(lambda x: x * 2), np.float32([1]))
        cluster.list()


def test_a_run_that_fails_is_explained_by_who_noticed(tmp_path: Path) -> None:
    def answer(party: int, link: ControlLink, fields: dict[str, Any]) -> None:
        reply(link, "progress", {"rounds": 1, "of": 2, "waits": ""})
        lost = {**failed("PeerError", "party 2 was lost"), "phase": "run", "round": 4, "peer": "party 2"}
        if party == 2:
            link.hang_up()
        else:
            reply(link, "failed", {**lost, "relayed": party == 1})

    with running(tmp_path, answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        with pytest.raises(PartyError, match="party 2 was lost") as caught:
            cluster.run(jmpc.secure(lambda x: x * 2), np.float32([1]))
        assert (caught.value.phase, caught.value.peer) in (("run", 2), ("join", 2))
