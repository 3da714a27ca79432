"""Clients that lie about tickets, sizes and names, or are quicker than they should be; and links that end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.errors import ArgumentError, PeerError, RefusedError
from jmpc.owner import dealt
from jmpc.party.program import input_type
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.failure import Place, to_abort, to_record
from jmpc.runtime.messages import encode
from jmpc.runtime.requests import NEVER, REQUESTS
from jmpc.service.jobs import Attempt, Jobs
from jmpc.service.limits import Limits
from jmpc.service.room import Room
from jmpc.service.session import Session
from jmpc.service.words import PEERS
from tests.service.raw_client import Call, RawClient, encoded, of_owner, soon
from tests.service.test_service import X, Y, assert_works, begin, doubled, failures, keep, product_for_bob, relu_call
from tests.service.three import Three

LONG = ["a" * 64, "b" * 64, "c" * 64]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    limits = Limits(waiting_s=3.0, sessions=2)
    with Three(tmp_path_factory.mktemp("liars"), ["alice", "bob", *LONG], limits) as cluster:
        yield cluster


def idle(three: Three) -> bool:
    """All parties are, or soon: a party has answered before it has put everything away."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        jobs = [service.jobs for service in three.services if service]
        left = [{**each.counts, "held": each._room.used()} for each in jobs]
        if not any(value for counts in left for value in counts.values()):
            return True
        time.sleep(0.01)
    return False


# Tickets.


def test_a_ticket_makes_one_session(three: Three, alice: RawClient) -> None:
    def same(_: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "ticket": b"once only once o"}

    assert len(alice.run(relu_call(fields=same))) == 1
    for label in ("call", "another"):
        for said in failures(alice, relu_call(label=label, fields=same)):
            assert said["error"] == "ArgumentError"
            assert "tickets" in said["what"]
    assert_works(alice)
    assert idle(three)


def test_a_ticket_that_comes_twice_at_once_confuses_no_count(three: Three, alice: RawClient) -> None:
    def same(_: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "ticket": b"twice at once oo"}

    with RawClient(three, "alice") as other:
        calls = [(alice, relu_call(label="one", fields=same)), (other, relu_call(label="two", fields=same))]
        for client, call in calls:
            client.join(call)
        kinds = []
        for client, call in calls:
            found = client.result(call)
            for party, (kind, fields) in enumerate(found):
                kinds.append(kind)
                if kind == "done":
                    client.arrays(call.flow, party, fields["outputs"])
    assert "failed" in kinds
    assert_works(alice)
    assert idle(three)


# Names.


def test_every_place_fits_into_a_message() -> None:
    place = Place(party=2, phase="output", round_no=2**32, peer=" and ".join(f"client {name}" for name in LONG))
    error = PeerError("w" * 5000, where=place, why="y" * 5000, todo=["z" * 5000] * 20)
    encode("failed", to_record(error), REQUESTS)
    encode("abort", {"session": bytes(32), **to_abort(error)}, PEERS)
    assert to_abort(error)["peer"].startswith("client aaa")


def test_a_call_of_clients_with_long_names_ends_with_a_reason(three: Three) -> None:
    a, b, c = LONG
    function = jmpc.secure(lambda x, y, z: x + y + z, inputs={"x": a, "y": b, "z": c}, outputs=a)
    flow, inputs = encoded(function, X, X, X)
    with RawClient(three, a) as client:
        for said in failures(client, Call(flow, of_owner(flow, inputs, a), label="long")):
            assert said["error"] == "DeadlineError"
            assert "did not join in time" in said["what"]
        assert_works(client)


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(three: Three, alice: RawClient) -> None:
    keep(alice, "meanwhile")
    service = three.services[0]
    assert service is not None
    values, entry = service.values, service.values.entry("meanwhile")
    version = values.next_version(["meanwhile"])
    said = values.described("meanwhile", entry.contents, "bob", expires=NEVER, version=version, created=1)
    with values.writer(said, entry.contents) as writer:
        for part in writer.parts:
            writer.write(part.name, np.zeros(part.shape, part.dtype))
        with pytest.raises(RefusedError, match="another client's"):
            values.commit(writer, ["bob"])
    assert values.entry("meanwhile").owner == "alice"


