"""Bulk links under an attacker who holds the wire."""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
import pytest

from jmpc.errors import FrameError, PeerError
from jmpc.runtime.frames import FRAME_BYTES, OVERHEAD_BYTES

from .helpers import bulk_link, tcp_pair

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
