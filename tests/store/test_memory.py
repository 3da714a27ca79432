"""The store in memory does what the one in a folder does, and keeps nothing anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jmpc.errors import ArgumentError, NotStoredError, StoreError
from jmpc.store import AnyStore, Description, MemoryStore, Part, StorageKey, Store

WORDS = np.arange(6, dtype=np.uint64).reshape(2, 3)
BITS = np.uint8([7, 255])
PARTS = [Part("0.0", "uint64", (2, 3)), Part("0.1", "uint8", (2,))]
NOW = 1000.0


def described(name: str = "rows", **more: object) -> Description:
    return Description(name, "alice", "{}", (1,), 64, **more)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    """Both, so that they cannot differ."""
    if request.param == "memory":
        yield MemoryStore(lambda: NOW)
        return
    key = StorageKey.create(tmp_path / "storage.key")
    Store.create(tmp_path / "store", key)
    with Store.open(tmp_path / "store", key, clock=lambda: NOW) as made:
        yield made


def put(store: AnyStore, description: Description, words: np.ndarray = WORDS) -> None:
    writer = store.writer(description, PARTS)
    writer.write("0.0", words)
    writer.write("0.1", BITS)
    writer.commit()


def test_what_is_written_is_read(store: AnyStore) -> None:
    put(store, described())
    with store.reader("rows") as reader:
        np.testing.assert_array_equal(reader.array("0.0"), WORDS)
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks("0.1"))), BITS)
        assert reader.part("0.1") == PARTS[1]
        assert reader.array("0.0").ctypes.data % 64 == 0
        with pytest.raises(NotStoredError, match="no such array"):
            reader.array("1.0")
    said = store.describe("rows")
    assert (said.description.name, said.description.owner, said.description.created) == ("rows", "alice", int(NOW))
    assert said.parts == tuple(PARTS)
    assert [one.description.name for one in store.values()] == ["rows"]
    assert store.used >= WORDS.nbytes + BITS.nbytes


def test_pieces_come_in_any_length_also_as_bytes(store: AnyStore) -> None:
    writer = store.writer(described(), PARTS)
    data = WORDS.astype("<u8").tobytes()
    for at in range(0, len(data), 5):
        writer.write("0.0", data[at : at + 5])
    assert writer.written == {"0.0": WORDS.nbytes, "0.1": 0}
    with pytest.raises(ArgumentError, match=r"'0\.1' has 0 of 2 bytes"):
        writer.commit()
    writer.write("0.1", BITS)
    writer.commit()
    with store.reader("rows") as reader:
        np.testing.assert_array_equal(reader.array("0.0"), WORDS)


def test_what_does_not_fit_is_refused(store: AnyStore) -> None:
    writer = store.writer(described(), PARTS)
    for part, data in (("2.0", BITS), ("0.1", WORDS), ("0.1", np.zeros(3, np.uint8))):
        with pytest.raises(ArgumentError, match="cannot be stored so"):
            writer.write(part, data)
    with pytest.raises(ArgumentError):
        store.writer(described("../rows"), PARTS)
    writer.abort()
    with pytest.raises(StoreError, match="done"):
        writer.write("0.1", BITS)
    assert store.values() == []


def test_nothing_is_seen_before_it_is_committed_and_a_reader_holds_what_it_opened(store: AnyStore) -> None:
    put(store, described())
    writer = store.writer(described(), PARTS)
    writer.write("0.0", WORDS + 1)
    with store.reader("rows") as reader:
        writer.write("0.1", BITS)
        first = store.describe("rows").description.version
        writer.commit()
        np.testing.assert_array_equal(reader.array("0.0"), WORDS)
    assert store.describe("rows").description.version > first
    with store.reader("rows") as reader:
        np.testing.assert_array_equal(reader.array("0.0"), WORDS + 1)


def test_versions_grow(store: AnyStore) -> None:
    put(store, described(version=7))
    with pytest.raises(StoreError, match="is at version 7"):
        put(store, described(version=7))
    before = store.generation
    put(store, described(version=8))
    assert store.generation > before
    slow = store.writer(described(version=9), PARTS)
    put(store, described(version=9))
    slow.write("0.0", WORDS)
    slow.write("0.1", BITS)
    with pytest.raises(StoreError, match="version 9"):
        slow.commit()


def test_what_is_deleted_or_over_is_gone(store: AnyStore) -> None:
    put(store, described("kept"))
    put(store, described("gone"))
    store.delete("gone")
    for name in ("gone", "never", "../x"):
        with pytest.raises(NotStoredError):
            store.delete(name)
        with pytest.raises(NotStoredError), store.reader(name):
            pass
    store.amend(described("kept", created=int(NOW), version=store.describe("kept").description.version, expires=1000))
    assert store.values() == []
    with pytest.raises(NotStoredError, match="'kept'"):
        store.describe("kept")


def test_only_who_reads_it_and_until_when_is_amended(store: AnyStore) -> None:
    put(store, described())
    held = store.describe("rows").description
    store.amend(described(created=held.created, version=held.version, programs=("ab bob",)))
    assert store.describe("rows").description.programs == ("ab bob",)
    with pytest.raises(ArgumentError, match="only programs"):
        store.amend(described(created=held.created, version=held.version + 1))


def test_what_a_memory_store_holds_cannot_be_written_to_or_seen_in_passing() -> None:
    store = MemoryStore()
    put(store, described())
    with store.reader("rows") as reader, pytest.raises(ValueError, match="read-only"):
        reader.array("0.0")[0, 0] = 1
    assert repr(store) == "MemoryStore(1 values)"


def test_threads_share_a_memory_store() -> None:
    store = MemoryStore()

    def work(number: int) -> None:
        for _ in range(50):
            put(store, described(f"rows/{number}"), WORDS + number)
            with store.reader(f"rows/{number}") as reader:
                assert reader.array("0.0")[0, 0] == number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.values()) == 8
    assert store.generation == 400
