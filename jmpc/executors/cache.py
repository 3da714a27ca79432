"""Compiled code on disk, for the next process: kept by one user, and proved to be his before it is loaded.

What goes in: names that say all that decides the code, and executables as bytes. What comes out: those bytes, or
nothing where there are none, or where they are not what was written under that name.

To load compiled code is to run it. So the folder must be the user's own and closed to others, and every entry carries a
tag, by a key that lies elsewhere (a cache that came from another machine, a backup or a build server opens nothing).
The tag covers the name: an entry that was swapped for another one, cut or changed is noticed, and compiled anew. The
folder is opened once and checked as opened; files are reached through it. So it does not matter who may rename the
folders above it: whatever he puts in its place must pass the same checks.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import stat
import warnings
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from jmpc.errors import ConfigError

_FORMAT = b"jmpc code 1\n"
_TAG_BYTES = KEY_BYTES = 32
_KEY = "cache.key"


@dataclass(frozen=True)
class CodeFolder:
    """Where code is kept, and the folder of the key to it. named: by the user, who is told if it cannot be used."""

    path: str
    key_path: str
    named: bool


def cache_folder() -> CodeFolder | None:
    """`JMPC_CACHE_DIR`, else a folder in the user's cache; None where the variable is empty, or there is no home."""
    named = os.environ.get("JMPC_CACHE_DIR")
    cache, state = _base("XDG_CACHE_HOME", ".cache"), _base("XDG_STATE_HOME", ".local/state")
    if named == "" or not (named or cache):
        return None
    return CodeFolder(named or f"{cache}/jmpc/code", f"{state}/jmpc" if state else "", bool(named))


def _base(variable: str, default: str) -> str:
    """A base folder of the XDG specification, by which a relative one does not count."""
    found = os.environ.get(variable, "")
    if os.path.isabs(found):
        return found
    try:
        return str(Path.home() / default)
    except RuntimeError:
        return ""


class OpenCache:
    """An open folder of code. Several threads may read and write; close it through `opened`."""

    def __init__(self, fd: int, key: bytes) -> None:
        self._fd, self._key = fd, key
        self.spoilt: list[str] = []

    def read(self, name: str) -> bytes | None:
        """What was written under a name, or None."""
        try:
            data = _read(name, self._fd)
        except OSError:
            return None
        tag, content = data[len(_FORMAT) : len(_FORMAT) + _TAG_BYTES], data[len(_FORMAT) + _TAG_BYTES :]
        if not data.startswith(_FORMAT) or not hmac.compare_digest(tag, self._tag(name, content)):
            self.spoilt.append(name)
            return None
        return zlib.decompress(content)

    def write(self, name: str, code: bytes) -> None:
        """Keep code under a name, in place of what is there; a disk that is full keeps nothing."""
        content = zlib.compress(code, 1)
        with contextlib.suppress(OSError):
            _write(name, self._fd, _FORMAT + self._tag(name, content) + content)

    def _tag(self, name: str, content: bytes) -> bytes:
        return hmac.digest(self._key, _FORMAT + name.encode() + b"\n" + content, "sha256")

    def __repr__(self) -> str:
        return "OpenCache(hidden)"


@contextlib.contextmanager
def opened(folder: CodeFolder | None) -> Generator[OpenCache | None]:
    """The folder, open for the block, or None where there is none. Raises ConfigError for a folder that the user named
    and that others can write to, or that cannot be used; without such a one, code is not kept."""
    with contextlib.ExitStack() as stack:
        kept = None
        if folder is not None:
            try:
                kept = OpenCache(_open_own(folder.path, stack), _key(folder.key_path, stack))
            except _Refused as refused:
                if folder.named or refused.unsafe:
                    _tell(refused, folder.named)
        yield kept
        if kept is not None and kept.spoilt:
            warnings.warn(
                f"{len(kept.spoilt)} entries of compiled code in {folder.path if folder else ''} were compiled anew: "
                "they were changed, or written with another key",
                RuntimeWarning,
                stacklevel=2,
            )


@dataclass(eq=False)
class _Refused(Exception):
    """unsafe: others could have put code there; else it is only out of reach."""

    what: str
    why: str
    todo: list[str] = field(default_factory=list[str])
    unsafe: bool = False


def _tell(refused: _Refused, named: bool) -> None:
    if named:
        todo = [*refused.todo, "set JMPC_CACHE_DIR to another folder, or to nothing to keep no compiled code"]
        raise ConfigError(refused.what, where="JMPC_CACHE_DIR", why=refused.why, todo=todo)
    warnings.warn(f"compiled code is not kept: {refused.what}: {refused.why}", RuntimeWarning, stacklevel=4)


def _open_own(path: str, stack: contextlib.ExitStack) -> int:
    """A descriptor of a folder that is ours and closed to others, made where it is not there."""
    try:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _Refused("a folder for compiled code cannot be opened", f"{path}: {error.strerror}") from error
    stack.callback(os.close, fd)
    found = os.fstat(fd)
    _check_owner(path, found)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"{path} has the mode {stat.S_IMODE(found.st_mode):04o}: who puts code there, runs it as you"
        raise _Refused("others can write to a folder for compiled code", why, [f"chmod go-w {path}"], unsafe=True)
    return fd


def _check_owner(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        why = f"{path} belongs to user {found.st_uid}, and this process is user {os.geteuid()}"
        raise _Refused("a folder for compiled code is another user's", why, unsafe=True)


def _key(path: str, stack: contextlib.ExitStack) -> bytes:
    """The user's key, made at its first use."""
    if not path:
        raise _Refused("there is no folder for the key to compiled code", "neither HOME nor XDG_STATE_HOME is set")
    fd = _open_own(path, stack)
    try:
        try:
            key = _read(_KEY, fd, private=True)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # Another process of ours was faster.
                _write(_KEY, fd, os.urandom(KEY_BYTES), anew=True)
            key = _read(_KEY, fd, private=True)
    except OSError as error:
        raise _Refused("the key to compiled code cannot be kept", f"{path}/{_KEY}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise _Refused("the key to compiled code is spoilt", f"{path}/{_KEY}", [f"rm {path}/{_KEY}"])
    return key


def _read(name: str, folder: int, private: bool = False) -> bytes:
    """A file of the folder; a link or a pipe is none. private: others must not be able to read it."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(None, "it is not a file")
        if private and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
            why = f"{name} belongs to user {found.st_uid} and has the mode {stat.S_IMODE(found.st_mode):04o}"
            raise _Refused("others may know the key to compiled code", why, [f"remove {name}: a new one is made"], True)
        return file.read()


def _write(name: str, folder: int, data: bytes, anew: bool = False) -> None:
    """Write a file as a whole. anew: raises FileExistsError where there is one, else it takes its place."""
    draft = f".{os.urandom(16).hex()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        (os.link if anew else os.replace)(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
