"""Sessions at once: as right as one after the other, whoever is delayed; and a client that asks for much waits its
turn."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.service.limits import Limits
from jmpc.testing.faults.injection import Injection, Way
from jmpc.testing.faults.relay import Relay
from tests.service.raw_client import Call, RawClient, encoded
from tests.service.test_service import assert_works, relu_call
from tests.service.three import Three

AT_ONCE, CALLS = 8, 6
MANY = 100


@jmpc.secure
def exact(x: Any, y: Any) -> Any:
    """Of integers: every bit of the result is known."""
    return jnp.maximum(x * y, 3) - y


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_sessions_at_once_give_what_they_give_one_after_the_other(tmp_path: Path, quick_switches: None) -> None:
    relay, draw, lock = Relay(Injection()), random.Random(8), threading.Lock()

    def delay(way: Way, round_no: int) -> None:
        with lock:
            pause = draw.random() ** 4 * 0.02
        threading.Event().wait(pause)

    relay.watch = delay
    inputs = np.random.default_rng(8).integers(-1000, 1000, (AT_ONCE * CALLS, 2, 5)).astype(np.int32)
    calls = [encoded(exact, *pair) for pair in inputs]
    with Three(tmp_path, ["alice", "bob"], Limits(sessions=AT_ONCE), round_s=60.0, relay=relay) as three:

        def some(first: int, count: int) -> list[np.ndarray]:
            found = []
            with RawClient(three, ("alice", "bob")[first % 2]) as client:
                for n in range(first, first + count):
                    flow, given = calls[n]
                    (result,) = client.run(Call(flow, given, label=f"call {n}")).values()
                    found.append(result.astype(np.uint32).view(np.int32))
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            at_once = [row for rows in pool.map(some, range(0, len(calls), CALLS), [CALLS] * AT_ONCE) for row in rows]
        relay.watch = None
        serial = some(0, len(calls))
    relay.close()
    np.testing.assert_array_equal(at_once, serial)
    np.testing.assert_array_equal(at_once, np.maximum(inputs[:, 0] * inputs[:, 1], 3) - inputs[:, 1])


def test_a_client_with_many_calls_does_not_starve_another(tmp_path: Path) -> None:
    """One session at a time, the first held up until all wait: the other client's call is among the next two."""
    relay, go = Relay(Injection()), threading.Event()

    def hold(way: Way, round_no: int) -> None:
        assert go.wait(120)

    relay.watch = hold
    with Three(tmp_path, ["alice", "bob"], Limits(sessions=1, links=400), round_s=120.0, relay=relay) as three:
        with RawClient(three, "alice") as warm:
            go.set()
            assert_works(warm)
            go.clear()
            events = three.events[0]
            program = warm.load(relu_call().flow)
            for n in range(MANY):
                with RawClient(three, "alice") as client:
                    client.join(relu_call(label=f"alice {n}", detached=True), program=program)
                    waits(three, n + 2)
            with RawClient(three, "bob") as bob:
                bob.join(relu_call(label="bob"), program=program)
                waits(three, MANY + 2)
                began = len(events.named("session started"))
                go.set()
                assert [bob.answer(party, "done")[0] for party in range(3)] == ["done"] * 3
                started = [said["clients"] for said in events.named("session started")][began:]
                assert "bob" in started[:2], started
        relay.watch = None
        for service in three.services:
            assert service is not None
            while service.jobs.counts["running"] + service.jobs.counts["queued"]:
                threading.Event().wait(0.02)
        assert all(len(said.named("session finished")) == MANY + 2 for said in three.events)
    relay.close()


def waits(three: Three, count: int) -> None:
    """Until every party has heard of so many calls."""
    for events in three.events:
        with events._more:
            assert events._more.wait_for(lambda e=events: len(e.named("session waiting")) >= count, 60)
