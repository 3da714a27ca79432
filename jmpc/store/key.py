"""The storage key of a party: 32 bytes in a file of its own, and what is done with them.

In: a path. Out: a `StorageKey`, which wraps data keys and authenticates. Each use has a key of its own, derived by
HKDF-SHA256. A wrapped data key opens only together with the text that it was wrapped with. This file knows no value.
"""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jmpc.errors import StoreError
from jmpc.store.disk import Disk, explained, write_file

KEY_BYTES = 32
NONCE_BYTES, TAG_BYTES = 12, 16
_FORMAT = "jmpc storage key 1"
_MOST_BYTES = 200  # of a key file
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class StorageKey:
    """id: eight bytes in hex that say which key it is, and nothing else of it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise StoreError("a storage key has 32 bytes", why=f"this one has {len(secret)}")
        self._wrapping = AESGCM(_derived(secret, "wrap data keys"))
        self._authentic = _derived(secret, "authenticate")
        self.id = _derived(secret, "name")[:8].hex()

    @classmethod
    def create(cls, path: Path | str, disk: Disk | None = None) -> StorageKey:
        """A new key, and its file of mode 0600, which must not be there yet. It is durable before this returns."""
        path, disk, secret = Path(path), disk or Disk(), os.urandom(KEY_BYTES)
        with explained("writing a storage key", path):
            write_file(disk, path, f"{_FORMAT}\n{secret.hex()}\n".encode())
            disk.sync_folder(path.parent)
        return cls(secret)

    @classmethod
    def read(cls, path: Path | str) -> StorageKey:
        """The key of a file that nobody but its owner can read. A symbolic link must stay in its folder, as those of
        mounted secrets do."""
        path = Path(path)
        with explained("reading the storage key", path):
            content = _content(path)
        label, _, digits = content.rstrip("\n").partition("\n")
        if label != _FORMAT or len(digits) != 2 * KEY_BYTES or not set(digits) <= set("0123456789abcdef"):
            raise StoreError(
                "this is no storage key",
                where=str(path),
                why=f"a key file has the line {_FORMAT!r} and 64 hexadecimal digits",
            )
        return cls(bytes.fromhex(digits))

    def wrap(self, data_key: bytes, text: str) -> bytes:
        """A data key, sealed, and bound to a text."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, data_key, text.encode())

    def unwrap(self, wrapped: bytes, text: str) -> bytes | None:
        """The data key; None where key, text or wrapped key are not those of `wrap`."""
        try:
            found = self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], text.encode())
        except (InvalidTag, ValueError):
            return None
        return found if len(found) == KEY_BYTES else None

    def tag(self, use: str, content: bytes) -> bytes:
        """HMAC-SHA256 of a content, for one use."""
        return hmac.digest(self._authentic, use.encode() + b"\0" + content, "sha256")

    def __repr__(self) -> str:
        return f"StorageKey({self.id}, hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("storage keys are not pickled or copied")


def _derived(secret: bytes, use: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"jmpc storage 1|{use}".encode()).derive(secret)


def _content(path: Path) -> str:
    """What the file says, if it may be used. The file that is checked is the one that is read."""
    real = path.resolve(strict=True)
    if not real.is_relative_to(path.parent.resolve()):
        raise _refused(path, f"it is a link to {real}", "put the file itself there")
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(path, "it is no plain file", "put the file itself there")
        if found.st_uid not in (os.geteuid(), 0):
            raise _refused(path, "it belongs to another user", "make it this user's")
        if found.st_mode & _OTHERS:
            raise _refused(path, f"its mode is {stat.S_IMODE(found.st_mode):04o}", f"chmod 600 {path}; then rotate it")
        return os.read(fd, _MOST_BYTES).decode("ascii", "replace")
    finally:
        os.close(fd)


def _refused(path: Path, why: str, todo: str) -> StoreError:
    return StoreError("the storage key must be its owner's alone", where=str(path), why=why, todo=todo)
