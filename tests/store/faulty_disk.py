"""Disks that fail: at one operation, before it is done, after it, or half way; and disks that a crash cuts off there.

In: the number of an operation. Out: an error of the system; or the folder as the crash leaves it. Of what was not
synced a loss of power keeps nothing: a file that was made is not there or is empty, one that was removed is back.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jmpc.store import Disk

WRITES = ("create", "write", "sync", "make_folder", "sync_folder", "rename", "remove", "execute")
READS = ("open", "read", "free")


class Crash(BaseException):
    """The process is no more: nothing that handles errors may run after it."""


def system_error(name: str) -> Exception:
    """What the system says where the disk fails, and SQLite where its own does."""
    if name != "execute":
        return OSError(errno.EIO, os.strerror(errno.EIO))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]
    return error


def full_error(name: str) -> Exception:
    if name != "execute":
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]
    return error


class FaultyDisk(Disk):
    """at: the operation, counted from 0, that `fault` is for; None for none.  done: it fails after it was done.
    lasting: all later ones fail too. Operations of `kinds` count."""

    def __init__(
        self,
        at: int | None = None,
        fault: Callable[[str], BaseException] = system_error,
        done: bool = False,
        lasting: bool = False,
        kinds: Sequence[str] = WRITES,
    ) -> None:
        self.at, self.fault, self.done, self.lasting, self.kinds = at, fault, done, lasting, kinds
        self.log: list[str] = []
        for name in (*WRITES, *READS):
            setattr(self, name, self._faulty(name))

    def _faulty(self, name: str) -> Callable[..., Any]:
        real = getattr(super(), name)

        def operation(*args: Any) -> Any:
            number = len(self.log)
            if name in self.kinds:
                self.log.append(name)
            hit = name in self.kinds and self.at is not None
            hit = hit and (number == self.at or (self.lasting and number > (self.at or 0)))
            if hit and not self.done:
                if name == "write" and len(args[1]) > 1:
                    real(args[0], memoryview(args[1])[: len(args[1]) // 2], args[2])
                raise self.fault(name)
            found = real(*args)
            self.track(name, args, found)
            if hit:
                raise self.fault(name)
            return found

        return operation

    def track(self, name: str, args: Sequence[Any], found: Any) -> None:
        """For those who look at what was done."""


class CrashingDisk(FaultyDisk):
    """At its operation the process ends, and `image` is what is on the disk then. power: whether the power goes too."""

    def __init__(self, at: int, folder: Path, image: Path, power: bool = False) -> None:
        super().__init__(at, self._crash, lasting=True)
        self.folder, self.image, self.power, self.over = folder, image, power, False
        self._paths: dict[int, Path] = {}
        there = list((folder / "values").iterdir()) if (folder / "values").is_dir() else []
        self._synced = {path: path.read_bytes() for path in there}  # contents
        self._linked = set(there)  # files that are in their folder for sure

    def _crash(self, name: str) -> BaseException:
        if not self.over:
            self.over = True
            shutil.copytree(self.folder, self.image)
            if self.power:
                self._lose()
        return Crash()

    def _lose(self) -> None:
        values = self.folder / "values"
        for path in (self.image / "values").iterdir():
            path.unlink()
        for path in self._linked:
            if path.parent == values:
                (self.image / "values" / path.name).write_bytes(self._synced.get(path, b""))

    def track(self, name: str, args: Sequence[Any], found: Any) -> None:
        if name == "create":
            self._paths[found] = args[0]
        elif name == "sync" and args[0] in self._paths:
            self._synced[self._paths[args[0]]] = self._paths[args[0]].read_bytes()
        elif name == "sync_folder":
            self._linked = {p for p in self._linked if p.parent != args[0]} | set(args[0].iterdir())
