"""A folder for stores in memory where there is one: thousands of syncs are waited for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jmpc.store import StorageKey, Store, sealed

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def place() -> Iterator[Path]:
    base = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as found:
        yield Path(found)


@pytest.fixture
def key(place: Path) -> StorageKey:
    return StorageKey.create(place / "key")


@pytest.fixture
def store(place: Path, key: StorageKey) -> Iterator[Store]:
    Store.create(place / "store", key)
    with Store.open(place / "store", key) as opened:
        yield opened


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """So that small values have several."""
    monkeypatch.setattr(sealed, "CHUNK_BYTES", 64)
    return 64
