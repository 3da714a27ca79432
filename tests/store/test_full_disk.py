"""A disk that is really full, where one can be mounted; else a limit on the size of files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jmpc.errors import StoreError, StoreFullError
from jmpc.store import Disk, Part, StorageKey, Store

from .helpers import ROWS, content, files, named, plain, summands

SIZE = 4 << 20


class Boundless(Disk):
    """It does not say how little room there is, so that writing has to find out."""

    def free(self, folder: Path) -> int:
        return 1 << 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """None where this user may mount none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_full_disk(small_disk: Path | None, tmp_path: Path) -> None:
    if small_disk is None:
        limited(tmp_path)
        return
    key = StorageKey(bytes(32))
    Store.create(small_disk / "store", key)
    with Store.open(small_disk / "store", key, disk=Boundless()) as store:
        store.put(ROWS, summands(1, 1000))
        store.put(named("b"), summands(2, 1000))
        before = content(store)
        with pytest.raises(StoreFullError):  # while the file is written
            store.put(ROWS, summands(3, SIZE // 8))
        assert content(store) == before
        assert len(files(store)) == 2
        fill(small_disk)
        with pytest.raises(StoreFullError):  # by the index
            store.put(ROWS, summands(3, 1))
        assert content(store) == before
    with Store.open(small_disk / "store", key) as store:  # opened on a full disk
        assert content(store) == before
        store.delete("rows")
        del before["rows"]
        assert content(store) == before
        (small_disk / "filler").unlink()
        store.put(ROWS, summands(4, 1000))
    with Store.open(small_disk / "store", key) as store:
        assert content(store) == {**before, "rows": (ROWS, plain(summands(4, 1000)))}
        assert len(files(store)) == 2
    with pytest.raises(StoreFullError, match="the disk has"), Store.open(small_disk / "store", key) as store:
        store.writer(ROWS, [Part("a", "uint64", (SIZE // 8,))])


def test_a_limit_on_files(tmp_path: Path) -> None:
    limited(tmp_path)


def limited(folder: Path) -> None:
    key = StorageKey(bytes(32))
    Store.create(folder / "store", key)
    with Store.open(folder / "store", key) as store:
        store.put(ROWS, summands(1))
        before, old = content(store), resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, old[1]))
            with pytest.raises(StoreFullError):
                store.put(ROWS, summands(2, 1 << 17))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert content(store) == before
        assert len(files(store)) == 1
        store.put(ROWS, summands(2, 1 << 17))
    assert os.stat(files(folder / "store")[0]).st_size > 1 << 20


def test_a_disk_that_becomes_read_only(small_disk: Path | None) -> None:
    if small_disk is None:
        return
    key = StorageKey(bytes(32))
    Store.create(small_disk / "store", key)
    with Store.open(small_disk / "store", key) as store:
        store.put(ROWS, summands(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store.open(small_disk / "store", key)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with Store.open(small_disk / "store", key) as store:
        assert plain(store.load("rows")) == plain(summands(1))
