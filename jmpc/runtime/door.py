"""Where connections come in: who proves who it is gets in, and strangers neither break nor delay that.

In: a listening socket, and how a connection proves itself: a generator over one socket that does not block. It yields
what it waits for (POLLIN, POLLOUT), returns what it proved, or raises; then, and when it is closed, it has closed the
socket. Out: what the proofs returned, one by one. All connections are heard at once, so that a silent one costs the
others nothing; one that takes too long is dropped, and where there are too many, the oldest are.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from jmpc.errors import PartyError

T = TypeVar("T")
Tell = Callable[[str, str], None]  # of a connection that was refused: from where, and why
Proof = Generator[int, None, T]

PATIENCE_S = 30.0  # an honest peer needs milliseconds, but its machine may be busy
MOST_PENDING = 256  # well below the 1,024 descriptors that a process has by default
BACKLOG = 1024  # connections that the kernel holds between two sessions, when nobody listens; strangers stay in it
_OUT_OF_DESCRIPTORS_S = 0.05  # before the next try to take a connection, where there is none to drop for it
_BATCH = 32  # connections taken at once, before those that have something to say are heard


@dataclass(eq=False)
class _Pending(Generic[T]):
    proof: Proof[T]
    until: float
    source: str


def _tell_nobody(_source: str, _why: str) -> None: ...


class Door(Generic[T]):
    """The proofs at one listener. `refused`: how many connections were dropped; `reason`: why the last one was."""

    def __init__(
        self,
        listener: socket.socket,
        prove: Callable[[socket.socket], Proof[T]],
        patience_s: float = PATIENCE_S,
        tell: Tell = _tell_nobody,
    ) -> None:
        self.refused, self.reason, self._tell = 0, "", tell
        self._listener, self._prove, self._patience_s = listener, prove, patience_s
        self._pending: dict[int, _Pending[T]] = {}  # by descriptor, the oldest first
        self._proved: list[T] = []  # one at most
        self._poll = select.poll()
        listener.setblocking(False)
        self._poll.register(listener, select.POLLIN)

    def __enter__(self) -> Door[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for fd in list(self._pending):
            self._drop(fd)

    def admit(self, deadline: float) -> T:
        """What the next proof returns. Raises TimeoutError at the deadline (of time.monotonic)."""
        while not self._proved:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            for fd in [fd for fd, held in self._pending.items() if held.until <= now]:
                self._refuse(fd, "it said nothing for too long")
            until = min([deadline, *(held.until for held in self._pending.values())])
            for fd, _ in self._poll.poll(max(1, int((until - now) * 1000))):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._pending:  # it may have been dropped for a newer one
                    self._step(fd)
                if self._proved:
                    break  # The poll will name the others again: nothing that proved itself is left lying.
        return self._proved.pop()

    def _accept(self) -> None:
        for _ in range(_BATCH):
            if self._proved:
                return
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # The connection is gone again, or this process is out of descriptors.
                if self._pending:
                    self._refuse(next(iter(self._pending)), "too many connections wait")
                else:
                    time.sleep(_OUT_OF_DESCRIPTORS_S)
                return
            if len(self._pending) >= MOST_PENDING:
                self._refuse(next(iter(self._pending)), "too many connections wait")
            sock.setblocking(False)
            fd = sock.fileno()
            until = time.monotonic() + self._patience_s
            self._pending[fd] = _Pending(self._prove(sock), until, ":".join(map(str, address[:2])))
            self._poll.register(fd, 0)
            self._step(fd)

    def _step(self, fd: int) -> None:
        try:
            self._poll.modify(fd, next(self._pending[fd].proof))
        except StopIteration as end:
            self._forget(fd)
            self._proved.append(end.value)
        except Exception as exc:  # Whatever it was, it is about this connection: the door stays open.
            self._refuse(fd, exc.why or exc.what if isinstance(exc, PartyError) else type(exc).__name__)

    def _refuse(self, fd: int, reason: str) -> None:
        self.refused, self.reason = self.refused + 1, reason
        source = self._pending[fd].source
        self._drop(fd)
        self._tell(source, reason)

    def _drop(self, fd: int) -> None:
        proof = self._pending[fd].proof
        self._forget(fd)
        proof.close()

    def _forget(self, fd: int) -> None:
        del self._pending[fd]
        self._poll.unregister(fd)
