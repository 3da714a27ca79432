"""Lines: the bulk sockets between this party and one peer, each for one session at a time, and used again.

In: the secret of the standing link to the peer. Out: sockets by number. The party of the lower index dials; a line
begins with a hello that only who has the link's secret can make, and no hello counts twice. What moves on a line is
sealed under keys of its session (runtime/frames.py). A line goes back only after a session that both ends finished:
else it may hold frames of a dead one, and is closed. All lines end with their link.

Why a socket for each session, and not one for all: a session waits for its own socket in its own thread, with no other
thread between it and the network, and the kernel shares the wire fairly between sockets.
"""

from __future__ import annotations

import hmac
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

from jmpc.errors import PeerError
from jmpc.recent import Recent
from jmpc.runtime.door import Proof
from jmpc.runtime.failure import Place, foreign, party_name
from jmpc.runtime.links import Staging, tune
from jmpc.runtime.pairing import TAG_BYTES, PairSecret

MAGIC = b"jmpc line\x01"
_HELLO = struct.Struct(">10sBBQ16s")
HELLO_BYTES = _HELLO.size
_LABEL = b"line hello"

_REMEMBERED = 4096  # numbers of lines, at each link: a hello that is older than all of them is a replay

_CLOSED = "the session that had it before failed at this end"
_AGAIN = "run again"

Address = tuple[str, int]


def hello(secret: PairSecret, party: int, peer: int, number: int) -> bytes:
    """What a line begins with."""
    return _HELLO.pack(MAGIC, party, peer, number, _tag(secret, party, peer, number))


def _tag(secret: PairSecret, party: int, peer: int, number: int) -> bytes:
    return secret.tag(_LABEL, bytes([party, peer]), number.to_bytes(8, "big"))[:TAG_BYTES]


class Line:
    """One socket, with the buffers that its sessions share."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number, self.sock, self.staging = number, tune(sock), Staging()

    @property
    def is_quiet(self) -> bool:
        """Nothing waits on it, not even its end."""
        return not select.select([self.sock], [], [], 0)[0]

    @property
    def is_ended(self) -> bool:
        """The other end has closed it, and nothing before that is left to read."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self.sock.close()


class Lines:
    """Those to one peer, for as long as a link to it stands. idle: how many are kept while no session needs them."""

    def __init__(self, party: int, peer: int, secret: PairSecret, address: Address | None, idle: int) -> None:
        """address: where to dial; None at the end that is dialed."""
        self.party, self.peer = party, peer
        self._secret, self._address, self._most_idle = secret, address, idle
        self._changed = threading.Condition()
        self._idle: dict[int, Line] = {}
        self._used: set[int] = set()
        self._least = 0  # of the numbers that a new line may have
        self._gone: Recent[int, bool] = Recent(_REMEMBERED)
        self._next = 0
        self._open = True

    @property
    def dials(self) -> bool:
        return self._address is not None

    def take(self, deadline: float) -> Line:
        """At the end that dials: an idle line, or a new one. Raises PartyError where the peer cannot be reached."""
        with self._changed:
            self._check()
            while self._idle:
                _, line = self._idle.popitem()
                if line.is_quiet:
                    return line
                line.close()
            number = self._next = self._next + 1
        assert self._address is not None
        place = Place(party=self.party, phase="handshake", peer=party_name(self.peer))
        with foreign(place):
            sock = socket.create_connection(self._address, timeout=max(0.001, deadline - time.monotonic()))
            try:
                sock.sendall(hello(self._secret, self.party, self.peer, number))
                return Line(number, sock)
            except BaseException:
                sock.close()
                raise

    def wait(self, number: int, deadline: float) -> Line:
        """At the end that is dialed: the line of a number. Raises TimeoutError, and PeerError where the link ends."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: number in self._idle or number in self._gone or not self._open,
                max(0.0, deadline - time.monotonic()),
            )
            self._check()
            if not arrived:
                raise TimeoutError
            if number in self._gone:
                place = Place(party=self.party, phase="handshake", peer=party_name(self.peer))
                raise PeerError(f"the line to {party_name(self.peer)} is closed", where=place, why=_CLOSED, todo=_AGAIN)
            return self._idle.pop(number)

    def give_back(self, line: Line) -> None:
        """After a session that finished here. The end that dials says how many are kept; the other end follows it, and
        the next session may wait for this very line."""
        with self._changed:
            if self._open and (not self.dials or len(self._idle) < self._most_idle):
                self._idle[line.number] = line
                self._changed.notify_all()
                return
        self.discard(line)

    def discard(self, line: Line) -> None:
        """After a session that failed here."""
        line.close()
        with self._changed:
            if not self.dials:
                self._gone.put(line.number, True)
                self._changed.notify_all()

    def admit(self, number: int, tag: bytes, sock: socket.socket) -> bool:
        """At the end that is dialed: a line that came in; whether it is one."""
        right = _tag(self._secret, self.peer, self.party, number)
        with self._changed:
            seen = number < self._least or number in self._used
            if not self._open or self.dials or seen or not hmac.compare_digest(tag, right):
                return False
            self._use(number)
            self._prune()
            self._idle[number] = Line(number, sock)
            self._changed.notify_all()
            return True

    def _use(self, number: int) -> None:
        """Numbers grow, and overtake each other by a few: of old ones it is enough to know that they are old."""
        self._used.add(number)
        if len(self._used) > _REMEMBERED:
            self._least = max(self._used) - _REMEMBERED // 2
            self._used = {used for used in self._used if used >= self._least}

    def _prune(self) -> None:
        """Let go of lines that the other end has closed."""
        for number, line in list(self._idle.items()):
            if line.is_ended:
                del self._idle[number]
                line.close()

    def close(self) -> None:
        """The link has ended."""
        with self._changed:
            self._open = False
            lines, self._idle = list(self._idle.values()), {}
            self._changed.notify_all()
        for line in lines:
            line.close()

    def _check(self) -> None:
        if not self._open:
            place = Place(party=self.party, phase="handshake", peer=party_name(self.peer))
            raise PeerError(f"{party_name(self.peer)} was lost", where=place, why="the link to it has ended")


def arriving(sock: socket.socket, admit: Callable[[int, int, int, bytes, socket.socket], bool]) -> Proof[None]:
    """A connection that says that it is a line, step by step (runtime/door.py). admit: sender, receiver, number, tag,
    socket."""
    said = b""
    try:
        while len(said) < HELLO_BYTES:
            try:
                part = sock.recv(HELLO_BYTES - len(said))
            except BlockingIOError:
                yield select.POLLIN
                continue
            if not part:
                raise PeerError("a line ended before it said whose it is")
            said += part
        magic, sender, receiver, number, tag = _HELLO.unpack(said)
        if magic != MAGIC or not admit(sender, receiver, number, tag, sock):
            raise PeerError("a line is of no peer")
    except BaseException:
        sock.close()
        raise
