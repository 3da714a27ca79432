"""What the store asks of the operating system, one method each, so that tests can put a fault at any of them.

In: paths, open files, bytes, SQL. Out: the same, done whole or an OSError or sqlite3.Error. `explained` makes those the
store's own errors; of the system's text it keeps the reason, which holds no content.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jmpc.errors import DamagedError, StoreError, StoreFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Statements are fixed, so that a fault in one (SQLITE_ERROR, or none of SQLite's: a text that is none) is the file's.
_NO_DATABASE = (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Disk:
    """The real one. A file that it makes is its owner's alone, and was not there before."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write(self, fd: int, data: memoryview | bytes, offset: int) -> None:
        """All of it: the system may take less at a time."""
        view = memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done

    def read(self, fd: int, into: memoryview, offset: int) -> int:
        """As many bytes as there are; returns how many."""
        got = 0
        while got < len(into):
            done = os.preadv(fd, [into[got:]], offset + got)
            if not done:
                break
            got += done
        return got

    def sync(self, fd: int) -> None:
        os.fsync(fd)

    def make_folder(self, path: Path) -> None:
        os.mkdir(path, 0o700)

    def sync_folder(self, path: Path) -> None:
        """Makes durable which files there are."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, path: Path, to: Path) -> None:
        os.rename(path, to)

    def remove(self, path: Path) -> None:
        """Of a file that may be gone already."""
        path.unlink(missing_ok=True)

    def free(self, folder: Path) -> int:
        """Bytes that are left for us on the disk of a folder."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def execute(self, database: sqlite3.Connection, statement: str, values: Sequence[object] = ()) -> list[Any]:
        return database.execute(statement, values).fetchall()


def write_file(disk: Disk, path: Path, content: bytes) -> None:
    """A new file, durable but for its place in the folder."""
    fd = disk.create(path)
    try:
        disk.write(fd, content, 0)
        disk.sync(fd)
    finally:
        disk.close(fd)


@contextmanager
def explained(doing: str, where: Path) -> Generator[None]:
    """Errors of the system and of SQLite, as the store's: `doing` says what was not done."""
    try:
        yield
    except OSError as exc:
        kind = StoreFullError if exc.errno in _FULL else StoreError
        raise _error(kind, doing, where, exc.strerror or type(exc).__name__) from exc
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        kind = StoreFullError if code == sqlite3.SQLITE_FULL else DamagedError if code in _NO_DATABASE else StoreError
        raise _error(kind, doing, where, f"the index: {exc}") from exc


def _error(kind: type[StoreError], doing: str, where: Path, why: str) -> StoreError:
    todo: dict[type[StoreError], str] = {
        StoreFullError: "free space on this disk, or delete values; what was stored before is untouched",
        DamagedError: "restore the newest backup, or have the value rebuilt from the other parties",
    }
    return kind(f"{doing} failed", where=str(where), why=why, todo=todo.get(kind, "look at the disk"))
