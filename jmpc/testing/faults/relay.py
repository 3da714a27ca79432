"""A relay between party processes that knows frames, so that faults may act on real sessions.

How this works. The launcher tells the parties that they reach one another at the relay's ports (`launch(route=...)`).
Each connection that comes in is passed on to the party behind the port. Links under TLS are copied byte by byte. A
bulk connection begins with a bind frame, in the clear but for its tag; from there the relay reads frame by frame, and a
fault acts on one frame of one session. It opens no frame and has no key: it can do what the network can do.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jmpc.runtime.frames import BIND_ROUND, HEADER_BYTES, TAG_BYTES, Claim, claimed
from jmpc.runtime.join import Address
from jmpc.testing.faults.injection import Injection, Way, flipped, truncated
from jmpc.testing.faults.plan import KILL, Fault

_CHUNK_BYTES = 1 << 16
_KEPT_FRAMES = 64  # of a session and a way, for splices


class Relay:
    """Ports in front of three parties. `route` fits `launch`; a cluster that restarts its parties calls it again."""

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self.kill: Callable[[int], None] | None = None  # of a party's process; known once there are any
        self._lines: dict[Way, _Line] = {}
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def route(self, listening: Sequence[Address]) -> list[Address]:
        """Open a port in front of each address."""
        self.close()
        parties = range(len(listening))
        self._lines = {(a, b): _Line((a, b), self) for a in parties for b in parties if a != b}
        ports = []
        for party, address in enumerate(listening):
            server = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._keep(server)
            self._start(self._accept, server, party, address)
            ports.append(server.getsockname()[:2])
        return ports

    def close(self) -> None:
        """End every connection and wait for the threads."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
            threads, self._threads = self._threads, []
        for sock in sockets:
            _end(sock)
        for thread in threads:
            thread.join()

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.append(sock)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="jmpc relay", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket, party: int, address: Address) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return  # The relay closed its port.
            self._keep(near)
            self._start(self._serve, near, party, address)

    def _serve(self, near: socket.socket, party: int, address: Address) -> None:
        """One connection: the dialling side is `near`, the party behind the port `far`."""
        try:
            far = socket.create_connection(address)
            self._keep(far)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = _read(near, HEADER_BYTES)
        except (OSError, EOFError):
            _end(near)
            return
        claim = claimed(head)
        if _is_bulk(claim, party):
            self._start(_pump, far, near, self._lines[party, claim.sender])
            _pump(near, far, self._lines[claim.sender, party], head)
        else:
            self._start(_copy, far, near)
            _copy(near, far, head)


def _is_bulk(claim: Claim, party: int) -> bool:
    """A bind frame for this party; the first bytes of TLS are no such thing."""
    return (claim.receiver, claim.round_no, claim.length) == (party, BIND_ROUND, 0) and claim.sender < party


@dataclass
class _Line:
    """The frames of one way, over one session after the other. earlier: those of the session before."""

    way: Way
    relay: Relay
    seen: list[bytes] = field(default_factory=list[bytes])
    earlier: list[bytes] = field(default_factory=list[bytes])
    count: int = 0
    held: bytes = b""

    def meet(self, claim: Claim, frame: bytes) -> tuple[Fault | None, list[bytes]]:
        """What to send in the frame's place, and the fault that says so."""
        if claim.round_no == BIND_ROUND:
            self.earlier, self.seen, self.count, self.held = self.seen or self.earlier, [], 0, b""
            return None, [frame]
        at, self.count = self.count, self.count + 1
        if len(self.seen) < _KEPT_FRAMES:
            self.seen.append(frame)
        fault = self.relay.injection.take(self.way, claim.round_no, can_splice=at < len(self.earlier))
        after, self.held = [self.held] if self.held else [], b""
        if fault is None:
            return None, [frame, *after]
        if fault.kind == "reorder":
            self.held = frame
            return fault, after
        if fault.kind == KILL and self.relay.kill is not None:
            self.relay.kill(fault.sender)
        return fault, [*self._changed(fault, frame, at), *after]

    def _changed(self, fault: Fault, frame: bytes, at: int) -> list[bytes]:
        if fault.kind == "splice":
            return [self.earlier[at]]
        if fault.kind == "flip":
            return [flipped(frame, fault.amount)]
        if fault.kind == "truncate":
            return [truncated(frame, fault.amount)]
        return {"drop": [], "repeat": [frame, frame], "delay": [frame], "close": [], KILL: []}[fault.kind]


def _pump(source: socket.socket, sink: socket.socket, line: _Line, head: bytes = b"") -> None:
    """Pass frames on, from the header `head` if that was read already."""
    try:
        while True:
            head = head or _read(source, HEADER_BYTES)
            claim = claimed(head)
            fault, frames = line.meet(claim, head + _read(source, claim.length + TAG_BYTES))
            if fault and fault.kind == "delay":
                time.sleep(fault.amount / 1000)
            for frame in frames:
                sink.sendall(frame)
            if fault and fault.kind == "close":
                _end(source)
                _end(sink)
                return
            head = b""
    except (OSError, EOFError):
        _half_close(sink)


def _copy(source: socket.socket, sink: socket.socket, head: bytes = b"") -> None:
    try:
        data = head or source.recv(_CHUNK_BYTES)
        while data:
            sink.sendall(data)
            data = source.recv(_CHUNK_BYTES)
    except OSError:
        pass  # Either end is gone, and the other will see it.
    _half_close(sink)


def _read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _half_close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _end(sock: socket.socket) -> None:
    """Shut down, so that threads that wait on the socket wake, and close."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