def test_consents_are_bounded_and_values_stay_listed(alice: RawClient) -> None:
    keep(alice, "often read")
    for start in (0, 900):
        programs = [f"{n:064x}" for n in range(start, start + 900)]
        fields = {"name": "often read", "allow": programs, "forbid": [], "expires": -2}
        kinds = {kind for kind, _ in alice.answers("amend", fields, "amended")}
        assert kinds == ({"amended"} if start == 0 else {"failed"})
    for kind, fields in alice.answers("values", {"after": ""}, "listed"):
        assert kind == "listed"
        assert any(row[0] == "often read" for row in fields["entries"])


# Room.


def test_a_call_whose_turn_never_comes_ends(three: Three, alice: RawClient) -> None:
    """At one party alone: it begins as many as it runs at once, and the rest waits for the party that admits."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(three, "alice")) for _ in range(3)]
        for n, client in enumerate(clients):
            client.join(relu_call(label=f"turn {n}"), parties=[1])
        for client in clients:
            kind, said = client.answer(1, "done")
            assert (kind, said["error"]) == ("failed", "DeadlineError")
    assert_works(alice)
    assert idle(three)


def test_what_no_room_is_for_is_refused_before_it_is_taken_in(
    three: Three, alice: RawClient, bob: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    mine = Call(flow, of_owner(flow, inputs, "alice"), label="held")
    for service in three.services:
        assert service is not None
        monkeypatch.setattr(service.jobs, "_limits", Limits(waiting_s=3.0, sessions=2))
        monkeypatch.setattr(service.jobs, "_room", Room(70, 3.0))
    alice.join(mine)
    for party in range(3):
        alice.links[party].receive(("progress",), time.monotonic() + 30)
    for said in failures(bob, relu_call(label="no room")):
        assert said["what"] == "too much waits"
    assert {kind for kind, _ in alice.result(mine)} == {"failed"}  # nobody came
    assert_works(bob)
    assert idle(three)
    for service in three.services:
        assert service is not None
        monkeypatch.setattr(service.jobs, "_limits", Limits(waiting_s=3.0, sessions=2, memory=10))
    for said in failures(bob, relu_call(label="large")):
        assert "more memory" in said["what"]


def test_what_a_client_left_behind_takes_its_room(
    three: Three, alice: RawClient, bob: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that go on without their clients hold their inputs until they are over; and of several calls, one client's
    hold no more than they leave to others."""
    flow, inputs = encoded(product_for_bob, X, Y)
    size = sum(array.nbytes for array in dealt(flow, 0, inputs[0])[0])
    for service in three.services:
        assert service is not None
        monkeypatch.setattr(service.jobs, "_limits", Limits(waiting_s=3.0, sessions=2))
        monkeypatch.setattr(service.jobs, "_room", Room(4 * size, 3.0))
    for number in range(2):
        with RawClient(three, "alice") as leaving:
            leaving.join(Call(flow, of_owner(flow, inputs, "alice"), label=f"left {number}", detached=True))
            for party in range(3):
                leaving.links[party].receive(("progress",), soon())
    used = [service.jobs._room.used("alice") for service in three.services if service]
    assert used == [2 * size] * 3
    for said in failures(alice, Call(flow, of_owner(flow, inputs, "alice"), label="one more")):
        assert said["what"] == "too much waits"
    bob.join(Call(flow, of_owner(flow, inputs, "bob"), label="left 0"))  # there is room for others
    assert {kind for kind, _ in bob.result(Call(flow))} == {"done"}
    until = time.monotonic() + 30
    while any(service.jobs._room.used() for service in three.services if service) and time.monotonic() < until:
        time.sleep(0.05)
    assert idle(three)


