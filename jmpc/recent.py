"""A mapping with a size limit: it keeps what was used last.

What goes in: values under keys. What comes out: those that are still there. It belongs to an object, and goes with it:
nothing that grows with use is kept for the life of a process by a module.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The `limit` values that were put or found last. Threads may share it."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("it keeps one value at least")
        self.limit = limit
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.RLock()  # the keys of users may do anything when they are compared

    def get(self, key: K) -> V | None:
        """The value, which counts as used, or None."""
        return self.get_all([key])[0]

    def get_all(self, keys: Sequence[K]) -> list[V | None]:
        """The value of each, which counts as used, or None."""
        with self._lock:
            found = [self._kept.get(key) for key in keys]
            for key, value in zip(keys, found, strict=True):
                if value is not None:
                    self._kept.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> list[V]:
        """Keep a value; returns those that had to go for it."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            return [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - self.limit)]

    def pop(self, key: K) -> V | None:
        with self._lock:
            return self._kept.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def values(self) -> list[V]:
        """Those that are there, the one used longest ago first."""
        with self._lock:
            return list(self._kept.values())

    def __iter__(self) -> Iterator[V]:
        return iter(self.values())

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Recent({len(self)} of {self.limit})"
