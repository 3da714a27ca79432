"""A stored value on its way out.

In: an open sealed file, and its entry of the index. Out: words, each chunk checked before any of it is seen. A reader
holds the version that it was opened for, also when that is replaced or deleted meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import numpy as np

from jmpc.errors import DamagedError, NotStoredError, StoreError
from jmpc.ring.aligned import aligned_array
from jmpc.store.disk import Disk, explained
from jmpc.store.index import Entry
from jmpc.store.sealed import OVERHEAD_BYTES, Chunk, Layout, Seal, digest, outline
from jmpc.store.value import Description, Part, Words


class Loaded(dict[str, Words]):
    """The arrays of a value, by part. Printed, it shows none of them."""

    def __init__(self, description: Description, arrays: dict[str, Words]) -> None:
        super().__init__(arrays)
        self.description = description

    def __repr__(self) -> str:
        return f"Loaded({self.description.name!r}, {len(self)} arrays, hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("shares are not pickled or copied")


class Reader:
    """For one thread; several may be open. Close it, or use it in a `with` block."""

    def __init__(self, disk: Disk, path: Path, entry: Entry, seal: Seal) -> None:
        self.description, self.parts = entry.description, entry.parts
        self._disk, self._path, self._entry, self._seal, self._fd = disk, path, entry, seal, -1
        self._layout = Layout(entry.file, entry.parts)
        self._sealed = memoryview(bytearray(self._layout.largest + OVERHEAD_BYTES))
        self._outlines = [b""] * self._layout.chunks
        with explained(f"reading {self.description.name!r}", path):
            try:
                self._fd = disk.open(path)
            except FileNotFoundError as exc:
                raise self._damaged("its file is gone") from exc
            try:
                self._check_frame()
            except BaseException:
                self.close()
                raise

    def _check_frame(self) -> None:
        """Length, head and header, before anything is allocated for the content."""
        layout = self._layout
        head = bytearray(len(layout.head))
        self._disk.read(self._fd, memoryview(head), 0)
        if bytes(head) != layout.head:
            raise self._damaged("it begins as no file of this store does")
        if (beyond := self._disk.read(self._fd, memoryview(bytearray(2)), layout.bytes - 1)) != 1:
            raise self._damaged(f"it is {'longer' if beyond else 'shorter'} than what was written")
        header = bytearray(layout.sizes[0])
        self._fill(0, memoryview(header))
        if bytes(header) != layout.header:
            raise self._damaged("its header is another")

    def load(self) -> Loaded:
        """All parts. Raises DamagedError."""
        found = {part.name: self.array(part.name) for part in self.parts}
        self._check_digest()
        return Loaded(self.description, found)

    def blocks(self, part: str) -> Generator[Words]:
        """The words of one part in order, flat, chunk by chunk: what was seen before a DamagedError was right."""
        number = self.parts.index(self.part(part)) + 1
        dtype = np.dtype(self.part(part).dtype).newbyteorder("<")
        for chunk in self._layout.of(number):
            plain = bytearray(chunk.length)
            self._read(chunk, memoryview(plain))
            yield np.frombuffer(plain, dtype).astype(dtype.newbyteorder("="), copy=False)

    def array(self, part: str) -> Words:
        """All words of one part, where XLA reads them without a copy: each chunk was right."""
        found = self.part(part)
        dtype = np.dtype(found.dtype).newbyteorder("<")
        words = aligned_array(found.shape, dtype)
        self._fill(self.parts.index(found) + 1, words.reshape(-1).view(np.uint8).data)
        return words.astype(dtype.newbyteorder("="), copy=False)

    def part(self, name: str) -> Part:
        """Raises NotStoredError."""
        for part in self.parts:
            if part.name == name:
                return part
        raise NotStoredError(f"{self.description.name!r} has no such array here", where="part")

    def sealed(self) -> Generator[memoryview]:
        """The bytes of the file, checked, piece by piece; each is overwritten by the next. Raises DamagedError."""
        yield memoryview(self._layout.head)
        plain = memoryview(bytearray(self._layout.largest))
        for section in range(len(self._layout.sizes)):
            for chunk in self._layout.of(section):
                self._read(chunk, plain[: chunk.length])
                yield self._sealed[: chunk.sealed]
        self._check_digest()

    def check(self) -> None:
        """Read all of it, and keep nothing. Raises DamagedError."""
        for _ in self.sealed():
            pass

    def _fill(self, section: int, into: memoryview) -> None:
        """All of a section."""
        for chunk in self._layout.of(section):
            self._read(chunk, into[chunk.start : chunk.start + chunk.length])

    def _read(self, chunk: Chunk, into: memoryview) -> None:
        sealed = self._sealed[: chunk.sealed]
        with explained(f"reading {self.description.name!r}", self._path):
            got = self._disk.read(self._open_fd(), sealed, chunk.offset)
        if got < chunk.sealed:
            raise self._damaged("it is shorter than what was written")
        if not self._seal.open(chunk, sealed, into):
            raise self._damaged(f"chunk {chunk.number} is not authentic")
        self._outlines[chunk.number] = outline(sealed)

    def _check_digest(self) -> None:
        if digest(self._outlines) != self._entry.digest:
            raise self._damaged("its digest is not that of the index")

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise StoreError(f"this reader of {self.description.name!r} is closed")
        return self._fd

    def _damaged(self, why: str) -> DamagedError:
        return DamagedError(
            f"the stored value {self.description.name!r} is damaged",
            where=str(self._path),
            why=why,
            todo="restore the newest backup, or have the value rebuilt from the other parties",
        )

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._disk.close(fd)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Reader({self.description.name!r})"