def test_who_leaves_while_its_session_begins_ends_it(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gone = threading.Event(), threading.Event()

    class Slow(Session):
        def __init__(self, *args: Any) -> None:
            begun.set()
            assert gone.wait(30)
            super().__init__(*args)

    monkeypatch.setattr("jmpc.service.jobs.Session", Slow)
    left = [len(events.named("session failed")) for events in three.events]
    leaves, parties = Jobs.leave, set[int]()

    def leave(jobs: Jobs, attempt: Attempt, why: str) -> None:
        leaves(jobs, attempt, why)
        parties.add(jobs.party)
        if len(parties) == 3:
            gone.set()

    monkeypatch.setattr(Jobs, "leave", leave)
    with RawClient(three, "alice") as alice:
        alice.join(relu_call(label="leaves"))
        assert begun.wait(30)
    assert gone.wait(30)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        failed = [len(events.named("session failed")) for events in three.events]
        if all(now > before for now, before in zip(failed, left, strict=True)):
            break
        time.sleep(0.02)
    else:
        raise AssertionError("a session went on without its client")
    assert idle(three)


def test_a_value_that_is_committed_twice_at_once_is_stored_at_all(three: Three, alice: RawClient) -> None:
    """The second commit at one party comes over another link while the first waits for its peers."""
    for number in range(3):
        name, upload = f"twice {number}", os.urandom(16)
        assert {kind for kind, _ in begin(alice, name, X, upload)} == {"writing"}
        with RawClient(three, "alice") as other:
            alice.links[0].send("commit", {"upload": upload}, soon())
            time.sleep(0.1)
            other.links[0].send("commit", {"upload": upload}, soon())
            for party in (1, 2):
                alice.links[party].send("commit", {"upload": upload}, soon())
            said = [alice.answer(party, "stored") for party in range(3)]
            again = other.answer(0, "stored")
        assert {kind for kind, _ in said} == {"stored"}, said
        assert again == said[0]


def test_calls_expire_also_while_clients_come_in(three: Three, alice: RawClient) -> None:
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            with RawClient(three, "bob", greet=False):
                pass

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        flow, inputs = encoded(product_for_bob, X, Y)
        for said in failures(alice, Call(flow, of_owner(flow, inputs, "alice"), label="lonely")):
            assert said["error"] == "DeadlineError"
    finally:
        stop.set()
        knocking.join()


def test_uploads_that_begin_at_once_count_one_another(three: Three) -> None:
    service = three.services[0]
    assert service is not None
    with ExitStack() as stack:
        for _ in range(service.limits.uploads):
            stack.enter_context(service.uploads._room("alice", key := os.urandom(16)))
        with pytest.raises(RefusedError, match="too many"), service.uploads._room("alice", os.urandom(16)):
            pass
        with pytest.raises(ArgumentError, match="another link"), service.uploads._room("bob", key):
            pass
        stack.enter_context(service.uploads._room("bob", os.urandom(16)))
    assert service.uploads._beginning == {}


def test_a_claim_of_more_than_any_disk_has_allocates_nothing(three: Three, alice: RawClient) -> None:
    flow, _ = encoded(doubled, X)
    t = input_type(flow.share.body.params[0].type)
    for size in (1 << 45, 1 << 57):
        leaf = Leaf("", "float32", t.with_(shape=(size,)))
        fields = {"upload": os.urandom(16), "name": "huge", "contents": Contents("aby3", 64, 18, (leaf,)).text}
        found = alice.answers("put", {**fields, "programs": [], "expires": NEVER}, "writing")
        assert {kind for kind, _ in found} == {"failed"}, found
        assert all(said["error"] != "PartyError" for _, said in found), found
    assert_works(alice)


# Links.


def test_the_end_of_one_link_ends_no_session_of_another(three: Three, alice: RawClient) -> None:
    service = three.services[0]
    assert service is not None
    link = service.peers.link(1)
    stale = type(link)(1, link.certificate, link.duplex, link.secret, link.lines, link.sessions)
    alice.join(relu_call(label="over another link"), parties=[0, 1])
    alice.links[0].receive(("progress",), time.monotonic() + 30)
    service.jobs.lost(stale, "it was replaced before")
    kind, said = alice.answer(0, "done")
    assert (kind, said["error"]) != ("failed", "PeerError"), said
    alice.answer(1, "done")
    lost = len(three.events[0].named("peer lost"))
    service.peers._ended(stale, "nobody stood on it")
    assert len(three.events[0].named("peer lost")) == lost
    assert_works(alice)


def test_who_waits_for_a_line_hears_of_an_abort(three: Three) -> None:
    class NoLine:
        """Lines on which none comes."""

        def wait(self, number: int, deadline: float) -> Any:
            raise TimeoutError

    class Link:
        lines = NoLine()

    session = Session(1, FakeJob(), {0: Link()}, bytes(32), None, None, 3600.0, 3600.0)  # type: ignore
    session.heard(0, "offer", {"line": 7})
    session.fail(PeerError("party 2 was lost"))
    with pytest.raises(PeerError, match="party 2 was lost"):
        session._line(0, time.monotonic() + 3600.0)
    os.close(session._alarm_read)
    os.close(session._alarm_write)


class FakeJob:
    session = bytes(32)


def test_a_party_that_stops_says_goodbye_once(tmp_path: Path) -> None:
    with Three(tmp_path, ["alice"]) as cluster:
        cluster.stop(1)
        cluster.events[0].wait("peer lost", peer="party 1")
        cluster.start(1)
        cluster.wait()
        assert len(cluster.events[0].named("peer lost")) == 1
