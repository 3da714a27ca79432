"""A fault, a crash, a loss of power at every single operation on the disk: the old value or the new one, whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jmpc.errors import StoreError, StoreFullError
from jmpc.store import StorageKey, Store

from .faulty_disk import READS, WRITES, Crash, CrashingDisk, FaultyDisk, full_error, system_error
from .helpers import ROWS, Model, content, files, named, plain, summands

Step = tuple[str, Callable[[Store], object]]
KEYS = [StorageKey(bytes([n]) * 32) for n in range(2)]


def steps() -> list[Step]:
    """Every kind of change."""
    return [
        ("put", lambda s: s.put(ROWS, summands(1))),
        ("put another", lambda s: s.put(named("b"), summands(2))),
        ("replace", lambda s: s.put(ROWS, summands(3))),
        ("amend", lambda s: s.amend(replace(s.describe("rows").description, receivers=("carol",)))),
        ("rotate", lambda s: s._index.key.id == KEYS[1].id or s.rotate(KEYS[1])),
        ("delete", lambda s: s.delete("rows")),
        ("put again", lambda s: s.put(ROWS, summands(4))),
    ]


def new_store(folder: Path) -> None:
    Store.create(folder, KEYS[0])


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Under whichever key it is."""
    try:
        store = Store.open(folder, KEYS[0])
    except StoreError as exc:
        if "not the storage key" not in exc.what:
            raise
        store = Store.open(folder, KEYS[1])
    with store:
        yield store


def error_of(step: Callable[[Store], object], store: Store) -> StoreError | None:
    try:
        step(store)
    except StoreError as exc:
        return exc
    return None


def tidy(store: Store) -> None:
    """No file is there that belongs to no value."""
    assert {path.name for path in files(store)} == {entry.file for entry in store._index.entries.values()}
    assert store.missing(deep=True) == []


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """What the store holds before the first step, and after each."""
    folder = tmp_path_factory.mktemp("models") / "store"
    new_store(folder)
    with Store.open(folder, KEYS[0]) as store:
        found = [content(store)]
        for _, step in steps():
            step(store)
            found.append(content(store))
    return found


def operations(folder: Path) -> int:
    """How many there are in all steps."""
    new_store(folder)
    disk = FaultyDisk()
    with Store.open(folder, KEYS[0], disk=disk) as store:
        begin = len(disk.log)
        for _, step in steps():
            step(store)
        end = len(disk.log)
    assert set(disk.log[begin:end]) == set(WRITES) - {"make_folder", "rename"}
    return end


def faults(place: Path) -> Iterator[tuple[int, Path]]:
    """The number of each operation, and a new store to put the fault in."""
    total = operations(place / "count")
    for number in range(total):
        folder = place / str(number)
        new_store(folder)
        yield number, folder


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("fault", "done"), [(system_error, False), (system_error, True), (full_error, False)])
def test_after_a_fault_it_is_the_old_or_the_new_and_the_store_goes_on(
    place: Path, models: list[Model], fault: Callable[[str], BaseException], done: bool
) -> None:
    met, descriptors = 0, len(os.listdir("/proc/self/fd"))
    for number, folder in faults(place):
        disk, reached, raised = FaultyDisk(number, fault, done), 0, False
        try:
            store = Store.open(folder, KEYS[0], disk=disk)
        except StoreError:
            continue
        with store:
            for _, step in steps():
                if error := error_of(step, store):
                    raised = True
                    assert isinstance(error, StoreFullError) == (fault is full_error), error
                    found = content(store)
                    assert found in models[reached : reached + 2]
                    if found == models[reached]:
                        step(store)  # now it is done
                reached += 1
                assert content(store) == models[reached]
            met += raised
        with opened(folder) as store:
            assert content(store) == models[-1]
            tidy(store)
    assert met > 50
    if not done:  # a file that was opened before the error said that it was not is lost by the test's disk
        assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power lost"])
def test_after_a_crash_it_is_the_old_or_the_new(place: Path, models: list[Model], power: bool) -> None:
    for number, folder in faults(place):
        image, reached = place / f"{number} crashed", 0
        disk = CrashingDisk(number, folder, image, power)
        try:
            with Store.open(folder, KEYS[0], disk=disk) as store:
                for _, step in steps():
                    step(store)
                    reached += 1
        except Crash:
            with opened(image) as again:
                assert content(again) in models[reached : reached + 2]
                tidy(again)
                again.put(named("after"), summands(9))
                assert plain(again.load("after")) == plain(summands(9))
            continue
        assert number >= len(disk.log) - 30, "the operation was never done"


def test_a_crash_while_it_opens_after_a_crash(place: Path, key: StorageKey) -> None:
    """What removes leftovers may itself be cut off, anywhere."""
    Store.create(place / "store", key)
    store = Store.open(place / "store", key)
    store.put(ROWS, summands(1))
    with store.writer(named("b"), store.describe("rows").parts) as writer:
        writer.write("0", b"12345678")
        disk = CrashingDisk(0, place / "store", place / "first")
        with pytest.raises(Crash):
            disk.sync_folder(place)
    store.close()
    assert len(files(place / "first")) == 2
    for number in range(40):
        image = place / f"second {number}"
        disk = CrashingDisk(number, place / "first", image)
        try:
            Store.open(place / "first", key, disk=disk).close()
        except Crash:
            with Store.open(image, key) as again:
                assert content(again) == {"rows": (ROWS, plain(summands(1)))}
                tidy(again)
            continue
        break
    assert 5 < number < 39


@pytest.mark.parametrize("what", READS)
def test_a_fault_in_reading_is_the_stores_own_error(place: Path, key: StorageKey, what: str) -> None:
    Store.create(place / "store", key)
    disk = FaultyDisk(kinds=(what,))
    with Store.open(place / "store", key, disk=disk) as store:
        store.put(ROWS, summands(1))
        for at in range(3):
            disk.at, before = len(disk.log) + at, len(disk.log)
            error = error_of(lambda s: (s.load("rows"), s.put(named("b"), summands(2))), store)
            if len(disk.log) > before + at:
                assert error is not None
                assert "rows" in error.what or "room" in error.what
        disk.at = None
        assert plain(store.load("rows")) == plain(summands(1))


def test_a_store_on_a_disk_that_cannot_be_written(place: Path, key: StorageKey) -> None:
    Store.create(place / "store", key)
    read_only = FaultyDisk(0, lambda _: OSError(errno.EROFS, "Read-only file system"), lasting=True)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store.create(place / "other", key, disk=read_only)
    assert not (place / "other").exists()
