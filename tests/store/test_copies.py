"""Backup, restore, another storage key: a copy is whole and the same, or it is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jmpc.errors import DamagedError, StoreError
from jmpc.store import Disk, StorageKey, Store

from .faulty_disk import Crash, CrashingDisk
from .helpers import ROWS, Model, content, files, named, plain, summands


def filled(store: Store) -> Model:
    for n in range(4):
        store.put(named(f"v{n}"), summands(n))
    store.put(ROWS, summands(7))
    store.delete("v2")
    return content(store)


def test_a_backup_is_what_the_store_was(place: Path, key: StorageKey, store: Store) -> None:
    before = filled(store)
    store.writer(named("half"), store.describe("rows").parts).write("0", b"half")
    store.backup(place / "backup")
    store.put(ROWS, summands(8))
    store.delete("v1")
    Store.restore(place / "backup", place / "restored", key)
    with Store.open(place / "restored", key) as again:
        assert content(again) == before
        assert len(files(again)) == len(before)
        again.put(named("new"), summands(9))
    assert sorted(content(store)) == ["rows", "v0", "v3"]


def test_the_digests_are_those_of_sha256sum(place: Path, store: Store) -> None:
    filled(store)
    store.backup(place / "backup")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=place / "backup", check=True)
    listed = (place / "backup" / "SHA256SUMS").read_text()
    found = {str(path.relative_to(place / "backup")) for path in (place / "backup").rglob("*") if path.is_file()}
    assert found == {line.split("  ")[1] for line in listed.splitlines()} | {"SHA256SUMS", "SHA256SUMS.tag"}


def changed(name: str) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        (path,) = backup.glob(name) if name != "values/*" else sorted(backup.glob(name))[:1]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda backup: sorted(backup.glob(name))[0].unlink()


NAMES = ("values/*", "index.db", "store.json", "SHA256SUMS", "SHA256SUMS.tag")


@pytest.mark.parametrize("change", [*map(changed, NAMES), *map(removed, NAMES)])
def test_a_backup_that_was_changed_is_refused(
    place: Path, key: StorageKey, store: Store, change: Callable[[Path], None]
) -> None:
    store.put(ROWS, summands(1))
    store.backup(place / "backup")
    change(place / "backup")
    with pytest.raises(StoreError):
        Store.restore(place / "backup", place / "restored", key)
    assert not (place / "restored").exists()
    assert [path.name for path in place.glob(".*")] == []


def test_a_changed_backup_names_the_value(place: Path, key: StorageKey, store: Store) -> None:
    store.put(ROWS, summands(1))
    store.backup(place / "backup")
    changed("values/*")(place / "backup")
    with pytest.raises(DamagedError, match="'rows'"):
        Store.restore(place / "backup", place / "restored", key)


def test_a_backup_opens_with_its_key_alone(place: Path, store: Store) -> None:
    store.put(ROWS, summands(1))
    store.backup(place / "backup")
    with pytest.raises(StoreError, match="not the storage key of this backup"):
        Store.restore(place / "backup", place / "restored", StorageKey(bytes(32)))


def test_a_damaged_value_is_not_backed_up_in_silence(place: Path, store: Store) -> None:
    store.put(ROWS, summands(1))
    changed("values/*")(store.folder)
    with pytest.raises(DamagedError, match="value 'rows' is damaged"):
        store.backup(place / "backup")
    assert not (place / "backup").exists()


def test_nothing_is_written_over(place: Path, key: StorageKey, store: Store) -> None:
    store.put(ROWS, summands(1))
    (place / "full").mkdir()
    (place / "full" / "file").write_text("mine")
    (place / "link").symlink_to(place / "nothing")
    store.backup(place / "backup")
    for target in (place / "full", place / "link", place / "full" / "file"):
        for write in (
            lambda: store.backup(target),  # noqa: B023
            lambda: Store.create(target, key),  # noqa: B023
            lambda: Store.restore(place / "backup", target, key),  # noqa: B023
        ):
            with pytest.raises(StoreError, match="this folder is not empty"):
                write()
    assert (place / "full" / "file").read_text() == "mine"
    (place / "empty").mkdir()
    Store.restore(place / "backup", place / "empty", key)
    with Store.open(place / "empty", key) as again:
        assert content(again) == content(store)


def test_files_stay_while_they_are_copied(place: Path, key: StorageKey, store: Store) -> None:
    """Between the copy of the index and that of the files, all is deleted and replaced."""
    before, busy = filled(store), []

    class Busy(Disk):
        def create(self, path: Path) -> int:
            if path.parent.name == "values" and "making" in str(path) and not busy:
                busy.append(path)
                store.put(replace(ROWS, version=1000), summands(50))
                for name in ("v0", "v1", "v3"):
                    store.delete(name)
                store.rotate(StorageKey(bytes(32)))
            return super().create(path)

    store._disk = Busy()
    store.backup(place / "backup")
    assert busy
    assert {path.name for path in files(store)} == {entry.file for entry in store._index.entries.values()}
    Store.restore(place / "backup", place / "restored", key)
    with Store.open(place / "restored", key) as again:
        assert content(again) == before


@pytest.mark.parametrize("what", ["create", "backup", "restore"])
def test_a_crash_leaves_no_half_of_a_folder(place: Path, key: StorageKey, store: Store, what: str) -> None:
    before = filled(store)
    store.backup(place / "backup")
    done = 0
    for number in range(400):
        folder, target = place / f"{number}", place / f"{number}" / "target"
        folder.mkdir()
        disk = CrashingDisk(number, folder, place / f"{number} crashed")
        store._disk = store._index._disk = disk
        try:
            if what == "create":
                Store.create(target, key, disk=disk)
            elif what == "backup":
                store.backup(target)
            else:
                Store.restore(place / "backup", target, key, disk=disk)
        except Crash:
            crashed = place / f"{number} crashed" / "target"
            if not crashed.exists():
                done += 1
                make = Store.create if what == "create" else None
                if make:
                    make(crashed, key)  # what was left does not stand in the way
                continue
            # It is there: so it is whole.
            if what == "backup":
                Store.restore(crashed, place / f"{number} restored", key)
                crashed = place / f"{number} restored"
            with Store.open(crashed, key) as again:
                assert content(again) == ({} if what == "create" else before)
            continue
        break
    assert done > 10
    assert number < 399


def test_another_key(place: Path, key: StorageKey, store: Store) -> None:
    before = filled(store)
    waiting = store.writer(named("half"), store.describe("rows").parts)
    new = StorageKey.create(place / "new key")
    store.rotate(new)
    for part, array in summands(5).items():
        waiting.write(part, array)
    waiting.commit()
    before |= {"half": (named("half"), plain(summands(5)))}
    assert content(store) == before
    with pytest.raises(StoreError, match="the storage key in use"):
        store.rotate(new)
    store.close()
    with pytest.raises(StoreError, match="not the storage key"):
        Store.open(store.folder, key)
    with Store.open(store.folder, StorageKey.read(place / "new key")) as again:
        assert content(again) == before
