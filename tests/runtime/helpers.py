"""Sockets, links and trios for the tests of the runtime."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.channel import ArraySpec, Channel
from jmpc.runtime.frames import FrameReader, FrameWriter
from jmpc.runtime.identity import Credentials
from jmpc.runtime.links import BulkLink, tune
from jmpc.runtime.network import NetworkChannel
from jmpc.runtime.tls import Endpoint

SESSION = bytes(range(32))
DRIVER = "jmpc://three/client/driver"
LONG_S = 30.0  # for what happens soon, but on a busy machine not at once: no test waits for it to pass


def party_identity(index: int) -> str:
    return f"jmpc://three/party/{index}"


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


def key_of(sender: int, receiver: int) -> bytes:
    return bytes([sender, receiver]) * 8


def bulk_link(sock: socket.socket, me: int, peer: int) -> BulkLink:
    return BulkLink(
        tune(sock),
        FrameWriter(key_of(me, peer), SESSION, me, peer),
        FrameReader(key_of(peer, me), SESSION, peer, me),
    )


def around(
    channel: Channel,
    round_no: int,
    to_nxt: Sequence[np.ndarray],
    to_prv: Sequence[np.ndarray],
    from_nxt: Sequence[ArraySpec],
    from_prv: Sequence[ArraySpec],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One round of three parties in a ring: what came from the next party and from the previous one."""
    nxt, prv = (channel.party + 1) % 3, (channel.party - 1) % 3
    got = channel.exchange(round_no, {nxt: to_nxt, prv: to_prv}, {nxt: from_nxt, prv: from_prv})
    return got[nxt], got[prv]


class NetworkTrio:
    """Three network channels in this process, over loopback."""

    def __init__(self, deadline_s: float) -> None:
        self.sockets: dict[tuple[int, int], socket.socket] = {}
        for low, high in ((0, 1), (0, 2), (1, 2)):
            self.sockets[low, high], self.sockets[high, low] = tcp_pair()
        self.channels = [
            NetworkChannel(
                me,
                {peer: bulk_link(self.sockets[me, peer], me, peer) for peer in range(3) if peer != me},
                deadline_s,
            )
            for me in range(3)
        ]

    def lose(self, party: int) -> None:
        """What the peers see when a party dies."""
        for (me, _), sock in self.sockets.items():
            if me == party:
                sock.close()

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()


def together(tasks: Sequence[Callable[[], object]]) -> list[object]:
    """Run all tasks at once; a task that raised gives its exception."""

    def guarded(task: Callable[[], object]) -> object:
        try:
            return task()
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(guarded, tasks))


def tls_pair(
    client: Credentials, server: Credentials, expect_server: str, expect_client: Sequence[str]
) -> tuple[object, object]:
    """Both ends of a TLS handshake: a socket, or the error that this end raised.

    A client of TLS 1.3 learns that it was refused when it first reads, so both ends say a word.
    """
    one, other = tcp_pair()
    deadline = time.monotonic() + LONG_S

    def dial() -> ssl.SSLSocket:
        return Endpoint(client).dial(one, expect_server, deadline)

    def accept() -> ssl.SSLSocket:
        return accepted_by(Endpoint(server), other, expect_client, deadline)

    dialled, accepted = together([dial, accept])
    return dialled, accepted


def accepted_by(end: Endpoint, sock: socket.socket, expected: Sequence[str], deadline: float) -> ssl.SSLSocket:
    """Go through the proof of one connection to its end."""
    sock.setblocking(False)
    proof, poll = end.accepting(sock, expected), select.poll()
    fd = sock.fileno()
    while time.monotonic() < deadline:
        try:
            poll.register(fd, next(proof))
        except StopIteration as done:
            return done.value[0]
        poll.poll(1000)
    raise TimeoutError


def authority_and(*identities: str) -> list[Credentials]:
    authority = CertificateAuthority()
    return [authority.issue(identity) for identity in identities]


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not waited for does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool]) -> bool:
    """Wait for a state: it may come late, but then it stays. Returns True, so that tests can assert it."""
    end = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end, "what is waited for did not happen"
        time.sleep(0.005)
    return True


def gone(pids: Sequence[int]) -> bool:
    """Wait for the end of all processes."""
    return until(lambda: not any(alive(pid) for pid in pids))
