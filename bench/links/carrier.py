"""The other end of a process that carries the traffic of one pair of hosts: starts it, says what to do, ends it.

In: what a link does, sockets to join. Out: nothing; each order is obeyed when it returns.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jmpc.config import Network

ROOT = Path(__file__).parents[2]


class Carrier:
    """The process that carries the traffic of one pair of hosts: a module of this package, and what it inherits."""

    def __init__(self, module: str = "worker", inherited: Sequence[int] = ()) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fds = (theirs.fileno(), *inherited)
            command = [sys.executable, "-m", f"bench.links.{module}", *map(str, fds)]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=fds)

    def shape(self, links: Sequence[Network]) -> None:
        """Say what its links do from now on; it answers when it does so."""
        shapers = [[link.latency_s, 0 if math.isinf(link.bandwidth) else link.bandwidth] for link in links]
        self._say({"shape": shapers})

    def join(self, near: socket.socket, far: socket.socket, there: int, back: int) -> None:
        """Hand two sockets over, which are closed here."""
        with near, far:
            self._say({"join": [there, back]}, [near.fileno(), far.fileno()])

    def close(self) -> None:
        self._orders.close()
        self._process.wait()

    def _say(self, order: dict[str, object], sockets: Sequence[int] = ()) -> None:
        socket.send_fds(self._orders, [json.dumps(order).encode()], list(sockets))
        if not self._orders.recv(1):
            raise ConnectionError("a process that carries a link has ended")
