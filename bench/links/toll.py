"""What a relay itself adds: the same messages directly and through a port of it.

In: links whose shape is as one asks. Out: seconds of a round trip of one byte, bytes a second of a large message.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from dataclasses import dataclass

from bench.links.relay import UNLIMITED, Address, Links

_SIZE = 1 << 25
_ROUND_TRIPS = 300


@dataclass(frozen=True)
class Toll:
    """Seconds there and back, the median, and bytes a second; each directly and through the relay."""

    direct_s: float
    relayed_s: float
    direct_bandwidth: float
    relayed_bandwidth: float

    @property
    def text(self) -> str:
        return (
            f"a byte there and back {1e6 * self.direct_s:.0f} us directly, {1e6 * self.relayed_s:.0f} us through it; "
            f"{self.direct_bandwidth / 1e9:.2f} GB/s directly, {self.relayed_bandwidth / 1e9:.2f} GB/s through it"
        )


def toll(links: Links) -> Toll:
    """Leaves the links without limits."""
    links.shape(UNLIMITED)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, 2), daemon=True)
        thread.start()
        address = server.getsockname()[:2]
        direct_s, direct_bandwidth = _measure(address)
        relayed_s, relayed_bandwidth = _measure(links.port(1, address, dialler=0))
        thread.join()
    return Toll(direct_s, relayed_s, direct_bandwidth, relayed_bandwidth)


def _answer(server: socket.socket, connections: int) -> None:
    """A byte for each byte, then one for all of the large message."""
    for _ in range(connections):
        sock, _ = server.accept()
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(_ROUND_TRIPS):
                sock.sendall(sock.recv(1))
            left, buffer = _SIZE, bytearray(1 << 20)
            while left:
                left -= sock.recv_into(buffer, min(left, len(buffer)))
            sock.sendall(b"\0")


def _measure(address: Address) -> tuple[float, float]:
    with socket.create_connection(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = []
        for _ in range(_ROUND_TRIPS):
            start = time.perf_counter()
            sock.sendall(b"\0")
            sock.recv(1)
            seconds.append(time.perf_counter() - start)
        data = bytes(_SIZE)
        start = time.perf_counter()
        sock.sendall(data)
        sock.recv(1)
        return statistics.median(seconds), _SIZE / (time.perf_counter() - start)
