"""Links that many sessions talk over: what is taken in at once is bounded, and a receiver that breaks ends its link."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jmpc.runtime import duplex
from jmpc.runtime.duplex import PING, Duplex
from jmpc.runtime.messages import Vocabulary
from jmpc.runtime.schema import integer, octets

from .helpers import LONG_S, authority_and, party_identity, tls_pair

WORDS = Vocabulary({PING: {}, "count": {"n": integer(0, 10**6), "rest": octets(10_000)}}, most_bytes=1 << 14)


class End:
    """One end, and what it heard."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.heard: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.lost: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.held = threading.Event()
        self.held.set()
        self.duplex = Duplex(sock, "the peer", WORDS, self._receive, self.lost.put)
        self.duplex.start()

    def _receive(self, _: str, fields: dict[str, Any]) -> None:
        self.held.wait()
        if fields["n"] == 13:
            raise KeyError("whose text nobody sees")
        self.heard.put(fields["n"])


@pytest.fixture
def ends() -> Iterator[list[End]]:
    names = [party_identity(0), party_identity(1)]
    credentials = authority_and(*names)
    socks = tls_pair(credentials[0], credentials[1], names[1], [names[0]])
    made = [End(sock) for sock in socks if isinstance(sock, ssl.SSLSocket)]
    assert len(made) == 2
    yield made
    for end in made:
        end.held.set()
        end.duplex.close()


def test_messages_come_in_order_however_many_wait(ends: list[End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplex, "_MOST_AT_ONCE", 1000)  # less than one record: what TLS holds must be asked for
    for n in range(14, 314):
        ends[0].duplex.send("count", {"n": n, "rest": bytes(9000)})
    assert [ends[1].heard.get(timeout=LONG_S) for _ in range(300)] == list(range(14, 314))


def test_what_is_taken_in_while_a_receiver_is_slow_is_bounded(ends: list[End]) -> None:
    ends[1].held.clear()
    ends[0].duplex.send("count", {"n": 1, "rest": b""})
    for n in range(14, 414):
        ends[0].duplex.send("count", {"n": n, "rest": bytes(9000)})
    ends[1].held.set()
    most = 0
    for _ in range(401):
        ends[1].heard.get(timeout=LONG_S)
        most = max(most, len(ends[1].duplex._came))
    assert most <= duplex._MOST_AT_ONCE + duplex._READ_BYTES


def test_a_receiver_that_breaks_ends_the_link(ends: list[End]) -> None:
    ends[0].duplex.send("count", {"n": 13, "rest": b""})
    why = ends[1].lost.get(timeout=LONG_S)
    assert "KeyError" in why
    assert "nobody sees" not in why
    assert ends[0].lost.get(timeout=LONG_S)
    assert not ends[1].duplex.alive
