"""Who gets a place: no call holds one of those that are kept for calls that all parties have, whoever asks for it at
party 0 alone; and a call costs an idle cluster no word more than its offers."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jmpc.runtime.duplex import PING, Duplex
from jmpc.runtime.requests import TICKET_BYTES
from jmpc.service.letters import HAS, Letters
from jmpc.service.limits import Limits
from jmpc.service.peers import PeerLink
from tests.service.raw_client import RawClient, soon
from tests.service.test_service import X, Y, assert_works, relu_call, relu_product
from tests.service.three import Three

MANY, CALLS = 100, 6
LONG_S = 300.0  # no deadline ends what holds a place in these tests


def ask(three: Three, client: str, parties: Sequence[int], count: int, label: str) -> None:
    """Calls that some parties hear of, and the others never do."""
    call = relu_call(detached=True)
    with RawClient(three, client) as asking, ExitStack() as opened:
        program = asking.load(call.flow)
        for n in range(count):
            for party in parties:  # a link serves one call at a time
                opened.callback(asking.links[party].close)
                asking.links[party] = link = asking.dial(party)
                link.send("hello", asking.hello(), soon())
                link.receive(("hello",), soon())
            asking.join(dataclasses.replace(call, label=f"{label} {n}"), parties=parties, program=program)
        for party in parties:
            with three.events[party]._more:
                assert three.events[party]._more.wait_for(lambda at=party: waits(three, at, client) >= count, 60)


def waits(three: Three, party: int, client: str) -> int:
    return sum(said["clients"] == client for said in three.events[party].named("session waiting"))


def admitted(three: Three, client: str) -> int:
    return sum(said["clients"] == client for said in three.events[0].named("session started"))


@pytest.mark.parametrize("sessions", [1, 4])
def test_who_asks_party_0_alone_holds_half_of_the_places_at_most(tmp_path: Path, sessions: int) -> None:
    limits = Limits(sessions=sessions, links=400, waiting_s=LONG_S, waiting=2 * (MANY - sessions // 2))
    with Three(tmp_path, ["mallory", "bob"], limits, round_s=LONG_S) as three:
        ask(three, "mallory", [0], MANY, "nobody else")
        held = admitted(three, "mallory")
        assert held == sessions // 2
        with RawClient(three, "mallory") as mallory:  # half of those that may wait are its own
            mallory.join(relu_call(label="one more"), parties=[0])
            kind, fields = mallory.answer(0, "done")
            assert (kind, fields["error"], fields["what"]) == ("failed", "RefusedError", "too many calls wait")
        with RawClient(three, "bob") as bob:
            for _ in range(CALLS):
                assert_works(bob)
        assert admitted(three, "mallory") == held  # not one was let past while bob called
        assert admitted(three, "bob") == CALLS


@pytest.mark.parametrize("parties", [[0, 2], [1, 2]])
def test_a_call_that_a_party_does_not_have_keeps_nobody_waiting(tmp_path: Path, parties: list[int]) -> None:
    limits = Limits(sessions=2, links=400, waiting_s=LONG_S)
    with Three(tmp_path, ["mallory", "bob"], limits, round_s=LONG_S) as three:
        ask(three, "mallory", parties, 8, "not everywhere")
        assert admitted(three, "mallory") <= 1
        with RawClient(three, "bob") as bob:
            for _ in range(CALLS):
                assert_works(bob)
        assert admitted(three, "mallory") <= 1


def test_what_only_party_0_has_holds_half_of_the_memory_at_most(tmp_path: Path) -> None:
    limits = Limits(sessions=8, waiting_s=LONG_S)
    with Three(tmp_path, ["mallory", "bob"], limits, round_s=LONG_S) as three, RawClient(three, "bob") as bob:
        assert_works(bob)
        need = three.events[0].named("session started")[0]["memory"]
        jobs = three.services[0].jobs  # type: ignore[union-attr]
        jobs._limits = dataclasses.replace(limits, memory=3 * int(need))  # type: ignore[arg-type]
        ask(three, "mallory", [0], 5, "large")
        assert admitted(three, "mallory") == 1
        assert_works(bob)


def test_an_idle_cluster_says_no_word_more_than_its_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Counter[str] = Counter()
    send = Duplex.send

    def counted(self: Duplex, kind: str, fields: Any) -> None:
        said[kind] += kind != PING
        send(self, kind, fields)

    monkeypatch.setattr(Duplex, "send", counted)
    with Three(tmp_path, ["alice"], Limits(sessions=8)) as three, RawClient(three, "alice") as alice:
        said.clear()
        for _ in range(CALLS):
            assert_works(alice)
        assert +said == {"offer": 6 * CALLS}
        for events in three.events:
            rounds = {fields["rounds"] for fields in events.named("session finished")}
            assert rounds == {relu_product.lower(X, Y).cost().rounds}


def test_a_call_that_was_given_up_at_a_peer_ends_where_it_comes_later(tmp_path: Path) -> None:
    """It is no call that waits until it is too late for it."""
    limits, ticket = Limits(sessions=1, waiting_s=LONG_S), os.urandom(TICKET_BYTES)
    with Three(tmp_path, ["alice", "bob"], limits, round_s=LONG_S) as three, RawClient(three, "alice") as alice:
        program = alice.load(relu_call().flow)
        with RawClient(three, "alice") as early:
            early.join(relu_call(), parties=[1], program=program, ticket=ticket)
            three.events[1].wait("session waiting")
        three.events[1].wait("session failed")
        three.events[0].wait("peer connected")
        alice.join(relu_call(), parties=[0], program=program, ticket=ticket)
        kind, fields = alice.answer(0, "done")
        assert (kind, fields["what"]) == ("failed", "party 1 aborted the session")
        with RawClient(three, "bob") as bob:
            assert_works(bob)


def test_a_call_that_waits_ends_with_the_link_over_which_it_was_spoken_of(tmp_path: Path) -> None:
    """Party 1 has it, party 2 never will: when party 1 is gone, neither party 0 nor anybody waits for it."""
    limits = Limits(sessions=1, waiting_s=LONG_S)
    with Three(tmp_path, ["alice"], limits, round_s=LONG_S) as three, RawClient(three, "alice") as alice:
        program = alice.load(relu_call().flow)
        alice.join(relu_call(), parties=[0, 1], program=program)
        three.events[1].wait("session started")
        jobs = three.services[0].jobs  # type: ignore[union-attr]
        with jobs._lock:
            (session,) = jobs._waiting
        while 1 not in jobs._letters.who(session, HAS):
            three.events[1].wait("session started")
        three.stop(1, 0.0)
        kind, fields = alice.answer(0, "done")
        assert kind == "failed"
        assert fields["error"] in ("PeerError", "PartyError")
        assert "party 1" in fields["what"]


def test_letters_are_bounded_for_each_link_and_forgotten_with_it() -> None:
    nothing: Any = None
    one, two = (PeerLink(peer, b"", nothing, nothing, nothing, 8) for peer in (1, 2))
    letters, first = Letters(keep_s=LONG_S), b"said by one that says little"
    letters.keep(first, two, "ready", {})
    for n in range(10_100):
        letters.keep(n.to_bytes(4, "big"), one, "ready", {})
    assert len(letters._said[one]) <= 10_001
    assert letters.who(first, HAS) == {2}
    last = (10_099).to_bytes(4, "big")
    for n in range(50):
        letters.keep(last, one, "offer", {"line": n})
    letters.keep(last, two, "offer", {"line": 3})
    assert letters.who(last, HAS) == {1, 2}
    assert letters.aborted(last) is None
    assert letters.lost(two) == {first, last}
    assert letters.who(first, HAS) == set()
    assert letters.take(last) == [(one, "ready", {}), (one, "offer", {"line": 0})]
    assert letters.take(last) == []
    gone = Letters(keep_s=-1.0)
    gone.keep(b"a", one, "ready", {})
    gone.keep(b"b", one, "abort", {})
    assert gone.who(b"a", HAS) == set()
    assert gone.aborted(b"b") == (one, "abort", {})
