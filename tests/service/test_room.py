"""Room for inputs: whom a large call keeps out, how long it may be sent, and when what it held is free."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.runtime.control import ControlLink
from jmpc.service.clients import Conversation
from jmpc.service.job import Job
from jmpc.service.limits import Limits
from jmpc.service.room import Holding, Room
from tests.service.raw_client import Call, RawClient, encoded, soon
from tests.service.test_service import assert_works, failures, relu_call
from tests.service.three import Three


def taken(room: Room, client: str, size: int) -> Holding:
    found = room.take(client, size)
    assert isinstance(found, Holding), found
    return found


def refused(room: Room, client: str, size: int) -> bool:
    return isinstance(room.take(client, size), str)


@pytest.mark.parametrize("size", [51, 99, 100])
def test_a_large_call_leaves_half_of_the_room_to_others(size: int) -> None:
    room = Room(100, 5.0)
    large = taken(room, "alice", size)
    assert (room.used(), room.used("alice"), large.large) == (50, 50, True)
    assert refused(room, "alice", 1)  # it leaves to others as much as it has
    assert refused(room, "bob", 51)  # one at a time
    taken(room, "bob", 50)
    assert refused(room, "carol", 1)
    large.here = False
    assert room.used() == 50
    taken(room, "carol", 100)


def test_a_large_call_comes_beside_others_that_have_half() -> None:
    room = Room(100, 5.0)
    small = [taken(room, client, 10) for client in ("alice", "bob", "carol", "dan", "eve")]
    taken(room, "frank", 100)
    for holding in small:
        holding.here = False
    assert room.used() == 50
    room = Room(100, 5.0)
    taken(room, "alice", 50)
    taken(room, "bob", 1)
    assert refused(room, "frank", 51)


@pytest.mark.parametrize("size", [1, 50, 51, 101])
def test_what_is_larger_than_the_room_comes_alone(size: int) -> None:
    room = Room(100, 5.0)
    first = taken(room, "alice", size)
    assert refused(room, "bob", 101)
    first.here = False
    alone = taken(room, "bob", 101)
    assert refused(room, "alice", size)
    assert refused(room, "alice", 0)
    alone.here = False
    taken(room, "alice", size)


def test_calls_that_are_not_large_share_the_room_as_they_come() -> None:
    room = Room(100, 5.0)
    taken(room, "alice", 40)
    taken(room, "bob", 40)
    taken(room, "carol", 20)
    assert refused(room, "dan", 1)
    room = Room(100, 5.0)
    taken(room, "alice", 20)
    taken(room, "alice", 30)  # 50, and as many are left
    assert refused(room, "alice", 1)


def test_a_large_call_is_in_a_hurry_from_the_first_refusal_of_another() -> None:
    room = Room(100, 1000.0)
    large, before = taken(room, "alice", 60), time.monotonic()
    assert refused(room, "alice", 60)
    small = taken(room, "bob", 50)
    assert large.until == math.inf
    assert refused(room, "carol", 1)
    until = large.until
    assert before + 1000.0 <= until <= time.monotonic() + 1000.0
    assert refused(room, "bob", 60)
    assert (large.until, small.until) == (until, math.inf)


# At parties.


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("room"), ["alice", "bob"], Limits(waiting_s=20.0)) as cluster:
        yield cluster


def rooms(three: Three, monkeypatch: pytest.MonkeyPatch, most: int, patience_s: float) -> list[Room]:
    """New ones at all parties."""
    made = [Room(most, patience_s) for _ in range(3)]
    for service, room in zip(three.services, made, strict=True):
        assert service is not None
        monkeypatch.setattr(service.jobs, "_room", room)
    return made


def settles(found: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not found() and time.monotonic() < until:
        threading.Event().wait(0.01)
    return found()


class HeldBack:
    """A link over which a call's arrays go one by one."""

    def __init__(self, link: ControlLink) -> None:
        self._link, self._rest = link, list[np.ndarray]()

    def send(self, kind: str, fields: dict[str, Any], until: float, arrays: Sequence[np.ndarray] = ()) -> None:
        self._rest = list(arrays)
        self._link.send(kind, fields, until)

    def go_on(self) -> None:
        self._link.send_arrays([self._rest.pop(0)], soon())

    @property
    def left(self) -> int:
        return len(self._rest)


def begun(client: RawClient, call: Call) -> list[HeldBack]:
    """A call of which the first array is sent."""
    program, links = client.load(call.flow), client.links
    held = [HeldBack(link) for link in links]
    client.links = held  # type: ignore[assignment]
    client.join(call, program=program)
    client.links = links
    for link in held:
        link.go_on()
    return held


@pytest.mark.parametrize("late", [True, False])
def test_a_large_call_that_comes_slowly_makes_way_for_another(
    three: Three, alice: RawClient, bob: RawClient, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """And small ones run beside it. Once it is in nobody's way, or is there in time, it may be sent as slowly."""
    small = jmpc.secure(lambda x: x * 2.0)
    flow, inputs = encoded(small, np.float32([3.0]))
    found = rooms(three, monkeypatch, 100, -1.0 if late else 1000.0)
    call = relu_call(label="slow")  # 96 bytes, in four arrays
    held = begun(alice, call)
    assert settles(lambda: [room.used("alice") for room in found] == [50] * 3)
    assert len(bob.run(Call(flow, inputs, label="small"))) == 1
    for said in failures(bob, relu_call(label="large too")):
        assert said["what"] == "too much waits"
    while held[0].left:
        for link in held:
            link.go_on()
    for party, (kind, said) in enumerate(alice.result(call)):
        if late:
            assert (kind, said["error"]) == ("failed", "RefusedError")
            assert said["what"] == "the inputs of this call come too slowly"
            assert "cluster.put" in said["todo"][0]
        else:
            assert kind == "done"
            alice.arrays(call.flow, party, said["outputs"])
    assert settles(lambda: [room.used() for room in found] == [0] * 3)
    assert_works(alice)  # the links are in step
    assert_works(bob)


def test_what_a_call_held_is_free_before_its_result_is_read(
    three: Three, alice: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, deliver = rooms(three, monkeypatch, 1000, 5.0), Conversation._deliver
    used = dict[int, tuple[int, int]]()

    def delivered(conversation: Conversation, job: Job) -> None:
        party = conversation._party
        used[party] = found[party].used(), len(job.joins)
        deliver(conversation, job)

    monkeypatch.setattr(Conversation, "_deliver", delivered)
    assert_works(alice)
    assert used == dict.fromkeys(range(3), (0, 0))


def test_what_a_detached_call_held_goes_when_it_is_over_and_nobody_asks(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rooms(three, monkeypatch, 1000, 5.0)
    with RawClient(three, "alice") as leaving:
        leaving.join(relu_call(label="left behind", detached=True))
        assert settles(lambda: all(room._held for room in found) or not any(room._held for room in found))
    assert settles(lambda: [room._held for room in found] == [[]] * 3)
