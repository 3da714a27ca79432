"""Readers and writers at once: each reader sees one version, whole; nothing is lost, and nothing stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from jmpc.errors import NotStoredError, StoreError
from jmpc.store import Part, StorageKey, Store

from .helpers import ROWS, content, files, named, plain, words

NAMES = [f"v{n}" for n in range(4)]
CHANGES = 25


def of(number: int) -> dict[str, np.ndarray]:
    """Two arrays that tell of which version they are."""
    return {"0": np.full(300, number, np.uint64), "1": np.full(200, number, np.uint64)}


def test_readers_and_writers_at_once(place: Path, key: StorageKey, store: Store) -> None:
    done = threading.Event()

    def writer(name: str) -> int:
        for number in range(1, CHANGES):
            store.put(replace(named(name), version=number), of(number))
        return CHANGES

    def changer() -> int:
        """Other values come and go, and the key changes."""
        for number in range(CHANGES // 3):
            store.put(named("brief"), of(number))
            store.rotate(StorageKey(bytes([number + 1]) * 32))
            store.delete("brief")
        return CHANGES

    def reader(name: str) -> int:
        seen = last = 0
        while not done.is_set() or not seen:
            try:
                loaded = store.load(name)
            except NotStoredError:
                continue
            found = {int(word) for array in loaded.values() for word in array}
            assert found == {loaded.description.version}
            assert loaded.description.version >= last
            seen, last = seen + 1, loaded.description.version
        return seen

    def copier() -> int:
        for number in range(3):
            store.backup(place / f"backup {number}")
        return 3

    with ThreadPoolExecutor(12) as pool:
        working = [pool.submit(writer, name) for name in NAMES] + [pool.submit(changer), pool.submit(copier)]
        reading = [pool.submit(reader, name) for name in NAMES]
        try:
            assert all(work.result() for work in working)
        finally:
            done.set()
        assert all(read.result() for read in reading)
    assert content(store) == {name: (named(name), plain(of(CHANGES - 1))) for name in NAMES}
    assert len(files(store)) == len(NAMES)
    for number in range(3):
        for key_number in range(CHANGES // 3 + 1):
            target = place / f"restored {number}"
            its_key = StorageKey(bytes([key_number]) * 32) if key_number else key
            if try_to(lambda: Store.restore(place / f"backup {number}", target, its_key)):  # noqa: B023
                break
        with Store.open(target, its_key) as restored:
            for stored in restored.values():
                found = restored.load(stored.description.name)
                assert len({int(word) for array in found.values() for word in array}) == 1


def try_to(action: Callable[[], object]) -> bool:
    try:
        action()
    except StoreError:
        return False
    return True


def test_a_reader_keeps_the_version_that_it_opened(store: Store) -> None:
    store.put(ROWS, of(1))
    with store.reader("rows") as first, store.reader("rows") as second:
        store.put(ROWS, of(2))
        assert plain(first.load()) == plain(of(1))
        store.delete("rows")
        assert plain(second.load()) == plain(of(1))
    assert files(store) == []


def test_closing_while_others_write(store: Store) -> None:
    started = threading.Barrier(5)

    def write(number: int) -> bool:
        writer = store.writer(named(f"v{number}"), [Part("a", "uint64", (200_000,))])
        started.wait()
        return try_to(lambda: [writer.write("a", words(n, 100)) for n in range(2000)] and writer.commit())

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(write, number) for number in range(4)]
        started.wait()
        store.close()
        committed = sum(work.result() for work in working)
    assert len(files(store)) == committed
