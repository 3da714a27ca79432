"""Shares that one party keeps in its own memory, for as long as its process lives.

In: arrays by value. Out: the same arrays. A `MemoryStore` is to a party what a `Store` is, without a folder, a key or a
disk: nothing of it is ever written, and with the process it is gone. All methods may be called from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

import numpy as np

from jmpc.errors import ArgumentError, NotStoredError, StoreError
from jmpc.ring.aligned import aligned_array
from jmpc.store.value import Description, Part, Stored, Words, check_amended, is_over, label_fault

_BLOCK_WORDS = 1 << 17
FOLDER = "memory"  # what errors say of the place


class MemoryStore:
    """clock: of tests."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.generation, self._clock = FOLDER, 0, clock
        self._lock = threading.RLock()
        self._held: dict[str, tuple[Stored, dict[str, Words]]] = {}

    @property
    def used(self) -> int:
        """Bytes of all values."""
        with self._lock:
            return sum(stored.bytes for stored, _ in self._held.values())

    def values(self) -> list[Stored]:
        """All of them, by name."""
        with self._lock:
            self.expire()
            return [self._held[name][0] for name in sorted(self._held)]

    def describe(self, name: str) -> Stored:
        """Raises NotStoredError."""
        return self._entry(name)[0]

    def reader(self, name: str) -> MemoryReader:
        """For the arrays of a value. Raises NotStoredError."""
        return MemoryReader(*self._entry(name))

    def writer(self, description: Description, parts: Sequence[Part]) -> MemoryWriter:
        """For a value that comes piece by piece. Raises ArgumentError."""
        description.check()
        with self._lock:
            self.expire()
            return MemoryWriter(self._completed(description), parts, self._finish)

    def delete(self, name: str) -> None:
        """Raises NotStoredError."""
        with self._lock:
            self._entry(name)
            del self._held[name]
            self.generation += 1

    def amend(self, description: Description) -> None:
        """Change who may read a value, and when it expires. Raises ArgumentError, NotStoredError."""
        description.check()
        with self._lock:
            stored, arrays = self._entry(description.name)
            check_amended(stored.description, description)
            self._held[description.name] = replace(stored, description=description), arrays
            self.generation += 1

    def expire(self) -> list[str]:
        """Drop what is over; returns the names. All that is asked of the store does so too."""
        with self._lock:
            now = self._clock()
            over = [name for name, (stored, _) in self._held.items() if is_over(stored.description, now)]
            for name in over:
                del self._held[name]
            return sorted(over)

    def _entry(self, name: str) -> tuple[Stored, dict[str, Words]]:
        with self._lock:
            self.expire()
            if name not in self._held:
                shown = f"no value {name!r}" if not label_fault(name) else "no value of that name"
                raise NotStoredError(f"there is {shown}", where=FOLDER, why="it was not put, was deleted, or is over")
            return self._held[name]

    def _completed(self, description: Description) -> Description:
        """With its version, which must be a new one, and the time."""
        held = self._held.get(description.name)
        last = held[0].description.version if held else 0
        version = description.version or max(self.generation, last) + 1
        if version <= last:
            raise StoreError(
                f"{description.name!r} is at version {last} here",
                where=FOLDER,
                why=f"version {version} is no newer",
                todo="put it with a greater version",
            )
        return replace(description, version=version, created=description.created or int(self._clock()))

    def _finish(self, stored: Stored, arrays: dict[str, Words]) -> None:
        with self._lock:
            self._completed(stored.description)  # another writer may have been faster
            self._held[stored.description.name] = stored, arrays
            self.generation += 1

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._held):,} values)"


class MemoryWriter:
    """One value on its way in. finish: the store's part of `commit`."""

    def __init__(
        self, description: Description, parts: Sequence[Part], finish: Callable[[Stored, dict[str, Words]], None]
    ) -> None:
        self.description, self.parts, self.open = description, tuple(parts), True
        self._finish = finish
        self._arrays: dict[str, Words] = {p.name: aligned_array(p.shape, np.dtype(p.dtype)) for p in parts}
        self._written = dict.fromkeys(self._arrays, 0)

    @property
    def written(self) -> dict[str, int]:
        """Bytes so far, of each part."""
        return dict(self._written)

    def write(self, part: str, data: Words | bytes | bytearray | memoryview) -> None:
        """The next words of a part, in C order, also as bytes. Raises ArgumentError for what does not fit."""
        self._usable()
        if part not in self._arrays:
            raise self._refused(f"it has no array {part!r}")
        if isinstance(data, np.ndarray) and data.dtype != self._arrays[part].dtype:
            raise self._refused(f"its words are {self._arrays[part].dtype.name}, and these are {data.dtype.name}")
        given = np.ascontiguousarray(data).reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
        content = np.frombuffer(given, np.uint8)
        into, at = self._arrays[part].reshape(-1).view(np.uint8), self._written[part]
        if content.size > into.size - at:
            raise self._refused(f"its array {part!r} has {into.size:,} bytes, and no more")
        into[at : at + content.size] = content
        self._written[part] += content.size

    def prepare(self) -> None:
        """Raises ArgumentError where words are missing yet: `commit` takes nothing more."""
        self._usable()
        for part in self.parts:
            if self._written[part.name] != part.bytes:
                raise self._refused(f"its array {part.name!r} has {self._written[part.name]:,} of {part.bytes:,} bytes")

    def commit(self) -> Stored:
        """From now on it is what the store holds. Raises ArgumentError where words are missing yet."""
        self.prepare()
        for array in self._arrays.values():
            array.flags.writeable = False
        stored = Stored(self.description, self.parts, sum(part.bytes for part in self.parts))
        self._finish(stored, self._arrays)
        self.open = False
        return stored

    def abort(self) -> None:
        """Nothing of it stays."""
        if self.open:
            self.open = False
            self._arrays = {}

    def _usable(self) -> None:
        if not self.open:
            raise StoreError(f"this writer of {self.description.name!r} is done", why="it was committed or dropped")

    def _refused(self, why: str) -> ArgumentError:
        return ArgumentError(f"{self.description.name!r} cannot be stored so", where="data", why=why)

    def __enter__(self) -> MemoryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()


class MemoryReader:
    """A value on its way out: that which was there when it was opened."""

    def __init__(self, stored: Stored, arrays: Mapping[str, Words]) -> None:
        self.description, self.parts, self._arrays = stored.description, stored.parts, arrays

    def part(self, name: str) -> Part:
        """Raises NotStoredError."""
        for part in self.parts:
            if part.name == name:
                return part
        raise NotStoredError(f"{self.description.name!r} has no such array here", where="part")

    def array(self, part: str) -> Words:
        """All words of a part, not to be written to. Raises NotStoredError."""
        return self._arrays[self.part(part).name]

    def blocks(self, part: str) -> Generator[Words]:
        """The words of one part in order, flat, piece by piece."""
        flat = self.array(part).reshape(-1)
        yield from (flat[at : at + _BLOCK_WORDS] for at in range(0, flat.size, _BLOCK_WORDS))

    def __enter__(self) -> MemoryReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        """It holds nothing open."""
