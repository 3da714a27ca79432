"""Time for parties that are threads of one process: it passes only when all of them wait.

What goes in: how many threads there are. What comes out: mailboxes and a `sleep` in that time. So a party that computes
slowly, on a busy machine, is never late, and a deadline that must pass costs nothing: once nobody has anything left to
do, time goes on to the first moment at which somebody wakes.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Generator
from typing import Any


class VirtualClock:
    """The time of `threads` threads, each of which does its work inside `working`."""

    def __init__(self, threads: int) -> None:
        self._live = threads
        self._now = 0.0
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[float, deque[Any]]] = {}  # by thread: until when, and for what

    def now(self) -> float:
        """Seconds since the clock was made."""
        with self._changed:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        with self._changed:
            self._wait(self._now + seconds, deque())

    def mailbox(self) -> Mailbox:
        """A queue whose readers wait in this time."""
        return Mailbox(self)

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """The whole work of one of the threads: nobody waits for it any more once it has ended."""
        try:
            yield
        finally:
            with self._changed:
                self._live -= 1
                self._pass()

    def _wait(self, until: float, box: deque[Any]) -> None:
        """Wait for something in `box`, or for a moment."""
        thread = threading.get_ident()
        self._waiting[thread] = until, box
        try:
            while not box and self._now < until:
                if not self._pass():
                    self._changed.wait()
        finally:
            del self._waiting[thread]

    def _pass(self) -> bool:
        """Let time pass if all wait in vain; whether it did."""
        in_vain = [until for until, box in self._waiting.values() if not box and until > self._now]
        if not self._live or len(in_vain) < self._live:
            return False
        self._now = min(in_vain)
        self._changed.notify_all()
        return True


class Mailbox:
    """A queue for one reader: as queue.SimpleQueue, in another time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._items = clock, deque[Any]()

    def put(self, item: Any) -> None:
        with self._clock._changed:
            self._items.append(item)
            self._clock._changed.notify_all()

    def get(self, timeout: float) -> Any:
        """Raises queue.Empty."""
        with self._clock._changed:
            self._clock._wait(self._clock._now + timeout, self._items)
            if not self._items:
                raise queue.Empty
            return self._items.popleft()
