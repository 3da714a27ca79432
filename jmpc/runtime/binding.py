"""Bulk sockets for a session: reuse those that live, make those that lack, prove both ends of each.

In: the keys of the session, sockets left from the last one, a listener. Out: a bound BulkLink for each peer.
The party with the lower index dials. A connection from anybody else is dropped, and the wait goes on: only a
frame sealed with the session's key binds a socket. This file moves no arrays.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping, Sequence

from jmpc.errors import FrameError, PeerError
from jmpc.runtime.door import Door, Proof
from jmpc.runtime.failure import Place, foreign, party_name
from jmpc.runtime.frames import OVERHEAD_BYTES, FrameReader, FrameWriter
from jmpc.runtime.keys import PairKeys
from jmpc.runtime.links import BulkLink, Staging, tune


class Binder:
    """Binds the links of one party in one session. `sockets` is its owner's, and is kept up to date."""

    def __init__(
        self,
        party: int,
        session: bytes,
        keys: Mapping[int, PairKeys],
        sockets: dict[int, socket.socket],
        deadline: float,
    ) -> None:
        self._party, self._sockets, self._deadline = party, sockets, deadline
        self._writers = {peer: FrameWriter(pair.send, session, party, peer) for peer, pair in keys.items()}
        self._readers = {peer: FrameReader(pair.receive, session, peer, party) for peer, pair in keys.items()}

    def links(
        self,
        listener: socket.socket,
        addresses: Sequence[tuple[str, int]],
        staging: Mapping[int, Staging] | None = None,
    ) -> dict[int, BulkLink]:
        """The links, bound."""
        buffers = staging or {}
        peers = list(self._writers)
        for peer in peers:
            if peer not in self._sockets and peer > self._party:
                with foreign(self._place(peer)):
                    self._sockets[peer] = socket.create_connection(addresses[peer], timeout=self._left())
        unread = list(self._sockets)
        for peer in unread:
            self._send_bind(peer)
        if len(self._sockets) < len(peers):
            self._accept(listener)
        for peer in unread:
            with foreign(self._place(peer)):
                self._readers[peer].open_bind(_read(self._sockets[peer], self._deadline))
        return {
            peer: BulkLink(tune(self._sockets[peer]), self._writers[peer], self._readers[peer], buffers.get(peer))
            for peer in peers
        }

    def _accept(self, listener: socket.socket) -> None:
        """Accept until every peer that lacks a socket has proved to be at one."""
        lacking = [peer for peer in self._readers if peer not in self._sockets]
        with Door(listener, self._proving) as door:
            while lacking:
                with foreign(self._place(lacking[0])):
                    peer, sock = door.admit(self._deadline)
                self._sockets[peer] = sock
                lacking.remove(peer)
                self._send_bind(peer)

    def _proving(self, sock: socket.socket) -> Proof[tuple[int, socket.socket]]:
        """The peer that sends the bind frame of this session (see door.py)."""
        frame = b""
        try:
            while len(frame) < OVERHEAD_BYTES:
                try:
                    part = sock.recv(OVERHEAD_BYTES - len(frame))
                except BlockingIOError:
                    yield select.POLLIN
                    continue
                if not part:
                    raise PeerError("a bulk connection ended before it was bound")
                frame += part
            return self._sender(frame), sock
        except BaseException:
            sock.close()
            raise

    def _sender(self, frame: bytes) -> int:
        """Whose bind frame it is: of a peer that has not sent one yet."""
        for peer in self._readers:
            if peer not in self._sockets and self._readers[peer].sequence == 0:
                try:
                    self._readers[peer].open_bind(frame)
                except FrameError:
                    continue
                return peer
        raise FrameError("a connection is of no peer of this session")

    def _send_bind(self, peer: int) -> None:
        with foreign(self._place(peer)):
            self._sockets[peer].settimeout(self._left())
            self._sockets[peer].sendall(self._writers[peer].bind())

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _place(self, peer: int) -> Place:
        return Place(party=self._party, phase="handshake", peer=party_name(peer))


def _read(sock: socket.socket, deadline: float) -> bytes:
    """The bind frame of a socket: its size is fixed."""
    frame = b""
    while len(frame) < OVERHEAD_BYTES:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        part = sock.recv(OVERHEAD_BYTES - len(frame))
        if not part:
            raise PeerError("a bulk connection ended before it was bound")
        frame += part
    return frame
