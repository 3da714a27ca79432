"""Files of a cluster's folder: read with care for who else may read them, and changed all at once or not at all.

A change of several files is first written beside them, in full and to the disk, then declared by one `rename`, and only
then put into place: what a crash leaves is either as before, or finished by whoever comes next (`finish`), reader or
writer. One command at a time changes a folder (`locked`). This file knows nothing of what the files say.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jmpc.cluster.faults import Fault, files_of
from jmpc.errors import ConfigError

MOST_BYTES = 1 << 20
PRIVATE, PUBLIC = 0o600, 0o644
_STAGING, _PENDING, _MANIFEST = ".jmpc-staging", ".jmpc-pending", "manifest.json"
OWN = (_STAGING, _PENDING)
_LOCK_S, _RETRY_S = 30.0, 0.05


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A file as it shall be: its path in the folder, what it holds (None: it goes), and who may read it."""

    path: str
    content: bytes | None
    mode: int = PUBLIC


def read(path: Path, private: bool = False) -> tuple[bytes, list[Fault]]:
    """What a file holds, and what is wrong with it; of a private one, that others could read or replace it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if private else 0))
    except OSError as exc:
        return b"", [_unreadable(path, exc, private)]
    try:
        return _of_descriptor(fd, path, private)
    finally:
        os.close(fd)


def _of_descriptor(fd: int, path: Path, private: bool) -> tuple[bytes, list[Fault]]:
    found, where = os.fstat(fd), str(path)
    if not stat.S_ISREG(found.st_mode):
        return b"", [Fault("not-a-file", f"{path.name} is no file", where, todo="put a regular file there")]
    if found.st_size > MOST_BYTES:
        why = f"it has {found.st_size} bytes, and {MOST_BYTES} are the most"
        return b"", [Fault("too-large", f"{path.name} is too large", where, why)]
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read(MOST_BYTES), _exposed(found, where) if private else []


def _unreadable(path: Path, exc: OSError, private: bool) -> Fault:
    if private and path.is_symlink():
        why = "who may change the link may put another key there"
        return Fault("symbolic-link", f"{path.name} is a symbolic link", str(path), why, "put the file itself there")
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        why = "" if path.is_absolute() else f"the path is taken from {Path.cwd()}"
        return Fault("missing-file", f"{path.name} is missing", str(path), why, "look whether the path is right")
    why = os.strerror(exc.errno or 0).lower()
    return Fault("unreadable", f"{path.name} cannot be read", str(path), why, "run this as the user who owns the file")


def _exposed(found: os.stat_result, where: str) -> list[Fault]:
    faults: list[Fault] = []
    if found.st_mode & 0o077:
        why = f"its mode is {stat.S_IMODE(found.st_mode):04o}: others on this machine have it"
        todo = f"chmod 600 {where}; if others used this machine, make a new key: jmpc cluster rotate"
        faults.append(Fault("readable-key", "a private key can be read by others", where, why, todo))
    return faults + _foreign(found, where)


def _foreign(found: os.stat_result, where: str) -> list[Fault]:
    if found.st_uid in (0, os.geteuid()):
        return []
    why = f"it belongs to the user {found.st_uid}, and this is the user {os.geteuid()}"
    return [Fault("foreign-owner", "another user may change it", where, why, f"chown {os.geteuid()} {where}")]


def others_write(found: os.stat_result) -> bool:
    """Whether somebody besides the owner of a file or folder may change it."""
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid != found.st_uid  # many users have a group of their own
    return bool(by_group or found.st_mode & stat.S_IWOTH)


def folder_faults(folder: Path) -> list[Fault]:
    """What is wrong with a folder that holds a private key."""
    where = str(folder)
    try:
        found = os.lstat(folder)
    except OSError as exc:
        return [_unreadable(folder, exc, private=False)]
    if stat.S_ISLNK(found.st_mode):
        why = "who may change the link may put another key there"
        return [Fault("symbolic-link", f"{folder.name} is a symbolic link", where, why, "name the folder itself")]
    if not stat.S_ISDIR(found.st_mode):
        return [Fault("not-a-folder", f"{folder.name} is no folder", where, todo="give the folder that holds the key")]
    if found.st_mode & 0o077:
        why = f"its mode is {stat.S_IMODE(found.st_mode):04o}"
        return [Fault("open-folder", "others may look into the folder of a key", where, why, f"chmod 700 {where}")]
    return _foreign(found, where)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Nobody else changes the folder meanwhile. What a crash left of an earlier change is finished or removed first."""
    with files_of(folder, "the cluster's folder cannot be opened"):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        lock(fd, folder)
        with files_of(folder, "what was left of an earlier change cannot be finished"):
            _roll_forward(folder)
            shutil.rmtree(folder / _STAGING, ignore_errors=True)
        yield
    finally:
        os.close(fd)


def lock(fd: int, folder: Path) -> None:
    """Lock a folder, until its descriptor is closed. Raises ConfigError where somebody else holds it for long."""
    end = time.monotonic() + _LOCK_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ConfigError(
                    "another command is changing this folder",
                    where=str(folder),
                    why=f"it has held the folder for {_LOCK_S:g} seconds",
                    todo="wait until it is done, or end it, then run this again",
                ) from None
            time.sleep(_RETRY_S)


def finish(folder: Path) -> None:
    """Put into place what an interrupted change had declared. Readers call this before they read."""
    if (folder / _PENDING).is_dir():
        with locked(folder):
            pass


def commit(folder: Path, entries: Sequence[Entry]) -> None:
    """Make all files as they shall be, or, whatever happens, none. The caller holds the lock."""
    with files_of(folder, "the cluster's files cannot be written"):
        for parent in {(folder / entry.path).parent for entry in entries}:
            if parent.is_symlink():
                raise folder_faults(parent)[0].error()
        try:
            _stage(folder / _STAGING, entries)
        except BaseException:
            shutil.rmtree(folder / _STAGING, ignore_errors=True)
            raise
        os.rename(folder / _STAGING, folder / _PENDING)
        _sync(folder)
        _roll_forward(folder)


def _stage(staging: Path, entries: Sequence[Entry]) -> None:
    staging.mkdir(mode=0o700)
    for number, entry in enumerate(entries):
        if entry.content is not None:
            _write(staging / str(number), entry.content, entry.mode)
    rows = [[entry.path, entry.content is None] for entry in entries]
    _write(staging / _MANIFEST, json.dumps(rows).encode(), PRIVATE)
    _sync(staging)


def _roll_forward(folder: Path) -> None:
    pending = folder / _PENDING
    if not pending.is_dir():
        return
    for number, (path, goes) in enumerate(json.loads((pending / _MANIFEST).read_bytes())):
        source, target = pending / str(number), folder / path
        if goes:
            target.unlink(missing_ok=True)
        elif source.exists():  # else it is in place already
            target.parent.mkdir(mode=0o700, exist_ok=True)
            os.replace(source, target)
        if target.parent.is_dir():
            _sync(target.parent)
    _sync(folder)
    os.rename(pending, folder / _STAGING)  # all is in place
    shutil.rmtree(folder / _STAGING)


def _write(path: Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
