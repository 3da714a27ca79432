"""The signals that a party's process is told things by, taken by a thread of their own.

In: SIGTERM, SIGINT, SIGHUP. Out: words in a queue, for the main thread; the second time that it is told to stop, the
end of the process at once, whatever the main thread does. Nothing is interrupted by a signal: all threads block them.
"""

from __future__ import annotations

import enum
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_STOP = (signal.SIGTERM, signal.SIGINT)
_ALL = (*_STOP, signal.SIGHUP)


class Word(enum.Enum):
    """What the process is told."""

    STOP = "stop"
    RELOAD = "reload"
    ENDED = "ended"  # by no signal: what it does has come to an end


def block() -> None:
    """To be called before the first thread is made: what comes until `Signals` is there waits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)


@contextmanager
def blocked() -> Generator[None]:
    """As `block`, for a process that is started in the block: what it imports may make threads before it is asked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def held_back() -> Generator[None]:
    """Ctrl-C, to the end of the block, for what must not be cut in two. Only in the main thread does it interrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])


class Signals:
    """told: hears each signal's name, with whether it is the second to stop.  words: where they go."""

    def __init__(self, told: Callable[[str, bool], None], words: queue.SimpleQueue[Word]) -> None:
        self.words = words
        self._told, self._stopping = told, False
        threading.Thread(target=self._take, name="signals", daemon=True).start()

    def _take(self) -> None:
        while True:
            number = signal.sigwait(_ALL)
            again = number in _STOP and self._stopping
            self._told(number.name if isinstance(number, signal.Signals) else str(number), again)
            if again:
                os._exit(128 + number)
            if number in _STOP:
                self._stopping = True
            self.words.put(Word.STOP if number in _STOP else Word.RELOAD)
