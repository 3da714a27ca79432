"""A relay between parties that knows frames, so that faults may act on real sessions.

How this works. Parties are told that they reach one another at the relay's ports: all at the same (`route`, which fits
`jmpc.daemon.children`, and `cluster.toml`), or each at ports of its own (`routes_of`), so that the relay knows who
dials. Each connection that comes in is passed on to the party behind the port. Links under TLS are copied byte by
byte. A bulk connection says what it is in the clear, by the hello of a line; from there the relay reads frame by frame,
and a fault acts on one frame of one session. It opens no frame and has no key: it can do what the network can do.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from jmpc.cluster.names import Address
from jmpc.runtime.frames import HEADER_BYTES, TAG_BYTES, Claim, claimed
from jmpc.service import lines
from jmpc.testing.faults.injection import Injection, Way, flipped, truncated
from jmpc.testing.faults.plan import KILL, Fault

_CHUNK_BYTES = 1 << 16
_KEPT_FRAMES = 256  # of a session and a way, for splices
_KEPT_SESSIONS = 4  # of a way: services run several at once
_KEPT_HELLOS = 1000
_TLS = 0x16
_STRANGER = -1  # whoever dials a port that is for all


class Relay:
    """Ports in front of parties. A cluster that restarts its parties calls `route` again; services that restart listen
    where they did.  hellos: of the lines that passed, the latest ones."""

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self.kill: Callable[[int], None] | None = None  # of a party's process; known once there are any
        self.watch: Callable[[Way, int], None] | None = None  # called with each frame's way and round, before it passes
        self.hellos: list[bytes] = []
        self._history: dict[Way, _History] = {}
        self._reached: dict[int, list[Address]] = {}
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._cut: set[Way] = set()
        self._mended = threading.Condition()

    def route(self, listening: Sequence[Address]) -> list[Address]:
        """Open a port in front of each address, for all, and one for each of the others."""
        self.close()
        parties = range(len(listening))
        self._history = {(a, b): _History() for a in parties for b in parties if a != b}
        self._reached = {
            a: [self._port(a, b, listening[b]) if a != b else listening[b] for b in parties] for a in parties
        }
        return [self._port(_STRANGER, party, address) for party, address in enumerate(listening)]

    def routes_of(self, party: int) -> list[Address]:
        """Where one party reaches each."""
        return self._reached[party]

    def _port(self, dialer: int, party: int, address: Address) -> Address:
        server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._keep(server)
        self._start(self._accept, server, dialer, party, address)
        return server.getsockname()[:2]

    def close(self) -> None:
        """End every connection and wait for the threads."""
        self.mend()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
            threads, self._threads = self._threads, []
        for sock in sockets:
            _end(sock)
        for thread in threads:
            thread.join()

    def cut(self, ways: Collection[Way]) -> None:
        """From here on nothing passes these ways, and nobody hears of it. Who dials a port that is for all is known by
        its lines alone."""
        with self._mended:
            self._cut = set(ways)

    def mend(self) -> None:
        """What was held passes, and all else."""
        with self._mended:
            self._cut = set()
            self._mended.notify_all()

    def history(self, way: Way) -> _History:
        return self._history[way]

    def wait_while_cut(self, way: Way) -> None:
        if way in self._cut:
            with self._mended:
                self._mended.wait_for(lambda: way not in self._cut)

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.add(sock)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="jmpc relay", daemon=True)
        with self._lock:
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
            thread.start()

    def _accept(self, server: socket.socket, dialer: int, party: int, address: Address) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return  # The relay closed its port.
            self._keep(near)
            self._start(self._serve, near, dialer, party, address)

    def _serve(self, near: socket.socket, dialer: int, party: int, address: Address) -> None:
        """One connection: the dialing side is `near`, the party behind the port `far`."""
        ends = [near]
        try:
            self.wait_while_cut((dialer, party))
            far = socket.create_connection(address)
            self._keep(far)
            ends.append(far)
            for sock in ends:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass(near, far, dialer, party)
        except (OSError, EOFError):
            pass  # Either end is gone.
        finally:
            for sock in ends:
                _end(sock)
            with self._lock:
                self._sockets.difference_update(ends)

    def _pass(self, near: socket.socket, far: socket.socket, dialer: int, party: int) -> None:
        head = _read(near, 1)
        if head[0] != _TLS:
            head += _read(near, len(lines.MAGIC) - 1)
        if head == lines.MAGIC:
            hello = head + _read(near, lines.HELLO_BYTES - len(head))
            self.hellos = [*self.hellos[-_KEPT_HELLOS:], hello]
            dialer, head = hello[len(head)], b""
            self.wait_while_cut((dialer, party))
            far.sendall(hello)
            return self._both(_Pump, near, far, (dialer, party), b"")
        return self._both(_Copy, near, far, (dialer, party), head)

    def _both(self, kind: type[_Copy], near: socket.socket, far: socket.socket, way: Way, head: bytes) -> None:
        """Until both ways have ended."""
        locks = threading.Lock(), threading.Lock()
        there = kind(self, near, far, way, locks)
        back = kind(self, far, near, (way[1], way[0]), (locks[1], locks[0]))
        other = threading.Thread(target=back.run, name="jmpc relay", daemon=True)
        other.start()
        there.run(head)
        other.join()


class _History:
    """The frames that went one way, by session."""

    def __init__(self) -> None:
        self._frames: dict[bytes, list[bytes]] = {}
        self._counts: dict[bytes, int] = {}
        self._last = b""
        self._lock = threading.Lock()

    def add(self, claim: Claim, frame: bytes) -> tuple[bytes | None, bytes | None]:
        """For a frame that comes now: the one at its place in an earlier session, and the one that went before it."""
        with self._lock:
            if claim.session not in self._frames:
                self._frames[claim.session], self._counts[claim.session] = [], 0
                for session in list(self._frames)[:-_KEPT_SESSIONS]:
                    del self._frames[session], self._counts[session]
            mine, at = self._frames[claim.session], self._counts[claim.session]
            self._counts[claim.session] += 1
            if len(mine) < _KEPT_FRAMES:
                mine.append(frame)
            others = [found for session, found in self._frames.items() if session != claim.session and at < len(found)]
            before, self._last = self._last, frame
            return (others[-1][at] if others else None), before or None


@dataclass
class _Copy:
    """Bytes from one socket to another. locks: of those that send to the source, and to the sink."""

    relay: Relay
    source: socket.socket
    sink: socket.socket
    way: Way
    locks: tuple[threading.Lock, threading.Lock]

    def run(self, head: bytes = b"") -> None:
        with contextlib.suppress(OSError, EOFError):  # Either end is gone, and the other will see it.
            self.move(head)
        _half_close(self.sink)

    def move(self, head: bytes) -> None:
        data = head or self.source.recv(_CHUNK_BYTES)
        while data:
            self.relay.wait_while_cut(self.way)
            self.sink.sendall(data)
            data = self.source.recv(_CHUNK_BYTES)


@dataclass
class _Pump(_Copy):
    """Frames from one socket to another, from the header `head` if that was read already."""

    held: bytes = field(default=b"", init=False)

    def move(self, head: bytes) -> None:
        while True:
            head = head or _read(self.source, HEADER_BYTES)
            claim = claimed(head)
            whole = head + _read(self.source, claim.length + TAG_BYTES)
            fault, frames = self._met(claim, whole)
            if fault and fault.kind == "delay":
                time.sleep(fault.amount / 1000)
            self.relay.wait_while_cut(self.way)
            with self.locks[1]:
                self.sink.sendall(b"".join(frames))
            if fault and fault.kind == "reflect":
                with self.locks[0]:
                    self.source.sendall(whole)
            if fault and fault.kind in ("close", KILL):  # of a party that is gone, nothing comes after it
                _end(self.source)
                _end(self.sink)
                return
            head = b""

    def _met(self, claim: Claim, frame: bytes) -> tuple[Fault | None, list[bytes]]:
        """What to send in a frame's place, and the fault that says so."""
        earlier, before = self.relay.history(self.way).add(claim, frame)
        if self.relay.watch is not None:
            self.relay.watch(self.way, claim.round_no)
        can = {"splice": earlier is not None, "replay": before is not None}
        fault = self.relay.injection.take(self.way, claim.round_no, without=[kind for kind in can if not can[kind]])
        after, self.held = [self.held] if self.held else [], b""
        if fault is None:
            return None, [frame, *after]
        if fault.kind == "reorder":
            self.held = frame
            return fault, after
        if fault.kind == KILL and self.relay.kill is not None:
            self.relay.kill(fault.sender)
        return fault, [*_changed(fault, frame, earlier or b"", before or b""), *after]


def _changed(fault: Fault, frame: bytes, earlier: bytes, before: bytes) -> list[bytes]:
    if fault.kind == "flip":
        return [flipped(frame, fault.amount)]
    if fault.kind == "truncate":
        return [truncated(frame, fault.amount)]
    nothing: list[bytes] = []
    return {
        "splice": [earlier],
        "replay": [before],
        "repeat": [frame, frame],
        "delay": [frame],
        "drop": nothing,
        "reflect": nothing,
        "close": nothing,
        KILL: nothing,
    }[fault.kind]


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
