"""One listener: what proves itself gets in, and what else connects changes nothing.

Where a test says that nothing is delayed, patience with strangers is without end: who waited for one would wait for
ever, and meet the deadline.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.errors import FrameError
from jmpc.runtime import door as door_module
from jmpc.runtime.door import MOST_PENDING, Door, Proof

from .strangers import KINDS, strangers

WORD = b"sesame"


def proving(sock: socket.socket) -> Proof[socket.socket]:
    said = b""
    try:
        while len(said) < len(WORD):
            try:
                part = sock.recv(len(WORD) - len(said))
            except BlockingIOError:
                yield select.POLLIN
                continue
            if not part:
                raise EOFError("gone") if len(said) % 2 else OSError("gone")
            said += part
        if said != WORD:
            raise FrameError("no")
        return sock
    except EOFError:
        sock.close()
        raise ConnectionError from None
    except BaseException:
        sock.close()
        raise


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=door_module.BACKLOG) as sock:
        yield sock


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_S", 1e6)


def soon() -> float:
    return time.monotonic() + 20


def knock(listener: socket.socket, word: bytes = WORD) -> socket.socket:
    sock = socket.create_connection(listener.getsockname())
    sock.sendall(word)
    return sock


def same(one: socket.socket, other: socket.socket) -> bool:
    return one.getpeername() == other.getsockname()


@pytest.mark.usefixtures("endless")
def test_many_silent_strangers_delay_nobody(listener: socket.socket) -> None:
    with (
        strangers([listener.getsockname()], silent=150),
        knock(listener) as sock,
        Door(listener, proving) as door,
        door.admit(soon()) as admitted,
    ):
        assert same(admitted, sock)


@pytest.mark.usefixtures("endless")
@given(before=st.lists(st.sampled_from(sorted(KINDS)), max_size=6), honest=st.integers(1, 4), pieces=st.integers(1, 6))
def test_whatever_connects_the_honest_get_in(before: list[str], honest: int, pieces: int) -> None:
    """Strangers of every kind before, between and after those who prove themselves, byte by byte or at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Door(listener, proving) as door:
        address = listener.getsockname()
        for _ in range(honest):
            with strangers([address], before), socket.create_connection(address) as sock:
                for at in range(0, len(WORD), pieces):
                    with pytest.raises(TimeoutError):
                        door.admit(time.monotonic())
                    sock.sendall(WORD[at : at + pieces])
                with strangers([address], before), door.admit(soon()) as admitted:
                    assert same(admitted, sock)


@pytest.mark.usefixtures("endless")
def test_several_that_prove_themselves_at_once_all_get_in(listener: socket.socket) -> None:
    made = [knock(listener) for _ in range(5)]
    with Door(listener, proving) as door:
        admitted = [door.admit(soon()) for _ in made]
    assert {sock.getpeername() for sock in admitted} == {sock.getsockname() for sock in made}
    for sock in [*made, *admitted]:
        sock.close()


def test_who_says_nothing_for_too_long_is_dropped(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    with strangers([listener.getsockname()], ["is silent"]) as (stranger,), Door(listener, proving) as door:
        while not door.refused:
            with pytest.raises(TimeoutError):
                door.admit(time.monotonic() + 0.01)
        assert "too long" in door.reason
        assert stranger.recv(1) == b""  # it was hung up on


@pytest.mark.usefixtures("endless")
def test_too_many_push_the_oldest_out(listener: socket.socket) -> None:
    with strangers([listener.getsockname()], [], silent=MOST_PENDING + 20) as made, Door(listener, proving) as door:
        with knock(listener) as sock, door.admit(soon()) as admitted:
            assert same(admitted, sock)
        assert door.refused == 21
        assert "too many" in door.reason
        assert all(stranger.recv(1) == b"" for stranger in made[:21])


def test_a_wrong_word_is_refused_and_told(listener: socket.socket) -> None:
    with knock(listener, b"please") as sock, Door(listener, proving) as door:
        while not door.refused:
            with pytest.raises(TimeoutError):
                door.admit(time.monotonic() + 0.01)
        assert (door.refused, door.reason) == (1, "no")
        assert sock.recv(1) == b""


def test_a_door_leaves_no_socket_open(listener: socket.socket) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with strangers([listener.getsockname()]), Door(listener, proving) as door, pytest.raises(TimeoutError):
        door.admit(time.monotonic() + 0.1)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_proof_that_fails_in_any_way_is_told_of_and_the_door_stays_open(listener: socket.socket) -> None:
    told: list[tuple[str, str]] = []

    def broken(sock: socket.socket) -> Proof[socket.socket]:
        yield from proving(sock)
        sock.close()
        raise RuntimeError("no thread to be had")

    address = listener.getsockname()
    with Door(listener, broken, 1e6, lambda *said: told.append(said)) as door:
        for word in (b"wrong!", WORD, WORD):
            with socket.create_connection(address) as sock:
                source = "{}:{}".format(*sock.getsockname())
                sock.sendall(word)
                with pytest.raises(TimeoutError):
                    door.admit(time.monotonic() + 0.2)
                while len(told) < door.refused or (source, told[-1][1]) != told[-1]:
                    with pytest.raises(TimeoutError):
                        door.admit(time.monotonic() + 0.2)
        assert [why for _, why in told] == ["no", "RuntimeError", "RuntimeError"]
        assert door.refused == 3
