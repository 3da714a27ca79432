"""What a service tells systemd: that it is up, that it stops, how it is (the protocol of sd_notify).

In: the socket that systemd named, if it did. Out: a datagram to it. Where nobody listens, nothing happens.
"""

from __future__ import annotations

import contextlib
import socket

VARIABLE = "NOTIFY_SOCKET"
READY, STOPPING = "READY=1", "STOPPING=1"


class Notify:
    """path: of the socket; the first character is @ where it has no place in the file system; empty for nobody."""

    def __init__(self, path: str) -> None:
        self._path = "\0" + path[1:] if path.startswith("@") else path

    def __call__(self, *states: str) -> None:
        if self._path:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1.0)
                sock.sendto("\n".join(states).encode(), self._path)
