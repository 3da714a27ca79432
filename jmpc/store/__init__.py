"""Shares at rest: what one party keeps, sealed, in one folder (`store.py`)."""

from jmpc.store.disk import Disk
from jmpc.store.key import StorageKey
from jmpc.store.reader import Loaded, Reader
from jmpc.store.rebuild import Fingerprint, Survivors
from jmpc.store.store import Store
from jmpc.store.value import Description, Part, Stored
from jmpc.store.writer import Writer

__all__ = [
    "Description",
    "Disk",
    "Fingerprint",
    "Loaded",
    "Part",
    "Reader",
    "StorageKey",
    "Store",
    "Stored",
    "Survivors",
    "Writer",
]
