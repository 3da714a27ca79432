"""The shares that one party keeps, in one folder.

In: a folder, a storage key, arrays by value. Out: the same arrays, or an error that says which value is not what was
written. All methods may be called from several threads; one process at a time owns a store. How a change survives a
crash is in files.py, how a file is sealed in sealed.py.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from jmpc.errors import ArgumentError, DamagedError, NotStoredError, StoreError, StoreFullError
from jmpc.store import copies, files, index
from jmpc.store.disk import Disk, explained, write_file
from jmpc.store.files import Files
from jmpc.store.index import Entry, Index, data_key_of, rewrapped
from jmpc.store.key import KEY_BYTES, StorageKey
from jmpc.store.ownership import Ownership
from jmpc.store.reader import Loaded, Reader
from jmpc.store.rebuild import Fingerprint, Survivors
from jmpc.store.sealed import Layout, Seal
from jmpc.store.value import Description, Part, Stored, check_amended, check_parts, is_over, label_fault
from jmpc.store.writer import File, Words, Writer

ABOUT = "store.json"
ClientQuota = Callable[[str], int]
FORMAT = 1


class Store:
    """Made by `create` and `open`. Close it, or use it in a `with` block."""

    @classmethod
    def create(cls, folder: Path | str, key: StorageKey, disk: Disk | None = None) -> None:
        """An empty store in a folder that is not there yet, or empty."""
        disk, name = disk or Disk(), secrets.token_hex(16)
        with copies.new_folder(disk, Path(folder)) as making:
            disk.make_folder(making / files.FOLDER)
            Index.create(making, key, disk, name)
            write_file(disk, making / ABOUT, _about(name))

    @classmethod
    def open(
        cls,
        folder: Path | str,
        key: StorageKey,
        *,
        quota: int | None = None,
        client_quota: ClientQuota | None = None,
        at_least: int = 0,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        """The store of a folder, for this process alone. quota: bytes of all files.  client_quota: of those of one
        owner, by its name.  at_least: a `generation` that it had once, so that an older copy of the folder is refused.
        disk, clock: of tests."""
        folder, disk = Path(folder), disk or Disk()
        name = _store_id(folder)
        with ExitStack() as undo:
            ownership = Ownership(folder)
            undo.callback(ownership.release)
            found = files.opened_index(folder, key, disk, name)
            undo.callback(found.close)
            if found.generation < at_least:
                raise DamagedError(
                    "this store is older than it was",
                    where=str(folder),
                    why=f"it is at change {found.generation}, and was at {at_least}",
                    todo="put the newest backup back, and have what is missing rebuilt from the other parties",
                )
            store = cls(folder, disk, quota, client_quota, clock, ownership, found)
            undo.pop_all()
        return store

    @classmethod
    def restore(
        cls,
        backup: Path | str,
        folder: Path | str,
        key: StorageKey,
        *,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make a store of a backup, in a folder that is not there yet, or empty. All of it is read and checked first;
        what is over by now does not come back. Raises DamagedError, and StoreError for another key."""
        backup, disk = Path(backup), disk or Disk()
        with explained("reading the backup", backup):
            sums = copies.read_sums(disk, backup, key)
        with copies.new_folder(disk, Path(folder)) as making:
            disk.make_folder(making / files.FOLDER)
            wrong = [name for name, said in sums.items() if copies.copied(disk, backup / name, making / name) != said]
            if {ABOUT, index.FILE} & {*wrong, *({ABOUT, index.FILE} - set(sums))}:
                raise DamagedError("the index of this backup is not what was written", where=str(backup))
            disk.sync_folder(making / files.FOLDER)
            with cls.open(making, key, disk=disk, clock=clock) as store:
                lost = store.missing(deep=True)
                if wrong or lost:
                    named = ", ".join([repr(said.name) for said in lost] or wrong)
                    raise DamagedError(
                        "this backup is damaged", where=str(backup), why=f"not what was written: {named}"
                    )

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        quota: int | None,
        client_quota: ClientQuota | None,
        clock: Callable[[], float],
        ownership: Ownership,
        index: Index,
    ) -> None:
        self.folder, self._disk, self._clock = folder, disk, clock
        self.quota, self.client_quota = quota, client_quota
        self._ownership, self._index, self._files = ownership, index, Files(folder, index, disk)
        self._lock, self._closed = threading.RLock(), False
        self._writers: dict[str, Writer] = {}  # by file
        self._files.settle()
        self._sweep()

    def close(self) -> None:
        """Drop what is being written, and let others open the store. Readers that are open go on."""
        if self._ownership.is_fork:
            return  # neither index nor lock are its own
        with self._lock:
            self._closed, writers = True, list(self._writers.values())
        for writer in writers:
            writer.abort()
        with self._lock:
            self._index.close()
            self._ownership.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, {len(self._index.entries):,} values)"

    def _check(self) -> None:
        self._ownership.check()
        if self._closed:
            raise StoreError("this store is closed", where=str(self.folder))

    @contextmanager
    def _using(self) -> Generator[None]:
        """What is done in the block is done by one thread at a time, on an open store."""
        self._ownership.check()  # first: in a fork, the lock may be another's for ever
        with self._lock:
            self._check()
            yield

    @property
    def generation(self) -> int:
        """How many changes there were. Kept elsewhere, it lets `open` refuse an older copy of the folder."""
        return self._index.generation

    @property
    def used(self) -> int:
        """Bytes of the files of all values, and of those that are being written."""
        with self._using():
            return self._files.used

    # Writing.

    def put(self, description: Description, arrays: Mapping[str, Words]) -> Stored:
        """Store a value, in place of the one of that name. Raises ArgumentError, StoreFullError, StoreError."""
        return _filled(self.writer(description, parts_of(description.name, arrays)), arrays)

    def writer(self, description: Description, parts: Sequence[Part]) -> Writer:
        """For a value that comes piece by piece. Room for all of it must be there now, and is taken as it comes."""
        description.check()
        return self._writer(description, parts, rebuilt=False)

    def put_rebuilt(self, survivors: Survivors, arrays: Mapping[str, Words]) -> Stored:
        """As `put`, for a value that was lost here: at the version that the two other parties agree on. Refused where a
        sound copy of it, or a newer version, is here."""
        return _filled(self.rebuilder(survivors, parts_of("", arrays)), arrays)

    def rebuilder(self, survivors: Survivors, parts: Sequence[Part]) -> Writer:
        """As `writer`, for `put_rebuilt`."""
        said = survivors.agreed()
        with self._using():
            held = self._index.entries.get(said.name)
        if held and held.description.version == said.version:
            if not self._is_lost(said.name, deep=True):
                raise StoreError(f"{said.name!r} is not lost", where=str(self.folder), why="it is here, and sound")
            if held.description != said:
                raise DamagedError(
                    f"{said.name!r} cannot be rebuilt",
                    where=str(self.folder),
                    why="the other parties describe it otherwise than this one",
                    todo="find out with their operators which is right",
                )
        return self._writer(said, parts, rebuilt=True)

    def _writer(self, description: Description, parts: Sequence[Part], rebuilt: bool) -> Writer:
        check_parts(description.name, parts)
        file, data_key = secrets.token_hex(16), os.urandom(KEY_BYTES)
        layout = Layout(file, parts)
        finish = partial(self._finish, file, data_key, layout.bytes, rebuilt)
        with self._using():
            self._sweep()
            self._admit(description, layout.bytes)
            try:
                self._files.promise(file, description.owner, layout.begins)
                made = self._completed(description, rebuilt)
                seal = Seal(data_key, self._index.store, file, made, parts)
                opened = File(self._disk, self._files.path(file), layout, seal, made.name)
            except BaseException:
                self._drop(file)
                raise
            grow = partial(self._grow, file, description)
            writer = Writer(made, parts, opened, grow, finish, partial(self._drop, file), self._ownership)
            self._writers[file] = writer
        return writer

    def _admit(self, description: Description, size: int) -> None:
        """Refuses what cannot be kept, before anything is written."""
        if description.expires is not None and description.expires <= self._clock():
            raise ArgumentError(f"{description.name!r} cannot be stored", where="expires", why="that time is over")
        with explained("looking for room", self.folder):
            room = {"the disk": self._disk.free(self.folder)}
        for what, left in room.items():
            if size > left:
                raise self._full(description, size, what, left)
        self._check_quotas(description, size)

    def _grow(self, file: str, description: Description, size: int) -> None:
        """What is being written takes room as it comes: who announces much and sends nothing takes none from others."""
        with self._using():
            self._check_quotas(description, size)
            self._files.grow(file, size)

    def _check_quotas(self, description: Description, size: int) -> None:
        if self.quota is not None and size > (left := self.quota - self._files.used):
            raise self._full(description, size, "the quota", left)
        if self.client_quota is None:
            return
        owner = description.owner
        most, has = self.client_quota(owner), self._files.used_by(owner)
        if has + size > most:
            raise StoreFullError(
                f"there is no room for {description.name!r} among the values of {owner}",
                where=str(self.folder),
                why=f"it needs {size:,} bytes; {owner} has {has:,} here, and {most:,} is the most of one client",
                todo=[
                    f"delete values of {owner}, or let some expire; what is replaced needs its room until then",
                    "ask the party's operator for more: limits.client_quota or [client_quotas] in party.toml",
                ],
            )

    def _full(self, description: Description, size: int, what: str, left: int) -> StoreFullError:
        return StoreFullError(
            f"there is no room for {description.name!r}",
            where=str(self.folder),
            why=f"it needs {size:,} bytes, and {what} has {max(left, 0):,} left",
            todo="delete values, or let some expire; what is replaced needs its room until then",
        )

    def _completed(self, description: Description, rebuilt: bool) -> Description:
        """With its version, which must be a new one, and the time."""
        held = self._index.entries.get(description.name)
        last = held.description.version if held else 0
        version = description.version or max(self.generation, last + 1)
        if version < last or (version == last and not rebuilt):
            raise StoreError(
                f"{description.name!r} is at version {last} here",
                where=str(self.folder),
                why=f"version {version} is no newer",
                todo="put it with a greater version",
            )
        return replace(description, version=version, created=description.created or int(self._clock()))

    def _finish(self, file: str, data_key: bytes, size: int, rebuilt: bool, writer: Writer, digest: str) -> None:
        """The file of a writer is written: from now on the index names it."""
        with self._using():
            self._completed(writer.description, rebuilt)  # another writer may have been faster
            made = Entry(writer.description, writer.parts, file, size, digest, b"")
            self._files.change(put=[replace(made, wrapped=self._index.key.wrap(data_key, made.text))])
            self._writers.pop(file, None)

    def _drop(self, file: str) -> None:
        """A writer gave up."""
        with self._lock:
            self._writers.pop(file, None)
            self._files.drop(file)

    # Reading.

    def load(self, name: str) -> Loaded:
        """All arrays of a value. Raises NotStoredError, DamagedError."""
        with self.reader(name) as reader:
            return reader.load()

    def reader(self, name: str) -> Reader:
        """For a value that is read piece by piece."""
        with self._using():
            return self._reader(self._entry(name))

    def describe(self, name: str) -> Stored:
        """Raises NotStoredError."""
        with self._using():
            return self._entry(name).stored

    def values(self) -> list[Stored]:
        """All of them, by name."""
        with self._using():
            self._sweep()
            now, entries = self._clock(), self._index.entries
            return [entries[name].stored for name in sorted(entries) if not is_over(entries[name].description, now)]

    def fingerprint(self, name: str, part: str, key: bytes) -> bytes:
        """Of one array: see `Fingerprint`."""
        with self.reader(name) as reader:
            found = Fingerprint(key, reader.description, reader.part(part))
            for words in reader.blocks(part):
                found.update(words)
        return found.digest()

    def missing(self, expected: Iterable[Description] = (), deep: bool = False) -> list[Description]:
        """What must be rebuilt, by name: values whose file is gone or has another length (deep: is damaged at all), and
        of `expected`, which the other parties have, those that are not here, or at an older version."""
        with self._using():
            held = {name: entry.description for name, entry in self._index.entries.items()}
        lost = {name: said for name, said in held.items() if self._is_lost(name, deep)}
        versions, now = {name: said.version for name, said in held.items()}, self._clock()
        lost |= {said.name: said for said in expected if said.version > versions.get(said.name, -1)}
        return [lost[name] for name in sorted(lost) if not is_over(lost[name], now)]

    def _is_lost(self, name: str, deep: bool) -> bool:
        """Whether what the index names cannot be read; of a value that was deleted meanwhile, nothing is lost."""
        with self._using():
            entry = self._index.entries.get(name)
            try:
                reader = self._reader(entry) if entry else None
            except StoreError:
                return True
        if reader is not None:
            with reader:
                try:
                    if deep:
                        reader.check()
                except StoreError:
                    return True
        return False

    def _entry(self, name: str) -> Entry:
        entry = self._index.entries.get(name)
        if entry is not None and is_over(entry.description, self._clock()):
            self._sweep()
            entry = None
        if entry is None:
            shown = f"no value {name!r}" if not label_fault(name) else "no value of that name"
            raise NotStoredError(
                f"there is {shown}", where=str(self.folder), why="it was not put, was deleted, or is over"
            )
        return entry

    def _reader(self, entry: Entry, key: StorageKey | None = None) -> Reader:
        data_key = data_key_of(entry, key or self._index.key)
        seal = Seal(data_key, self._index.store, entry.file, entry.description, entry.parts)
        return Reader(self._disk, self._files.path(entry.file), entry, seal)

    # Changing what is stored.

    def delete(self, name: str) -> None:
        """Destroy the data key of a value, and remove its file. Raises NotStoredError."""
        with self._using():
            self._entry(name)
            self._files.change(drop=[name])

    def expire(self) -> list[str]:
        """Delete what is over; returns the names. Opening, listing and storing do so too."""
        with self._using():
            now = self._clock()
            over = sorted(name for name, entry in self._index.entries.items() if is_over(entry.description, now))
            if over:
                self._files.change(drop=over)
            return over

    def _sweep(self) -> None:
        """As `expire`, where it is not what was asked for: what is over is not given out in any case."""
        with suppress(StoreFullError):
            self.expire()

    def amend(self, description: Description) -> None:
        """Change who may read a value, and when it expires; its other fields must be those that it has."""
        description.check()
        with self._using():
            entry = self._entry(description.name)
            check_amended(entry.description, description)
            self._files.change(put=[rewrapped(entry, self._index.key, self._index.key, description)])
            self._sweep()

    def rotate(self, key: StorageKey) -> None:
        """Seal all data keys under another storage key, in one transaction; the old one opens this store no more."""
        with self._using():
            old = self._index.key
            if key.id == old.id:
                raise StoreError("this is the storage key in use", where=str(self.folder), todo="make a new one")
            self._files.change([rewrapped(entry, old, key) for entry in self._index.entries.values()], key=key)

    def backup(self, folder: Path | str) -> None:
        """A copy of all values as they are now, while others write. Raises DamagedError for one that is not sound."""
        with self._using():
            self._files.hold()
        try:
            with copies.new_folder(self._disk, Path(folder)) as making:
                self._copy(making)
        finally:
            with self._lock:
                self._files.release()

    def _copy(self, making: Path) -> None:
        self._disk.make_folder(making / files.FOLDER)
        with self._using():
            self._index.copy_to(making)
            key, entries = self._index.key, list(self._index.entries.values())
        write_file(self._disk, making / ABOUT, _about(self._index.store))
        sums = {name: copies.sum_of(self._disk, making / name) for name in (ABOUT, index.FILE)}
        for entry in entries:
            path = f"{files.FOLDER}/{entry.file}"
            with self._reader(entry, key) as reader:  # of the copied index, whatever is rotated meanwhile
                sums[path] = copies.write_pieces(self._disk, making / path, reader.sealed())
        self._disk.sync_folder(making / files.FOLDER)
        copies.write_sums(self._disk, making, sums, key)


def parts_of(name: str, arrays: Mapping[str, Words]) -> list[Part]:
    """What arrays are, as parts of a value."""
    given: list[object] = list(arrays.values())
    if not all(isinstance(array, np.ndarray) for array in given):
        raise ArgumentError(f"{name!r} cannot be stored", where="arrays", why="shares are arrays of NumPy")
    return [Part(part, array.dtype.name, array.shape) for part, array in arrays.items()]


def _filled(writer: Writer, arrays: Mapping[str, Words]) -> Stored:
    with writer:
        for name, array in arrays.items():
            writer.write(name, array)
        return writer.commit()


def _about(store: str) -> bytes:
    return json.dumps({"format": FORMAT, "store": store}).encode()


def _store_id(folder: Path) -> str:
    """Raises StoreError where no store of this format is."""
    path = folder / ABOUT
    with explained("opening the store", folder):
        try:
            found: object = json.loads(path.read_bytes())
        except FileNotFoundError as exc:
            raise StoreError("there is no store here", where=str(folder), todo="make one with Store.create") from exc
        except ValueError:
            found = None
    match found:
        case {"format": 1, "store": str(name)}:
            return name
        case _:
            raise StoreError("this is no store that this jmpc can read", where=str(path), todo="put the file back")
