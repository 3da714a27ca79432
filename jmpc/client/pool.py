"""The bundles of links that one process has to a cluster: one for each call at a time, more as calls need them.

In: how to dial. Out: a bundle for the length of a call. One that is left sound is kept for the next call; one that lay
idle is looked at before it is used again. All methods may be called from several threads, and not after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from jmpc.client.links import Bundle
from jmpc.errors import ConfigError

KEPT = 4  # bundles that lie idle; a party admits a number of links of one client


class Pool:
    """dial: opens a bundle."""

    def __init__(self, dial: Callable[[], Bundle]) -> None:
        self._dial = dial
        self._lock = threading.Lock()
        self._idle: list[Bundle] = []
        self._closed = False
        self._process = os.getpid()

    def rest(self) -> None:
        """End the links that lie idle. A further call opens others."""
        if self._process != os.getpid():
            return  # they are the parent's
        with self._lock:
            idle, self._idle = self._idle, []
        for bundle in idle:
            bundle.close()

    def close(self) -> None:
        """End the links that lie idle, and each other one with its call. No further call begins."""
        with self._lock:
            self._closed = True
        self.rest()

    @contextmanager
    def bundle(self) -> Generator[Bundle]:
        """A bundle for one call."""
        found = self._take()
        try:
            yield found
        finally:
            self._leave(found)

    def _take(self) -> Bundle:
        self._check_process()
        while True:
            with self._lock:
                self._check_open()
                found = self._idle.pop() if self._idle else None
            if found is None:
                found = self._dial()
            elif not found.idle:
                found.close()
                continue
            return found

    def _leave(self, bundle: Bundle) -> None:
        with self._lock:
            keep = bundle.sound and not self._closed and len(self._idle) < KEPT
            if keep:
                self._idle.append(bundle)
        if not keep:
            bundle.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError(
                "the cluster is closed",
                where="jmpc.connect",
                why="close() was called",
                todo="connect again: jmpc.connect(...)",
            )

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ConfigError(
                "the cluster is another process's",
                where="jmpc.connect",
                why=f"process {self._process} connected, and this one is a fork: both would write to one connection",
                todo="connect in this process",
            )
