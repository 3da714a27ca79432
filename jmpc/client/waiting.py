"""Waiting for the first of several links, or until somebody gives the wait up.

In: links, a deadline, a `Waker`. Out: the links from which something can be read.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence

from jmpc.errors import JMPCError
from jmpc.runtime.control import ControlLink


class Cancelled(JMPCError):
    """The call was given up here."""


class Waker:
    """What ends a wait from another thread. Close it when no one waits any more."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._lock = threading.Lock()
        self._open = True
        self.woken = False

    @property
    def fd(self) -> int:
        return self._read

    def wake(self) -> None:
        """Once and for all."""
        with self._lock:
            if self._open and not self.woken:
                os.write(self._write, b"\0")
            self.woken = True

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._read)
                os.close(self._write)

    def check(self) -> None:
        """Raises Cancelled where the wait was given up before it began."""
        if self.woken:
            raise Cancelled("the call was cancelled")


def readable(links: Sequence[ControlLink], until: float | None, waker: Waker | None = None) -> list[ControlLink]:
    """The links that have something to read, a link's end too; none at the deadline (of time.monotonic). Raises
    Cancelled."""
    if waker is not None:
        waker.check()
    buffered = [link for link in links if link.pending()]
    if buffered:
        return buffered
    ended = [link for link in links if not link.alive]
    if ended:
        return ended
    poll = select.poll()
    by_fd = {link.fd: link for link in links}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    if waker is not None:
        poll.register(waker.fd, select.POLLIN)
    wait = None if until is None else max(0, int((until - time.monotonic()) * 1000) + 1)
    ready = [fd for fd, _ in poll.poll(wait)]
    if waker is not None:
        waker.check()
    return [by_fd[fd] for fd in ready if fd in by_fd]
