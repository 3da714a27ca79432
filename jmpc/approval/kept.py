"""Small files that a service and the command line share: written whole or not at all, read again when they changed.

In: paths. Out: what they hold, as long as nobody but this user (or root) can have written it. Of a file that others may
change nothing is believed: what a party runs is decided in these.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from jmpc.cluster import files
from jmpc.cluster.faults import file_error, files_of
from jmpc.errors import ConfigError

T = TypeVar("T")
_Stamp = tuple[int, int, int, int]
MOST_BYTES = 1 << 24
_NEW = ".new-"


def read(path: Path, most: int = MOST_BYTES) -> bytes | None:
    """What a file holds; None if there is none. Raises ConfigError where it cannot be believed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise file_error(f"{path.name} cannot be read", path, exc) from exc
    with files_of(path, f"{path.name} cannot be read"), os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        check_trusted(found, path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise ConfigError(f"{path.name} is no file of this kind", where=str(path), why=f"{most} bytes are the most")
        return file.read(most)


def check_trusted(found: os.stat_result, path: Path) -> None:
    """Raises ConfigError for a file or folder that others may change."""
    if found.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
        why, todo = f"it belongs to the user {found.st_uid}", f"chown {os.geteuid()} {path}"
    elif found.st_mode & 0o022:
        why, todo = f"its mode is {stat.S_IMODE(found.st_mode):04o}", f"chmod go-w {path}"
    else:
        return
    raise ConfigError(f"others may change {path.name}", where=str(path), why=why, todo=todo)


def write(path: Path, content: bytes) -> None:
    """All of it, durably, in place of what was there; of mode 0600, its folder's owner's. The caller holds the folder's
    lock, or what it writes may be taken for what a crash left. Raises OSError."""
    new = path.with_name(f"{_NEW}{secrets.token_hex(8)}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            hand_over(fd, path.parent)
            os.fsync(fd)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)


def hand_over(file: int | Path, folder: Path) -> None:
    """What an operator who is root made is the service's too: the folder's owner's."""
    if os.geteuid() == 0:
        found = os.stat(folder)
        os.chown(file, found.st_uid, found.st_gid)


def remove(path: Path) -> None:
    """Raises OSError."""
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """A folder of this user's alone, if there is none yet; what crashes left in it goes. Raises ConfigError."""
    with files_of(folder, "the folder of programs cannot be used"):
        folder.mkdir(mode=0o700, exist_ok=True)
        check_trusted(os.stat(folder), folder)
    with locked(folder), files_of(folder, "the folder of programs cannot be used"):
        for path in folder.glob(f"{_NEW}*"):
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Nobody else, of those who ask, changes files of the folder meanwhile. Raises ConfigError."""
    with files_of(folder, "the folder of programs cannot be used"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        files.lock(fd, folder)
        yield
    finally:
        os.close(fd)


class Watched(Generic[T]):
    """A file as `parse` reads it, read again once it is another one. absent: what there is without it. Threads may
    share it."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], absent: T) -> None:
        self.path, self._parse, self._absent = path, parse, absent
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._value = absent

    def now(self) -> T:
        """Raises ConfigError where it cannot be read, as long as it cannot."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp is None:
                self._stamp, self._value = None, self._absent
            elif stamp != self._stamp:
                content = read(self.path)
                self._value = self._absent if content is None else self._parse(content)
                self._stamp = stamp
            return self._value

    def _stamp_now(self) -> _Stamp | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise file_error(f"{self.path.name} cannot be read", self.path, exc) from exc
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
