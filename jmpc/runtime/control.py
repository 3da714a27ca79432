"""One control link: messages and raw arrays over a TLS socket, with deadlines.

In: a TLS socket whose peer is proven. Out: checked messages. Sizes are capped before anything is allocated,
and every foreign error is mapped. One thread uses a link. This file does not know what messages mean.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jmpc.errors import PeerError
from jmpc.runtime.channel import ArraySpec, allocate, flat_bytes
from jmpc.runtime.failure import Place, foreign
from jmpc.runtime.messages import Vocabulary, decode, encode
from jmpc.runtime.schema import SchemaError

_LENGTH = struct.Struct(">I")
_CHUNK_BYTES = 1 << 20
_RECORD_BYTES = 16_000


class ControlLink:
    """A TLS link to one peer. `phase` is what error messages say about the moment."""

    def __init__(self, sock: ssl.SSLSocket, party: int | None, peer: str, words: Vocabulary) -> None:
        self.party, self.peer, self.phase = party, peer, "handshake"
        self.alive = True
        self._sock, self._words = sock, words

    @property
    def fd(self) -> int:
        """The descriptor to poll; see also `pending`."""
        return self._sock.fileno()

    def pending(self) -> bool:
        """Decrypted bytes wait already, which a poll would not show."""
        return self.alive and self._sock.pending() > 0

    def ready(self, wait_s: float = 0.0) -> bool:
        """Something (a message, or the end of the link) can be read."""
        if not self.alive:
            return False
        return self.pending() or bool(wait_for([self], wait_s))

    def send(
        self,
        kind: str,
        fields: Mapping[str, Any],
        deadline: float,
        body: bytes = b"",
        arrays: Sequence[np.ndarray] = (),
    ) -> None:
        """Send a message, and what it declares: raw bytes or arrays. What is small goes as one TLS record."""
        payload = encode(kind, fields, self._words)
        views, total = flat_bytes(arrays)
        parts = [_LENGTH.pack(len(payload)), payload, body, *(view.data for view in views)]
        with foreign(self._place()):
            if len(payload) + len(body) + total < _RECORD_BYTES:
                parts = [b"".join(parts)]
            for part in parts:
                self._send(part, deadline)

    def send_arrays(self, arrays: Sequence[np.ndarray], deadline: float) -> None:
        """Send the arrays that the last message declared."""
        views, _ = flat_bytes(arrays)
        with foreign(self._place()):
            for view in views:
                self._send(view.data, deadline)

    def receive(self, kinds: Sequence[str], deadline: float | None) -> tuple[str, dict[str, Any]]:
        """The next message, which must be of one of `kinds`; with no deadline, wait for its first byte for ever."""
        with foreign(self._place()):
            prefix = bytearray(_LENGTH.size)
            self._receive_into(memoryview(prefix), deadline)
            (length,) = _LENGTH.unpack(prefix)
            if length > self._words.most_bytes:
                raise SchemaError("a message is too long")
            payload = bytearray(length)
            self._receive_into(memoryview(payload), deadline)
            return decode(payload, kinds, self._words)

    def receive_bytes(self, size: int, deadline: float) -> bytes:
        """Raw bytes that the last message declared (and its schema limited)."""
        body = bytearray(size)
        with foreign(self._place()):
            self._receive_into(memoryview(body), deadline)
        return bytes(body)

    def receive_arrays(self, specs: Sequence[ArraySpec], deadline: float) -> list[np.ndarray]:
        """The arrays that the last message declared, 64-byte aligned."""
        arrays, views, _ = allocate(specs)
        with foreign(self._place()):
            for view in views:
                if view.size:
                    self._receive_into(view.data, deadline)
        return arrays

    def receive_into(self, array: np.ndarray, deadline: float) -> None:
        """Raw words of an array whose size both ends know."""
        with foreign(self._place()):
            self._receive_into(array.reshape(-1).view(np.uint8).data, deadline)

    def hang_up(self) -> None:
        """End the link from another thread than the one that uses it: that one sees it as lost."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """End the link; the peer sees it as lost."""
        self.alive = False
        self._sock.close()

    def _send(self, data: bytes | memoryview, deadline: float) -> None:
        rest = memoryview(data)
        while len(rest):
            self._arm(deadline)
            rest = rest[self._sock.send(rest[:_CHUNK_BYTES]) :]

    def _receive_into(self, view: memoryview, deadline: float | None) -> None:
        while len(view):
            self._arm(deadline)
            count = self._sock.recv_into(view[:_CHUNK_BYTES])
            if not count:
                self.alive = False
                raise PeerError(f"{self.peer} was lost", where=self._place(), why="its control connection ended")
            view = view[count:]

    def _arm(self, deadline: float | None) -> None:
        if not self.alive:
            raise PeerError(f"{self.peer} was lost", where=self._place(), why="its control connection is closed")
        if deadline is None:
            self._sock.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def _place(self) -> Place:
        return Place(party=self.party, phase=self.phase, peer=self.peer)


def wait_for(links: Sequence[ControlLink], wait_s: float | None) -> list[ControlLink]:
    """The links among `links` on which something can be read, waiting up to `wait_s` for the first."""
    buffered = [link for link in links if link.pending()]
    if buffered:
        return buffered
    poll = select.poll()
    by_fd = {link.fd: link for link in links if link.alive}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    ready = poll.poll(None if wait_s is None else max(0, int(wait_s * 1000)))
    return [by_fd[fd] for fd, _ in ready]
