"""The index of a store: which values there are, in which files, with their wrapped data keys. SQLite on disk, and in
memory a copy that readers ask.

In: changes. Out: `Entry` by name. A change is one transaction, durable when `change` returns. What the file says is
believed only if it is authentic: each data key opens only with the record of its value, and the seal, over all entries
and the count of changes, says that none is missing and none is an older one.

Files that belong to no value, or may do so after a crash, are listed as leftovers: a file is listed before it is made,
and again by the change that replaces or deletes its value.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jmpc.errors import DamagedError, StoreError
from jmpc.roles import MOST_CHARACTERS
from jmpc.store.disk import Disk, explained
from jmpc.store.key import StorageKey
from jmpc.store.value import Description, Part, Stored, from_record, record

FILE = "index.db"
_SETTINGS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten: wrapped keys are
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
)
_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entry (name TEXT PRIMARY KEY, record TEXT NOT NULL, wrapped BLOB NOT NULL)",
    "CREATE TABLE leftover (file TEXT PRIMARY KEY) WITHOUT ROWID",
)
_SUM = 1 << 256


@dataclass(frozen=True, slots=True)
class Entry:
    """file: the id of the file.  bytes: its size.  digest: of the nonces and tags in it."""

    description: Description
    parts: tuple[Part, ...]
    file: str
    bytes: int
    digest: str
    wrapped: bytes = field(repr=False)

    @property
    def stored(self) -> Stored:
        return Stored(self.description, self.parts, self.bytes)

    @property
    def text(self) -> str:
        """All but the wrapped key, which is bound to it."""
        return record(self.description, self.parts, file=self.file, bytes=self.bytes, digest=self.digest)

    @classmethod
    def sealed(cls, text: str, wrapped: bytes) -> Entry:
        description, parts, rest = from_record(text)
        return cls(description, parts, rest["file"], rest["bytes"], rest["digest"], wrapped)


class Index:
    """Not for several threads at once: the store has a lock. store: the id of the store, of which this is the index."""

    def __init__(self, folder: Path, key: StorageKey, disk: Disk, store: str) -> None:
        self._disk, self._path, self.store = disk, folder / FILE, store
        self.broken = ""
        self._database = _opened(disk, self._path)
        self.entries: dict[str, Entry] = {}  # by name; never changed, but replaced
        self.key, self.generation, self._sum = key, 0, 0
        try:
            self._read(key)
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def create(cls, folder: Path, key: StorageKey, disk: Disk, store: str) -> None:
        """An empty index."""
        path = folder / FILE
        disk.close(disk.create(path))
        database = _opened(disk, path)
        try:
            with explained("making an index", path):
                for statement in ("BEGIN IMMEDIATE", *_TABLES):
                    disk.execute(database, statement)
                about = {"store": store, "key": key.id, "generation": "0", "seal": _seal(key, store, 0, 0)}
                for pair in about.items():
                    disk.execute(database, "INSERT INTO about VALUES (?, ?)", pair)
                disk.execute(database, "COMMIT")
        finally:
            database.close()

    def change(
        self,
        put: Iterable[Entry] = (),
        drop: Iterable[str] = (),
        leave: Iterable[str] = (),
        forget: Iterable[str] = (),
        key: StorageKey | None = None,
    ) -> None:
        """One transaction. put: entries, for those of the same names.  drop: names.  leave: files that become
        leftovers.  forget: files that are leftovers no more.  key: the storage key from now on.

        Where it fails, what was in doubt is settled by the next that does not: until then no file of it may go."""
        put, drop = list(put), set(drop)
        if self.broken:
            raise StoreError("this store must be opened anew", where=str(self._path), why=self.broken)
        try:
            with explained("writing the index", self._path):
                self._write(put, drop, list(leave), list(forget), key or self.key)
        except BaseException:
            self._undo(key or self.key)
            raise

    def _write(
        self, put: Sequence[Entry], drop: set[str], leave: Sequence[str], forget: Sequence[str], key: StorageKey
    ) -> None:
        entries = {name: entry for name, entry in self.entries.items() if name not in drop}
        entries |= {entry.description.name: entry for entry in put}
        gone = [self.entries[n] for n in (*drop, *(e.description.name for e in put)) if n in self.entries]
        total = (self._sum + sum(_number(key, e) for e in put) - sum(_number(self.key, e) for e in gone)) % _SUM
        generation = self.generation + 1
        about = {"key": key.id, "generation": str(generation), "seal": _seal(key, self.store, generation, total)}
        self._do("BEGIN IMMEDIATE")
        for name in drop:
            self._do("DELETE FROM entry WHERE name = ?", name)
        for e in put:
            self._do("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", e.description.name, e.text, e.wrapped)
        for file in leave:
            self._do("INSERT OR REPLACE INTO leftover VALUES (?)", file)
        for file in forget:
            self._do("DELETE FROM leftover WHERE file = ?", file)
        for name, value in about.items():
            self._do("UPDATE about SET value = ? WHERE name = ?", value, name)
        self._do("COMMIT")
        self.entries, self._sum, self.generation, self.key = entries, total, generation, key

    def _undo(self, key: StorageKey) -> None:
        """After a fault: memory says what the file says, be it the old or, under `key`, the new."""
        try:
            if self._database.in_transaction:
                self._do("ROLLBACK")
            self._read(self.key, key)
        except (sqlite3.Error, OSError, StoreError) as exc:
            self.broken = f"its index could not be read after a fault ({type(exc).__name__})"

    def wipe(self) -> None:
        """Overwrite what deleted entries were in the file, and empty its log, which has them too."""
        with explained("wiping what was deleted from the index", self._path):
            if self._do("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                raise StoreError(
                    "what was deleted from the index is not wiped", where=str(self._path), why="it is in use"
                )

    def copy_to(self, folder: Path) -> None:
        """The index as it is now, in another folder, as one file without leftovers."""
        path = folder / FILE
        self._disk.close(self._disk.create(path))
        with explained("copying the index", path), contextlib.closing(sqlite3.connect(path)) as copy:
            self._database.backup(copy)
            for statement in ("PRAGMA secure_delete=ON", "PRAGMA journal_mode=DELETE", "DELETE FROM leftover"):
                self._disk.execute(copy, statement)
            copy.commit()

    def leftovers(self) -> list[str]:
        with explained("reading the index", self._path):
            return [row[0] for row in self._do("SELECT file FROM leftover")]

    def close(self) -> None:
        self._database.close()

    def _do(self, statement: str, *values: object) -> list[Any]:
        return self._disk.execute(self._database, statement, values)

    def _read(self, *keys: StorageKey) -> None:
        """All of the file into memory, under that key of `keys` which it is under."""
        with explained("reading the index", self._path):
            about = {str(name): str(value) for name, value in self._do("SELECT name, value FROM about")}
            rows: list[tuple[str, str, bytes]] = self._do("SELECT name, record, wrapped FROM entry ORDER BY name")
        its_key = about.get("key")
        self._keep(about, rows, next((key for key in keys if key.id == its_key), keys[0]))

    def _keep(self, about: dict[str, str], rows: list[tuple[str, str, bytes]], key: StorageKey) -> None:
        """What was read, if it is authentic."""
        if about.get("store") != self.store:
            raise DamagedError("this is the index of another store", where=str(self._path), todo="put its own back")
        if about.get("key") != key.id:
            raise StoreError(
                "this is not the storage key of this store",
                where=str(self._path),
                why=f"it is sealed under the key {about.get('key')}; the key given is {key.id}",
                todo="give the key that was in use when it was last open: after a rotation, the new one",
            )
        sound = [row for row in rows if _authentic(row, key)]
        entries = {name: Entry.sealed(text, wrapped) for name, text, wrapped in sound}
        wrong = [row[0] for row in rows if row[0] not in entries or entries[row[0]].description.name != row[0]]
        total = sum(_number(key, entry) for entry in entries.values()) % _SUM
        count = about.get("generation", "")
        generation = int(count) if count.isdecimal() and len(count) < 20 else 0
        if wrong or about.get("seal") != _seal(key, self.store, generation, total):
            named = (
                ", ".join(repr(name)[:MOST_CHARACTERS] for name in wrong[:5])
                or "no single value: entries are missing, or older ones"
            )
            raise DamagedError(
                "the index is not what was written",
                where=str(self._path),
                why=f"not authentic: {named}",
                todo="restore the newest backup, or have a new store refilled from the other parties",
            )
        self.entries, self._sum, self.generation, self.key = entries, total, generation, key


def data_key_of(entry: Entry, key: StorageKey) -> bytes:
    """The key of the file of a value."""
    found = key.unwrap(entry.wrapped, entry.text)
    if found is None:
        raise DamagedError(f"the data key of {entry.description.name!r} does not open", todo="open the store anew")
    return found


def rewrapped(entry: Entry, old: StorageKey, new: StorageKey, description: Description | None = None) -> Entry:
    """The same entry with its data key under another storage key, or for another description."""
    data_key = data_key_of(entry, old)
    made = replace(entry, description=description or entry.description)
    return replace(made, wrapped=new.wrap(data_key, made.text))


def _opened(disk: Disk, path: Path) -> sqlite3.Connection:
    if not path.exists():
        why = "a store without its index cannot be read: the keys of its files are there"
        todo = "restore the newest backup, or have a new store refilled from the other parties"
        raise DamagedError("the index is gone", where=str(path), why=why, todo=todo)
    with explained("opening the index", path):
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            found = [disk.execute(database, statement) for statement in _SETTINGS]
            if found[0] != [("wal",)]:
                raise StoreError("this disk cannot keep a write-ahead log", where=str(path), todo="use a local disk")
        except BaseException:
            database.close()
            raise
    return database


def _authentic(row: tuple[object, ...], key: StorageKey) -> bool:
    _, text, wrapped = row
    return isinstance(text, str) and isinstance(wrapped, bytes) and key.unwrap(wrapped, text) is not None


def _number(key: StorageKey, entry: Entry) -> int:
    """What an entry adds to the sum of all. The sum itself is never written."""
    content = hashlib.sha256(entry.text.encode()).digest() + entry.wrapped
    return int.from_bytes(key.tag("entry", content), "big")


def _seal(key: StorageKey, store: str, generation: int, total: int) -> str:
    content = f"{store}|{generation}|{total:064x}"
    return key.tag("index", content.encode()).hex()
