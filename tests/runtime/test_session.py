"""One session between three parties in this process, over real TLS and sockets: agreeing and giving up."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from jmpc.errors import HandshakeError, JMPCError, PartyError, PeerError
from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.door import BACKLOG
from jmpc.runtime.handshake import Terms, library_version
from jmpc.runtime.identity import DRIVER, party_identity
from jmpc.runtime.join import config_hash, dial, join, roster_hash
from jmpc.runtime.session import Neighbourhood, Outcome, Session
from jmpc.runtime.tls import Endpoint

from .helpers import LONG_S, together
from .ring_engine import RingEngine


class Trio:
    """Three parties and the driver's ends of their links, joined as processes join."""

    def __init__(self, deadline_s: float = LONG_S) -> None:
        authority = CertificateAuthority()
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) for _ in range(3)]
        self.addresses = [listener.getsockname() for listener in self.listeners]
        shared = roster_hash(self.addresses, authority.pem)
        self.terms = Terms(config_hash("m:f", deadline_s), shared, version=library_version())
        self.deadline_s = deadline_s
        self.ends = [Endpoint(authority.issue(party_identity(party))) for party in range(3)]
        self.driver_end = Endpoint(authority.issue(DRIVER))
        self.engines = [RingEngine(party) for party in range(3)]
        self.program = {engine.load("sum") for engine in self.engines}.pop()
        for engine in self.engines:
            engine.compile(self.program)
        self.here: list[Neighbourhood] = []
        self.driver: list = []

    def join(self, other: dict[int, Terms] | None = None) -> list[object]:
        """Everybody joins; each result is the party's neighbourhood, or its error."""
        deadline = time.monotonic() + self.deadline_s
        other = other or {}

        def party(me: int) -> Neighbourhood:
            terms = other.get(me, self.terms)
            links = join(me, self.listeners[me], self.addresses, self.ends[me], terms, deadline)
            peers = {peer: links[party_identity(peer)] for peer in range(3) if peer != me}
            return Neighbourhood(me, peers, links[DRIVER], self.listeners[me], self.addresses, terms, self.deadline_s)

        def driver() -> None:
            for me in range(3):
                link = dial(self.addresses[me], party_identity(me), self.driver_end, self.terms, None, deadline)
                self.driver.append(link)

        results = together([*(lambda me=me: party(me) for me in range(3)), driver])
        self.here = [result for result in results if isinstance(result, Neighbourhood)]
        return results

    def run(self, sessions: list[Session]) -> list[object]:
        """Run one session at each party; each result is its outcome, or its error after giving up."""

        def party(me: int) -> Outcome:
            try:
                return sessions[me].run(self.engines[me], [np.full(3, me + 1, np.uint64)])
            except JMPCError as exc:
                raise sessions[me].give_up(exc) from exc

        return together([lambda me=me: party(me) for me in range(3)])

    def sessions(self, epoch: int) -> list[Session]:
        session = os.urandom(32)
        return [Session(here, epoch, session, self.program) for here in self.here]

    def close(self) -> None:
        for here in self.here:
            here.drop_bulk()
            for link in (*here.peers.values(), here.driver):
                link.close()
        for thing in (*self.listeners, *self.driver):
            thing.close()


@pytest.fixture
def trio() -> Iterator[Trio]:
    made = Trio()
    assert not any(isinstance(result, Exception) for result in made.join())
    yield made
    made.close()


def all_right(results: list[object]) -> bool:
    for result in results:
        assert isinstance(result, Outcome), result
        np.testing.assert_array_equal(result.outputs[0], [6, 6, 6])
    return True


def test_sessions_follow_one_another_on_the_same_sockets(trio: Trio) -> None:
    assert all_right(trio.run(trio.sessions(1)))
    sockets = [dict(here.bulk) for here in trio.here]
    assert all_right(trio.run(trio.sessions(2)))
    assert [here.bulk for here in trio.here] == sockets


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("program", lambda here, terms: Session(here, 1, b"s" * 32, "ab" * 32)),
        ("session", lambda here, terms: Session(here, 1, b"t" * 32, terms)),
        ("config", lambda here, terms: Session(_with(here, config="ab" * 32), 1, b"s" * 32, terms)),
        ("roster", lambda here, terms: Session(_with(here, roster="ab" * 32), 1, b"s" * 32, terms)),
        ("version", lambda here, terms: Session(_with(here, version="9"), 1, b"s" * 32, terms)),
        ("protocol", lambda here, terms: Session(_with(here, protocol=9), 1, b"s" * 32, terms)),
    ],
)
def test_one_other_term_at_one_party_stops_all_before_the_engine_runs(trio: Trio, field: str, change) -> None:
    sessions = [Session(here, 1, b"s" * 32, trio.program) for here in trio.here]
    sessions[1] = change(trio.here[1], trio.program)
    results = trio.run(sessions)
    for party, result in enumerate(results):
        assert isinstance(result, PartyError)
        assert f"party {party}, phase handshake" in str(result)
    named = [result for result in results if isinstance(result, HandshakeError)]
    assert named
    assert all(f"disagrees on {field}" in str(result) for result in named)
    assert not any(here.bulk for here in trio.here)
    assert all_right(trio.run(trio.sessions(2)))


def _with(here: Neighbourhood, **changes: object) -> Neighbourhood:
    return replace(here, terms=replace(here.terms, **changes))


def test_words_of_an_earlier_session_are_dropped(trio: Trio) -> None:
    """Party 1 gives up before the others begin; later sessions find its abort and its offer in the way."""
    early = trio.sessions(1)
    early[1].give_up(PartyError("no input"))
    results = trio.run(trio.sessions(2))
    assert all_right(results)


def test_a_party_that_gives_up_before_the_run_stops_the_others(trio: Trio) -> None:
    sessions = trio.sessions(1)
    sessions[1].give_up(PartyError("no input"))

    def party(me: int) -> Outcome:
        return sessions[me].run(trio.engines[me], [])

    for result in together([lambda: party(0), lambda: party(2)]):
        assert isinstance(result, PartyError)
        assert "party 1 aborted the session" in str(result)
    assert sessions[0].relayed
    assert sessions[2].relayed


def test_a_driver_that_goes_away_ends_a_waiting_round(trio: Trio) -> None:
    trio.driver[0].close()
    results = trio.run(trio.sessions(1))
    assert isinstance(results[0], PeerError)
    assert "driver was lost" in str(results[0])
    assert isinstance(results[1], PartyError)  # it waits for party 0; party 2 may have all it needs by then


@pytest.mark.parametrize("field", ["config", "roster", "version", "protocol"])
def test_a_party_with_other_terms_cannot_join(field: str) -> None:
    made = Trio(deadline_s=4.0)  # party 0 and the driver wait for party 2 in vain, to the deadline
    value = 9 if field == "protocol" else "ab" * 32
    results = made.join({2: replace(made.terms, **{field: value})})
    made.close()
    named = [result for result in results if isinstance(result, HandshakeError)]
    assert len(named) >= 2
    assert all(f"disagrees on {field}" in str(result) for result in named)
    assert not made.here
