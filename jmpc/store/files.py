"""Which files of a store belong to values, and which go: what makes a change of index and files survive a crash.

In: files that are about to be written, and entries of the index. Out: the state before or the one after, whenever the
power goes. A file is promised in the index before it is made; it is synced, and so is its folder, before the index
names it; a file that the index named goes only when the index, durably, does not. So a file that is there is either
named or a leftover, and leftovers are removed when the store is opened.

What it must not do is remove a file that the index names. After a change that failed nobody knows which of two files
that is until the next change has not failed; until then both stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from jmpc.errors import DamagedError, StoreError, StoreFullError
from jmpc.store.disk import Disk, explained, write_file
from jmpc.store.index import Entry, Index
from jmpc.store.key import StorageKey

FOLDER, RESERVE = "values", "reserve"
RESERVE_BYTES = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}")


class Reserve:
    """A file that is given up so that values can be deleted on a full disk, and that what is written already is kept:
    other parties may have agreed to that."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._path, self._disk = folder / RESERVE, disk

    def keep(self) -> None:
        """Have it again, where there is room."""
        if not self._path.exists():
            try:
                write_file(self._disk, self._path, bytes(RESERVE_BYTES))
            except OSError:
                self.give()

    def give(self) -> bool:
        """Whether there was one."""
        there = self._path.exists()
        with suppress(OSError):
            self._disk.remove(self._path)
        return there


def opened_index(folder: Path, key: StorageKey, disk: Disk, store: str) -> Index:
    """The index of a store. SQLite needs room even to read; on a full disk, the reserve is that room."""
    try:
        return Index(folder, key, disk, store)
    except DamagedError:
        raise
    except StoreError:
        if not Reserve(folder, disk).give():
            raise
        return Index(folder, key, disk, store)


class Files:
    """Not for several threads at once: the store has a lock."""

    def __init__(self, folder: Path, index: Index, disk: Disk) -> None:
        self.folder, self._index, self._disk = folder / FOLDER, index, disk
        self._reserve = Reserve(folder, disk)
        self._promised: dict[str, tuple[str, int]] = {}  # files that are being written: whose, how large by now
        self._left = set[str]()  # files that the index lists as leftovers
        self._removed = set[str]()  # those of them that are gone, but may come back if the power goes
        self._gone = set[str]()  # those that may not
        self._doubtful = set[str]()  # files that a change was to name which failed
        self._holds, self._unwiped = 0, False

    def path(self, file: str) -> Path:
        return self.folder / file

    @property
    def used(self) -> int:
        """Bytes of all values, and of those that are being written."""
        return sum(entry.bytes for entry in self._index.entries.values()) + sum(n for _, n in self._promised.values())

    def used_by(self, owner: str) -> int:
        """As `used`, of one owner."""
        stored = sum(entry.bytes for entry in self._index.entries.values() if entry.description.owner == owner)
        return stored + sum(size for whose, size in self._promised.values() if whose == owner)

    def settle(self) -> None:
        """Remove what a crash left. Raises DamagedError where index and files do not go together."""
        with explained("opening the store", self.folder):
            found = {path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name)}
        self._left = set(self._index.leftovers())
        if unknown := sorted(found - self._left - self._named()):
            raise DamagedError(
                f"{len(unknown)} files of this store are not in its index",
                where=str(self.folder),
                why=f"the index is older than they are, as {unknown[0]}",
                todo=["put the newest index back", "to give these files up, move them away"],
            )
        if self._left:
            self._remove_leftovers()
            with suppress(StoreFullError):  # to read what there is, no room is needed
                self._sync()
                self.change()
        self._reserve.keep()

    def promise(self, file: str, owner: str, size: int) -> None:
        """A file will be written."""
        self._promised[file] = owner, size
        self._left.add(file)
        self._index.change(leave=[file])
        self._done()

    def grow(self, file: str, size: int) -> None:
        """So many bytes more of it are about to be written."""
        owner, before = self._promised[file]
        self._promised[file] = owner, before + size

    def change(self, put: Iterable[Entry] = (), drop: Iterable[str] = (), key: StorageKey | None = None) -> None:
        """One durable change. put: entries, whose files are synced.  drop: names of values that go.  key: the storage
        key from now on. Raises StoreFullError, StoreError."""
        put, drop, entries = list(put), list(drop), self._index.entries
        names = {*drop, *(entry.description.name for entry in put)} & set(entries)
        new = {entry.file for entry in put} - self._named()
        old = {entries[name].file for name in names} - {entry.file for entry in put}
        self._left |= old
        self._doubtful |= new
        forget = new | self._gone

        def once() -> None:
            if new:
                self._sync()
            self._index.change(put, drop, old, forget, key)

        try:
            once()
        except StoreFullError:
            if not (drop or new) or not self._reserve.give():
                raise
            once()
        self._left -= forget
        self._gone -= forget
        for file in new:
            self._promised.pop(file, None)
        self._unwiped = self._unwiped or bool(names)
        self._done()

    def drop(self, file: str) -> None:
        """A promised file will not be needed."""
        self._promised.pop(file, None)
        if file not in self._named() | self._doubtful:
            self._remove([file])

    def hold(self) -> None:
        """Let no file go until `release`: somebody copies them."""
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1
        self._remove_leftovers()

    def _done(self) -> None:
        """A change is durable: whatever was in doubt before is not."""
        self._doubtful.clear()
        self._remove_leftovers()
        if self._unwiped:
            self._index.wipe()
            self._unwiped = False
        self._reserve.keep()

    def _remove_leftovers(self) -> None:
        if not self._holds:
            self._remove(self._left - self._named() - self._doubtful - set(self._promised) - self._removed - self._gone)

    def _remove(self, files: Iterable[str]) -> None:
        for file in files:
            with suppress(OSError):  # it stays a leftover, and its turn comes again
                self._disk.remove(self.path(file))
                self._removed.add(file)

    def _sync(self) -> None:
        with explained("storing", self.folder):
            self._disk.sync_folder(self.folder)
        self._gone |= self._removed
        self._removed.clear()

    def _named(self) -> set[str]:
        return {entry.file for entry in self._index.entries.values()}
