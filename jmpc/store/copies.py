"""Folders that are there whole or not at all, and backups: a store's folder with the digests of its files.

In: files, their digests, the storage key. Out: a folder beside which `sha256sum -c SHA256SUMS` finds nothing wrong, and
which `read_sums` knows for one that was made with that key.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

from jmpc.errors import DamagedError, StoreError
from jmpc.store.disk import Disk, explained, write_file
from jmpc.store.key import StorageKey

SUMS, TAG = "SHA256SUMS", "SHA256SUMS.tag"
_PIECE_BYTES = 1 << 20


@contextmanager
def new_folder(disk: Disk, path: Path) -> Generator[Path]:
    """Fill the folder that this gives; at the end of the block it becomes `path`, which must not be there, or be empty.
    What an earlier attempt left is removed."""
    making = path.with_name(f".{path.name}.making")
    with explained(f"making {path.name!r}", path):
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise StoreError("this folder is not empty", where=str(path), todo="name one that is, or is not there yet")
        if making.exists():
            shutil.rmtree(making)
        disk.make_folder(making)
        try:
            yield making
            disk.sync_folder(making)
            disk.rename(making, path)
            disk.sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise


def write_pieces(disk: Disk, path: Path, pieces: Iterable[memoryview | bytes]) -> str:
    """A new file, durable but for its place in the folder. Returns its SHA-256."""
    found, offset, fd = hashlib.sha256(), 0, disk.create(path)
    try:
        for piece in pieces:
            disk.write(fd, piece, offset)
            found.update(piece)
            offset += len(piece)
        disk.sync(fd)
    finally:
        disk.close(fd)
    return found.hexdigest()


def pieces_of(disk: Disk, path: Path) -> Generator[memoryview]:
    """The bytes of a file, each piece overwritten by the next."""
    fd, offset, piece = disk.open(path), 0, memoryview(bytearray(_PIECE_BYTES))
    try:
        while got := disk.read(fd, piece, offset):
            yield piece[:got]
            offset += got
    finally:
        disk.close(fd)


def copied(disk: Disk, path: Path, to: Path) -> str:
    """Copy a file. Returns the SHA-256 of what was read; of a file that is not there, that of none."""
    try:
        return write_pieces(disk, to, pieces_of(disk, path))
    except FileNotFoundError:
        return ""


def sum_of(disk: Disk, path: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    for piece in pieces_of(disk, path):
        found.update(piece)
    return found.hexdigest()


def write_sums(disk: Disk, folder: Path, sums: Mapping[str, str], key: StorageKey) -> None:
    """The last files of a backup: without them it is none."""
    text = "".join(f"{found}  {name}\n" for name, found in sums.items()).encode()
    write_file(disk, folder / SUMS, text)
    write_file(disk, folder / TAG, f"{key.id} {key.tag('backup', text).hex()}\n".encode())


def read_sums(disk: Disk, folder: Path, key: StorageKey) -> dict[str, str]:
    """The digests by file, as they were written. Raises StoreError for another key, DamagedError otherwise."""
    try:
        text, said = (b"".join(bytes(p) for p in pieces_of(disk, folder / name)) for name in (SUMS, TAG))
    except FileNotFoundError as exc:
        raise DamagedError("this is no whole backup", where=str(folder), why=f"it has no {SUMS} with its tag") from exc
    its_key, _, tag = said.decode("ascii", "replace").strip().partition(" ")
    if its_key != key.id:
        why = f"it is sealed under the key {its_key[:16]}; the key given is {key.id}"
        todo = "give the key that was in use when it was made"
        raise StoreError("this is not the storage key of this backup", where=str(folder), why=why, todo=todo)
    if not hmac.compare_digest(tag.encode(), key.tag("backup", text).hex().encode()):
        raise DamagedError("this backup is not what was written", where=str(folder / SUMS), todo="take another backup")
    lines = (line.split("  ", 1) for line in text.decode().splitlines())
    return {name: found for found, name in lines}
