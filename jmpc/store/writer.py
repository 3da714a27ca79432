"""One value on its way into a store.

In: plain words, part by part, in pieces of any length. Out: sealed chunks at their places in a file that nobody sees
before `commit`. What is in memory is less than a chunk of each part. A writer waits as long as its store is open: a
client that was cut off goes on at `written`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jmpc.errors import ArgumentError, StoreError
from jmpc.store.disk import Disk, explained
from jmpc.store.ownership import Ownership
from jmpc.store.sealed import OVERHEAD_BYTES, Layout, Seal, digest, outline
from jmpc.store.value import Description, Part, Stored, Words


class File:
    """A sealed file while it is written. name: of the value, for errors."""

    def __init__(self, disk: Disk, path: Path, layout: Layout, seal: Seal, name: str) -> None:
        self.layout, self._disk, self._path, self._seal = layout, disk, path, seal
        self._doing = f"storing {name!r}"
        self._sealed = memoryview(bytearray(layout.largest + OVERHEAD_BYTES))
        self._outlines = [b""] * layout.chunks
        with explained(self._doing, path):
            self._fd = disk.create(path)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        with explained(self._doing, self._path):
            self._disk.write(self._fd, self.layout.head, 0)
        for chunk in self.layout.of(0):
            self.put(0, chunk.start, memoryview(self.layout.header)[chunk.start : chunk.start + chunk.length])

    def put(self, section: int, start: int, plain: memoryview) -> None:
        """One chunk, whole."""
        chunk = self.layout.chunk(section, start)
        sealed = self._sealed[: chunk.sealed]
        self._seal.seal(chunk, plain, sealed)
        with explained(self._doing, self._path):
            self._disk.write(self._fd, sealed, chunk.offset)
        self._outlines[chunk.number] = outline(sealed)

    def sync(self) -> str:
        """Makes it durable, but for its place in the folder. Returns its digest."""
        with explained(self._doing, self._path):
            self._disk.sync(self._fd)
        return digest(self._outlines)

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._disk.close(fd)


class Writer:
    """Several may be open. In a `with` block, what is not committed is dropped.

    description: with the version that it will have.  grow: the store's part of a write, which may refuse so many bytes.
    finish, drop: its part of `commit` and `abort`.
    """

    def __init__(
        self,
        description: Description,
        parts: Sequence[Part],
        file: File,
        grow: Callable[[int], None],
        finish: Callable[[Writer, str], None],
        drop: Callable[[], None],
        ownership: Ownership,
    ) -> None:
        self.description, self.parts, self.open = description, tuple(parts), True
        self._lock = threading.RLock()  # the store may be closed by another thread
        self._file, self._grow, self._finish, self._drop, self._ownership = file, grow, finish, drop, ownership
        self._digest = ""  # once the file is durable
        self._numbers = {part.name: number for number, part in enumerate(parts, 1)}
        self._written = dict.fromkeys(self._numbers, 0)
        self._held = {name: bytearray() for name in self._numbers}

    @property
    def written(self) -> dict[str, int]:
        """Bytes so far, of each part: where to go on."""
        return dict(self._written)

    def write(self, part: str, data: Words | bytes | bytearray | memoryview) -> None:
        """The next words of a part, in C order; as bytes they are little-endian, and may end inside a word. More than
        there is room for is refused before any of it is taken; after a fault of the disk the writer is of no use."""
        self._ownership.check()  # first: in a fork, the lock may be another's for ever
        with self._lock:
            self._usable()
            if part not in self._numbers:
                raise self._refused(f"it has no array {part!r}")
            number = self._numbers[part]
            view, size = self._bytes(data, self.parts[number - 1].dtype), self._file.layout.sizes[number]
            if len(view) > size - self._written[part]:
                raise self._refused(f"its array {part!r} has {size:,} bytes, and no more")
            self._digest = ""
            with self._or_abort():
                self._take(part, number, view)

    def _bytes(self, data: Words | bytes | bytearray | memoryview, dtype: str) -> memoryview:
        """Words as little-endian bytes, without a copy where they are that already."""
        if isinstance(data, np.ndarray):
            if data.dtype.name != dtype:
                raise self._refused(f"its words are {dtype}, and these are {data.dtype.name}")
            little = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
            return little.reshape(-1).view(np.uint8).data
        try:
            return memoryview(data).cast("B")
        except TypeError:
            raise self._refused("its words are an array of NumPy, or bytes") from None

    def _take(self, part: str, number: int, view: memoryview) -> None:
        held = self._held[part]
        while view:
            start = self._written[part] - len(held)
            room = self._file.layout.chunk(number, start).length - len(held)
            piece, view = view[:room], view[room:]
            if held or len(piece) < room:
                held += piece
            if len(piece) == room:
                self._grow(len(held or piece) + OVERHEAD_BYTES)
                self._file.put(number, start, memoryview(held) if held else piece)
                held = self._held[part] = bytearray()
            self._written[part] += len(piece)

    def prepare(self) -> None:
        """Make what was written durable: all that `commit` takes of the disk then is a line in the index. Raises
        ArgumentError where words are missing yet."""
        self._ownership.check()
        with self._lock:
            self._usable()
            for part, size in zip(self.parts, self._file.layout.sizes[1:], strict=True):
                if self._written[part.name] != size:
                    raise self._refused(
                        f"its array {part.name!r} has {self._written[part.name]:,} of {size:,} bytes yet"
                    )
            with self._or_abort():
                self._digest = self._digest or self._file.sync()

    def commit(self) -> Stored:
        """From now on it is what the store holds, and stays so. Raises ArgumentError where words are missing yet."""
        self._ownership.check()
        with self._lock:
            self.prepare()
            with self._or_abort():
                self._finish(self, self._digest)
            self.open = False
            self._file.close()
            return Stored(self.description, self.parts, self._file.layout.bytes)

    def abort(self) -> None:
        """Nothing of it stays. In a fork this does nothing: the file is its parent's."""
        if self._ownership.is_fork:
            return
        with self._lock:
            if self.open:
                self.open = False
                try:
                    self._file.close()
                finally:
                    self._drop()

    @contextmanager
    def _or_abort(self) -> Generator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _usable(self) -> None:
        if not self.open:
            why = "it was committed or dropped, or its store is closed"
            raise StoreError(f"this writer of {self.description.name!r} is done", why=why)

    def _refused(self, why: str) -> ArgumentError:
        return ArgumentError(f"{self.description.name!r} cannot be stored so", where="data", why=why)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def __repr__(self) -> str:
        done, size = sum(self._written.values()), sum(part.bytes for part in self.parts)
        return f"Writer({self.description.name!r}, {done:,} of {size:,} bytes)"
