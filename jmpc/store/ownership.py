"""One process owns a store: a file that it locks, which says who it is.

In: a folder. Out: a lock, until it is released or the process ends, however it ends. A fork does not own it: it lets go
of its copy, so that it does not keep the store from others when its parent has ended.
"""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
from pathlib import Path

from jmpc.errors import StoreError
from jmpc.store.disk import explained

FILE = "lock"
_MOST_BYTES = 200
_held: weakref.WeakSet[Ownership] = weakref.WeakSet()


class Ownership:
    """Of a folder, by this process."""

    def __init__(self, folder: Path) -> None:
        self._path, self._pid, self._left = folder / FILE, os.getpid(), False
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with explained("locking the store", self._path):
            self._fd = os.open(self._path, flags, 0o600)
            try:
                self._lock()
            except BaseException:
                os.close(self._fd)
                raise
        _held.add(self)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            who = os.pread(self._fd, _MOST_BYTES, 0).decode(errors="replace").strip()
            raise StoreError(
                "this store is in use",
                where=str(self._path.parent),
                why=f"it belongs to {who if who.isprintable() and who else 'another process'}",
                todo="stop that one first; one process at a time owns a store",
            ) from exc
        text = f"process {os.getpid()} of user {os.geteuid()} on {socket.gethostname()}\n".encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    @property
    def is_fork(self) -> bool:
        """Whether this process is a fork of the one that owns the folder."""
        return self._left or os.getpid() != self._pid

    def check(self) -> None:
        """Raises StoreError in a fork."""
        if self.is_fork:
            raise StoreError(
                "this store cannot be used here",
                where=str(self._path.parent),
                why=f"process {self._pid} opened it, and this one is a fork",
                todo="open stores after forking",
            )

    def release(self) -> None:
        """For the next process."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def leave(self) -> None:
        """To the process of which this one is a fork."""
        self._left = True
        self.release()


def _forked() -> None:
    for ownership in list(_held):
        ownership.leave()


os.register_at_fork(after_in_child=_forked)
