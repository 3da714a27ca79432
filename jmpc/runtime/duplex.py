"""A standing link between two parties that many sessions talk over at once.

In: a TLS socket whose peer is proven, and what is to be done with each message. Out: messages sent from any thread, in
order, and one call when the link ends. One thread reads; it also says that this end is alive, and ends a link that
falls silent, so that a peer that is gone without a word is noticed. This file does not know what messages mean.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from jmpc.errors import PeerError
from jmpc.runtime.failure import Place, from_foreign
from jmpc.runtime.messages import Vocabulary, decode, encode
from jmpc.runtime.schema import SchemaError

PING = "ping"
PING_S = 1.0  # how often an end that has nothing to say says so
SILENCE_S = 15.0  # after which a link is given up: a busy machine may keep a thread from its turn for seconds
_LENGTH = struct.Struct(">I")
_MOST_WAITING = 1 << 22  # bytes that a peer may leave unread
_READ_BYTES = 1 << 16
_MOST_AT_ONCE = 1 << 20  # bytes that are read before what came is looked at

Receive = Callable[[str, dict[str, Any]], None]
Lost = Callable[[str], None]


class Duplex:
    """words: what may be said; it has the kind `ping`, with no fields.  receive: called with each message but pings, in
    the link's own thread; it returns soon.  lost: called once, there too, with the reason; none after `close`."""

    def __init__(
        self,
        sock: ssl.SSLSocket,
        peer: str,
        words: Vocabulary,
        receive: Receive,
        lost: Lost,
        silence_s: float = SILENCE_S,
    ) -> None:
        sock.setblocking(False)
        self.peer, self.alive = peer, True
        self._sock, self._words, self._receive, self._lost, self._silence_s = sock, words, receive, lost, silence_s
        self._lock = threading.Lock()  # of the socket: OpenSSL lets one thread at a time use one connection
        self._waiting = bytearray()
        self._came = bytearray()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._said = self._heard = time.monotonic()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"jmpc link to {peer}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def send(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Send a message, or leave it to the link's thread. Raises PeerError where the link has ended."""
        payload = encode(kind, fields, self._words)
        with self._lock:
            if not self.alive:
                raise PeerError(f"{self.peer} was lost", where=Place(peer=self.peer), why="the link to it has ended")
            self._waiting += _LENGTH.pack(len(payload)) + payload
            rest = not self._flush()
        if rest:
            self._wake()

    def close(self) -> None:
        """End the link; the peer sees it as lost."""
        with self._lock:
            self._closed, self.alive = True, False
        self._wake()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        why = "its end closed the link"
        try:
            while self.alive:
                self._step()
        except (ssl.SSLError, OSError, SchemaError, PeerError) as exc:
            place = Place(peer=self.peer)
            why = exc.what if isinstance(exc, PeerError) else from_foreign(exc, place).why or type(exc).__name__
        except Exception as exc:  # Of whoever receives: a link whose messages go nowhere is no link.
            why = f"a message of it was not taken in ({type(exc).__name__})"
        with self._lock:
            self.alive = False
            self._sock.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1
        if not self._closed:
            self._lost(why)

    def _step(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._waiting else 0))
        poll.register(self._wake_read, select.POLLIN)
        with self._lock:
            has_more = self._sock.pending() > 0
        for fd, _ in poll.poll(0 if has_more else PING_S * 1000):
            if fd == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, _READ_BYTES)
        now = time.monotonic()
        if now - self._said >= PING_S:
            self.send(PING, {})
        with self._lock:
            self._flush()
            ended = self._read()
        for kind, fields in self._messages():
            if kind != PING:
                self._receive(kind, fields)
        if ended:
            self.alive = False
        elif time.monotonic() - self._heard > self._silence_s:
            raise PeerError(f"nothing came for {self._silence_s:g} s")

    def _flush(self) -> bool:
        """Send what the socket takes; whether all is sent."""
        try:
            while self._waiting:
                count = self._sock.send(self._waiting)
                del self._waiting[:count]
                self._said = time.monotonic()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if len(self._waiting) > _MOST_WAITING:
                raise PeerError("it takes nothing in") from None
        except (ssl.SSLError, OSError):
            return False  # The link's own thread meets it too, and says so.
        return not self._waiting

    def _read(self) -> bool:
        """Take what has come; whether that was the end."""
        try:
            most = len(self._came) + _MOST_AT_ONCE
            while len(self._came) < most:
                part = self._sock.recv(_READ_BYTES)
                if not part:
                    return True
                self._came += part
                self._heard = time.monotonic()
            return False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False

    def _messages(self) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        while len(self._came) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._came)
            if length > self._words.most_bytes:
                raise SchemaError("a message is too long")
            end = _LENGTH.size + length
            if len(self._came) < end:
                break
            found.append(decode(self._came[_LENGTH.size : end], list(self._words.schemas), self._words))
            del self._came[:end]
        return found

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._wake_write >= 0:
                os.write(self._wake_write, b"\0")
