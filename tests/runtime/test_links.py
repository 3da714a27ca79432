"""Bulk links under an attacker who holds the wire, and the binding of sockets to peers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from jmpc.errors import DeadlineError, FrameError, PeerError
from jmpc.runtime.binding import Binder
from jmpc.runtime.frames import FRAME_BYTES, OVERHEAD_BYTES
from jmpc.runtime.keys import pair_keys

from .helpers import LONG_S, bulk_link, tcp_pair, together

SIZE = FRAME_BYTES + 1000  # two frames
FIRST, TOTAL = FRAME_BYTES + OVERHEAD_BYTES, SIZE + 2 * OVERHEAD_BYTES


def wire(data: np.ndarray) -> bytes:
    """The bytes of one message, as the first of its link."""
    one, other = tcp_pair()
    with one, other:
        link = bulk_link(one, 0, 1)
        link.begin_send(0, [data])
        taken = b""
        while len(taken) < TOTAL:
            link.pump_send()
            taken += other.recv(1 << 20)
    return taken


def read(stream: bytes) -> np.ndarray:
    """What party 1 makes of `stream`, after which the wire is cut."""
    one, other = tcp_pair()
    with one, other:
        link = bulk_link(other, 1, 0)
        got = np.empty(SIZE, np.uint8)
        link.begin_receive(0, [got])
        view, closed = memoryview(stream), False
        one.setblocking(False)
        while not link.pump_receive():
            if len(view):
                try:
                    view = view[one.send(view) :]
                except BlockingIOError:
                    continue
            elif not closed:
                one.shutdown(socket.SHUT_WR)
                closed = True
    return got


DATA = (np.arange(SIZE) % 251).astype(np.uint8)


@pytest.fixture(scope="module")
def stream() -> bytes:
    return wire(DATA)


def test_an_honest_stream_arrives(stream: bytes) -> None:
    np.testing.assert_array_equal(read(stream), DATA)


ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "swap": lambda s: s[FIRST:] + s[:FIRST],
    "repeat": lambda s: s[:FIRST] + s[:FIRST] + s[FIRST:],
    "skip": lambda s: s[FIRST:],
    "flip in the first frame": lambda s: s[:999] + bytes([s[999] ^ 1]) + s[1000:],
    "flip in the last tag": lambda s: s[:-1] + bytes([s[-1] ^ 1]),
    "one byte too many between": lambda s: s[:FIRST] + b"\0" + s[FIRST:],
    "one byte lost": lambda s: s[:500] + s[501:],
}


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_an_attack_on_the_stream_is_refused(stream: bytes, attack: str) -> None:
    with pytest.raises(FrameError):
        read(ATTACKS[attack](stream))


@pytest.mark.parametrize("size", [0, 10, FIRST - 1, FIRST, TOTAL - 1])
def test_a_cut_stream_is_a_lost_peer(stream: bytes, size: int) -> None:
    with pytest.raises(PeerError, match="party 0 was lost"):
        read(stream[:size])


def binders(session: bytes, deadline_s: float = LONG_S) -> list[Binder]:
    secrets = [bytes([party]) * 32 for party in range(3)]
    made = []
    for me in range(3):
        keys = {
            peer: pair_keys(me, peer, secrets[me], secrets[peer], session, "ab" * 32)
            for peer in ((me + 1) % 3, (me - 1) % 3)
        }
        made.append(Binder(me, session, keys, sockets[me], time.monotonic() + deadline_s))
    return made


sockets: list[dict[int, socket.socket]] = [{}, {}, {}]


@pytest.fixture
def listeners():
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield made
    for sock in [*made, *(sock for row in sockets for sock in row.values())]:
        sock.close()
    for row in sockets:
        row.clear()


def bind_all(listeners: list[socket.socket], session: bytes, deadline_s: float = LONG_S) -> list[object]:
    addresses = [listener.getsockname() for listener in listeners]
    made = binders(session, deadline_s)
    return together([lambda me=me: made[me].links(listeners[me], addresses) for me in range(3)])


def test_sockets_are_made_once_and_bound_anew_for_each_session(listeners: list[socket.socket]) -> None:
    for links in bind_all(listeners, b"s" * 32):
        assert isinstance(links, dict)
    before = [dict(row) for row in sockets]
    for links in bind_all(listeners, b"t" * 32):
        assert isinstance(links, dict)
    assert sockets == before
    assert all(len(row) == 2 for row in before)


def test_strangers_and_old_sessions_at_the_listener_are_dropped(listeners: list[socket.socket]) -> None:
    strangers = [socket.create_connection(listeners[2].getsockname()) for _ in range(3)]
    strangers[0].sendall(b"GET / HTTP/1.1\r\n" + b"x" * 100)
    strangers[1].close()
    strangers[2].sendall(binders(b"o" * 32)[0]._writers[2].bind())
    results = bind_all(listeners, b"s" * 32)
    for sock in strangers:
        sock.close()
    assert all(isinstance(links, dict) for links in results)


def test_a_bind_frame_counts_once(listeners: list[socket.socket]) -> None:
    """Who repeats a peer's frame on a connection of his own gets nothing: the peer that lacks one is waited for."""
    made = binders(b"s" * 32)
    addresses = [listener.getsockname() for listener in listeners]
    first, again, other = (socket.create_connection(addresses[2]) for _ in range(3))
    frame = made[0]._writers[2].bind()
    first.sendall(frame)
    again.sendall(frame)
    other.sendall(made[1]._writers[2].bind())
    links = made[2].links(listeners[2], addresses)
    assert {peer: links[peer].sock.getpeername() for peer in links} == {
        0: first.getsockname(),
        1: other.getsockname(),
    }
    assert again.recv(1) == b""
    for sock in (first, again, other):
        sock.close()


def test_a_socket_bound_to_another_session_is_refused(listeners: list[socket.socket]) -> None:
    bind_all(listeners, b"s" * 32)
    made = binders(b"t" * 32)
    made[0] = binders(b"u" * 32)[0]
    addresses = [listener.getsockname() for listener in listeners]
    results = together([lambda me=me: made[me].links(listeners[me], addresses) for me in range(3)])
    assert all(isinstance(result, FrameError) for result in results)
    assert "session" in str(results[0])
    assert "phase handshake" in str(results[0])


def test_a_peer_that_never_dials_meets_the_deadline(listeners: list[socket.socket]) -> None:
    made = binders(b"s" * 32, 0.2)
    with pytest.raises(DeadlineError, match="party 1, phase handshake"):
        made[1].links(listeners[1], [listener.getsockname() for listener in listeners])
