"""The process that carries the traffic of one pair of hosts: `python -m bench.links.worker FD`.

In: orders over an inherited Unix socket: what the links do, and pairs of connected sockets to join, each with the
numbers of the links that it uses there and back. It ends when that socket does, so that it outlives nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import socket
import sys

from bench.links.pump import Pump
from bench.links.shaper import Shaper

_PR_SET_TIMERSLACK = 29
_PRIORITY = -5
ORDER_BYTES = 1 << 12


def be_prompt() -> None:
    """Have this process's waits end in time: how late it gets its turn is no part of a link."""
    with contextlib.suppress(OSError):  # a right of root's
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # else a wait ends up to 50 microseconds late


def main(fd: int) -> None:
    be_prompt()
    orders, pump, links = socket.socket(fileno=fd), Pump(), list[Shaper]()
    while True:
        if not pump.step([fd]):
            continue
        text, sockets, _, _ = socket.recv_fds(orders, ORDER_BYTES, 2)
        if not text:
            break
        order = json.loads(text)
        if "shape" in order:
            links = links or [Shaper() for _ in order["shape"]]
            for link, (latency_s, bandwidth) in zip(links, order["shape"], strict=True):
                link.latency_s, link.bandwidth = latency_s, bandwidth or math.inf
        else:
            near, far = (socket.socket(fileno=each) for each in sockets)
            there, back = order["join"]
            pump.connect(near, far, links[there], links[back])
        orders.send(b"\0")
    pump.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
