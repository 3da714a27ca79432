"""Arrays of stored values as they were read last, so that a model is not decrypted anew for each call.

In: arrays by the name and version of their value, and which of its arrays they are. Out: the same, while they are worth
their room: never more bytes than the limit, and none of a value that is not stored any more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

MOST_BYTES = 1 << 28
_SHARE = 4  # what is larger than this part of the limit would leave no room for others

Arrays = list[np.ndarray]


class Cache:
    """Threads share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._held = most_bytes, 0
        self._kept: OrderedDict[tuple[str, int, int], Arrays] = OrderedDict()  # by name, version, which; oldest first
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes."""
        return self._held

    @property
    def names(self) -> set[tuple[str, int]]:
        """Of which values there is something, with their versions."""
        with self._lock:
            return {(name, version) for name, version, _ in self._kept}

    def get(self, name: str, version: int, leaf: int) -> Arrays | None:
        """What was put, or None."""
        with self._lock:
            found = self._kept.get((name, version, leaf))
            if found is not None:
                self._kept.move_to_end((name, version, leaf))
            return found

    def put(self, name: str, version: int, leaf: int, arrays: Arrays) -> None:
        """Keep arrays, for which those go that were used longest ago."""
        size = _bytes(arrays)
        if size > self._most // _SHARE:
            return
        with self._lock:
            self._drop([key for key in self._kept if key == (name, version, leaf)])
            while self._held + size > self._most:
                self._drop([next(iter(self._kept))])
            self._kept[name, version, leaf] = arrays
            self._held += size

    def keep(self, stored: Callable[[str, int], bool]) -> None:
        """Drop all of those values, by name and version, that are not stored."""
        gone = {value for value in self.names if not stored(*value)}
        with self._lock:
            self._drop([key for key in self._kept if key[:2] in gone])

    def forget(self, name: str) -> None:
        """Drop all of a value, of any version."""
        with self._lock:
            self._drop([key for key in self._kept if key[0] == name])

    def _drop(self, keys: Sequence[tuple[str, int, int]]) -> None:
        for key in keys:
            self._held -= _bytes(self._kept.pop(key))


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays)
