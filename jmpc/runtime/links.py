"""One bulk link: AEAD frames over a plain TCP socket between two parties.

How this works. The socket never blocks. `begin_send` and `begin_receive` say what a round moves;
`pump_send` and `pump_receive` move what the socket takes or has, and say when the message is complete. The
caller (network.py) polls and pumps both directions of both links in one thread, so no order of large
messages can deadlock. Ciphers and staging buffers live as long as the session; only arrays that the
caller keeps are allocated. This file waits for nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import numpy as np

from jmpc.errors import PeerError
from jmpc.runtime.failure import Place, from_foreign, party_name
from jmpc.runtime.frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    OVERHEAD_BYTES,
    FrameReader,
    FrameWriter,
    Piece,
    cut,
)


def tune(sock: socket.socket) -> socket.socket:
    """Set a bulk socket up: no delay, no blocking; the kernel grows its buffers by itself."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class Staging:
    """The buffers of one link, for as many sessions as its party lives: making them costs more than a round."""

    def __init__(self) -> None:
        self.out = memoryview(bytearray(FRAME_BYTES + OVERHEAD_BYTES))
        self.into = memoryview(bytearray(FRAME_BYTES + OVERHEAD_BYTES))
        self.joined = np.empty(FRAME_BYTES, np.uint8)


class BulkLink:
    """Both directions between this party and one peer, for one session; the socket is bound (binding.py)."""

    def __init__(
        self, sock: socket.socket, writer: FrameWriter, reader: FrameReader, staging: Staging | None = None
    ) -> None:
        self.sock, self.fd = sock, sock.fileno()
        self.peer = writer.receiver
        self._writer, self._reader = writer, reader
        staging = staging or Staging()
        self._out, self._in, self._joined = staging.out, staging.into, staging.joined
        self._sources: Sequence[np.ndarray] = ()
        self._targets: Sequence[np.ndarray] = ()
        self._to_send: list[list[Piece]] = []
        self._to_read: list[list[Piece]] = []
        self._send_round = self._read_round = 0
        self._sent = self._sealed = self._got = self._size = 0
        self._header = b""
        self._checked = False

    def begin_send(self, round_no: int, views: Sequence[np.ndarray]) -> None:
        """Take a message of flat uint8 arrays (at least one byte in all)."""
        self._sources, self._send_round = views, round_no
        self._to_send = cut([view.size for view in views])[::-1]
        self._sent = self._sealed = 0

    def begin_receive(self, round_no: int, views: Sequence[np.ndarray]) -> None:
        """Say where the next message goes; its size is that of the arrays."""
        self._targets, self._read_round = views, round_no
        self._to_read = cut([view.size for view in views])[::-1]
        self._expect()

    def pump_send(self) -> bool:
        """Send what the socket takes; True once the message has left."""
        try:
            while True:
                if self._sent == self._sealed:
                    if not self._to_send:
                        self._sources = ()
                        return True
                    self._seal(self._to_send.pop())
                self._sent += self.sock.send(self._out[self._sent : self._sealed])
        except BlockingIOError:
            return False
        except OSError as exc:
            raise from_foreign(exc, self._place(self._send_round)) from exc

    def pump_receive(self) -> bool:
        """Read what has come; True once the message is complete and authentic."""
        try:
            while True:
                count = self.sock.recv_into(self._in[self._got : self._size])
                if not count:
                    raise PeerError(
                        f"{party_name(self.peer)} was lost",
                        where=self._place(self._read_round),
                        why="the bulk connection ended",
                    )
                self._got += count
                if not self._checked and self._got >= HEADER_BYTES:
                    self._reader.check(self._in[:HEADER_BYTES], self._header)
                    self._checked = True
                if self._got == self._size:
                    self._open(self._to_read.pop())
                    if not self._to_read:
                        self._targets = ()
                        return True
                    self._expect()
        except BlockingIOError:
            return False
        except OSError as exc:
            raise from_foreign(exc, self._place(self._read_round)) from exc

    def _seal(self, pieces: list[Piece]) -> None:
        if len(pieces) == 1:
            index, start, stop = pieces[0]
            data = self._sources[index][start:stop]
        else:
            data = self._joined[: sum(stop - start for _, start, stop in pieces)]
            np.concatenate([self._sources[i][start:stop] for i, start, stop in pieces], out=data)
        self._sealed = self._writer.seal(self._send_round, not self._to_send, data.data, self._out)
        self._sent = 0

    def _expect(self) -> None:
        length = sum(stop - start for _, start, stop in self._to_read[-1])
        self._header = self._reader.expect(self._read_round, len(self._to_read) == 1, length)
        self._got, self._size, self._checked = 0, length + OVERHEAD_BYTES, False

    def _open(self, pieces: list[Piece]) -> None:
        sealed = self._in[HEADER_BYTES : self._size]
        if len(pieces) == 1:
            index, start, stop = pieces[0]
            self._reader.open(self._header, sealed, self._targets[index][start:stop].data)
            return
        plain = np.empty(self._size - OVERHEAD_BYTES, np.uint8)
        self._reader.open(self._header, sealed, plain.data)
        offset = 0
        for index, start, stop in pieces:
            self._targets[index][start:stop] = plain[offset : offset + stop - start]
            offset += stop - start

    def _place(self, round_no: int) -> Place:
        return Place(party=self._writer.sender, phase="run", round_no=round_no, peer=party_name(self.peer))
