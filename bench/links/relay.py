"""Hosts of this machine that reach one another over links as slow as asked: ports in front of their addresses.

In: where hosts listen, and a link's latency and bandwidth, which may change at any time. Out: where they are reached.
What is dialled at a port is passed on to the address behind it; the traffic of each pair of hosts is carried by a
process of its own. Who dials is known by the port, or by the process at the other end of the connection.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from bench.links.carrier import Carrier
from bench.links.dialler import party_of, process_at
from bench.links.namespaces import Namespaces
from jmpc.config import Network

Address = tuple[str, int]
PARTIES = 3
CLIENT = PARTIES  # the host of whoever calls
UNLIMITED = Network("loopback", 0.0, math.inf)
UP, DOWN, OPEN = range(3)  # a worker's shapers: from the lower host to the higher, back, and one without limits
PATIENCE_S = 10.0


@dataclass(frozen=True)
class _Port:
    server: socket.socket
    host: int
    address: Address
    dialler: int | None


class Links:
    """Links between three parties and a client. root: the process below which the parties run; it is the client."""

    def __init__(self, namespaces: Namespaces | None = None, root: int | None = None) -> None:
        self.root = os.getpid() if root is None else root
        self.link = UNLIMITED
        self._namespaces = namespaces
        self._carriers: dict[tuple[int, int], Carrier] = {}
        self._ports: dict[int, _Port] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="relay's ports", daemon=True)
        self._thread.start()

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shape(self, link: Network) -> None:
        """All links, both ways, from now on."""
        with self._lock:
            self.link = link
            if self._namespaces:
                self._namespaces.shape(link)
            for carrier in self._carriers.values():
                carrier.shape(self._shapers())

    def route(self, listening: Sequence[Address]) -> list[Address]:
        """Ports in front of the parties' addresses, as `jmpc.daemon.children` asks for them."""
        return [self.port(host, address) for host, address in enumerate(listening)]

    def port(self, host: int, address: Address, dialler: int | None = None) -> Address:
        """A port in front of an address of a host. dialler: the host that dials it, where only one does."""
        server = socket.create_server(("127.0.0.1", 0), backlog=64)
        with self._lock:
            self._ports[server.fileno()] = _Port(server, host, address, dialler)
        self._wake.send(b"\0")
        return server.getsockname()[:2]

    def close(self) -> None:
        """End every connection and the processes that carry them."""
        self._wake.close()
        self._thread.join()
        for port in self._ports.values():
            port.server.close()
        for carrier in self._carriers.values():
            carrier.close()
        self._woken.close()

    def _serve(self) -> None:
        while True:
            with self._lock:
                servers = list(self._ports)
            ready, _, _ = select.select([self._woken, *servers], [], [])
            if self._woken in ready and not self._woken.recv(64):
                return
            for fd in ready:
                if isinstance(fd, int):
                    near, came_from = self._ports[fd].server.accept()
                    self._accept(self._ports[fd], near, came_from)

    def _accept(self, port: _Port, near: socket.socket, came_from: Address) -> None:
        try:
            far = socket.create_connection(port.address, timeout=PATIENCE_S)
            dialler = port.dialler if port.dialler is not None else self._dialler(came_from)
        except OSError:
            near.close()  # as if nobody listened
            return
        with self._lock:
            self._join(near, far, dialler, port.host)

    def _join(self, near: socket.socket, far: socket.socket, dialler: int, host: int) -> None:
        carrier = self._carrier(dialler, host)
        there, back = (UP, DOWN) if dialler < host else (DOWN, UP)
        if self._namespaces is None:
            carrier.join(near, far, there, back)
            return
        leaving, arriving = self._namespaces.cross(dialler, host)  # the bandwidth is the kernel's, between these
        carrier.join(near, leaving, there, OPEN)
        carrier.join(arriving, far, OPEN, back)

    def _carrier(self, one: int, other: int) -> Carrier:
        pair = min(one, other), max(one, other)
        if pair not in self._carriers:
            self._carriers[pair] = Carrier()
            self._carriers[pair].shape(self._shapers())
        return self._carriers[pair]

    def _shapers(self) -> list[Network]:
        if self._namespaces is None:
            return [self.link, self.link, UNLIMITED]
        left = UNLIMITED if self._namespaces.delays else Network("latency", self.link.latency_s, math.inf)
        return [left, left, UNLIMITED]

    def _dialler(self, came_from: Address) -> int:
        pid = process_at(came_from, self.root)
        party = None
        with contextlib.suppress(OSError):
            party = party_of(pid) if pid is not None else None
        return CLIENT if party is None else party
