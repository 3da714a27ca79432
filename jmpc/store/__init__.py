"""Shares at rest: what one party keeps, sealed, in one folder (`store.py`)."""

from jmpc.store.disk import Disk
from jmpc.store.interface import AnyStore, WriterOf
from jmpc.store.key import StorageKey
from jmpc.store.memory import MemoryStore
from jmpc.store.reader import Loaded, Reader
from jmpc.store.rebuild import Fingerprint, Survivors
from jmpc.store.store import Store
from jmpc.store.value import Description, Part, Stored
from jmpc.store.writer import Writer

__all__ = [
    "AnyStore",
    "Description",
    "Disk",
    "Fingerprint",
    "Loaded",
    "MemoryStore",
    "Part",
    "Reader",
    "StorageKey",
    "Store",
    "Stored",
    "Survivors",
    "Writer",
    "WriterOf",
]
