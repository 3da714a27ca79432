"""What lies on disk is changed, by whoever: every change is noticed, and the value is named."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jmpc.errors import DamagedError, StoreError
from jmpc.store import Description, StorageKey, Store

from .helpers import ROWS, content, files, named, plain, summands


def missing(store: Store) -> list[str]:
    return [said.name for said in store.missing(deep=True)]


@pytest.mark.usefixtures("small_chunks")
def test_every_changed_byte_of_a_file_is_noticed(store: Store) -> None:
    store.put(ROWS, summands(1, 9))
    (path,) = files(store)
    good = path.read_bytes()
    assert len(good) > 400
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
        with pytest.raises(DamagedError, match="value 'rows' is damaged"):
            store.load("rows")
    path.write_bytes(good)
    assert plain(store.load("rows")) == plain(summands(1, 9))


@pytest.mark.usefixtures("small_chunks")
def test_every_other_length_of_a_file_is_noticed(store: Store) -> None:
    store.put(ROWS, summands(1, 9))
    (path,) = files(store)
    good = path.read_bytes()
    for changed in (*(good[:n] for n in range(len(good))), good + b"\0", good + good):
        path.write_bytes(changed)
        with pytest.raises(DamagedError, match="value 'rows' is damaged"):
            store.load("rows")
        assert store.missing() == [store.describe("rows").description]
    path.unlink()
    with pytest.raises(DamagedError, match="its file is gone"):
        store.load("rows")
    os.symlink("/etc/hostname", path)
    with pytest.raises(StoreError, match="reading 'rows' failed"):
        store.load("rows")
    assert missing(store) == ["rows"]


@pytest.mark.usefixtures("small_chunks")
def test_chunks_that_changed_places_are_noticed(store: Store) -> None:
    store.put(ROWS, summands(1, 40))
    (path,) = files(store)
    with store.reader("rows") as reader:
        layout = reader._layout
    chunks = [chunk for section in range(3) for chunk in layout.of(section)]
    good = path.read_bytes()
    swaps = 0
    for a in chunks:
        for b in chunks:
            if a.number < b.number and a.length == b.length:
                changed = bytearray(good)
                changed[a.offset : a.offset + a.sealed] = good[b.offset : b.offset + b.sealed]
                changed[b.offset : b.offset + b.sealed] = good[a.offset : a.offset + a.sealed]
                path.write_bytes(changed)
                assert missing(store) == ["rows"]
                swaps += 1
    assert swaps > 20


def test_files_that_changed_places_are_noticed(store: Store) -> None:
    store.put(ROWS, summands(1))
    store.put(named("b"), summands(2))
    one, other = files(store)
    good = one.read_bytes(), other.read_bytes()
    one.write_bytes(good[1])
    other.write_bytes(good[0])
    assert missing(store) == ["b", "rows"]
    one.write_bytes(good[1][:47] + good[0][47:])  # the head of one, the chunks of the other
    assert missing(store) == ["b", "rows"]
    one.write_bytes(good[0])
    other.write_bytes(good[0][:47].replace(one.name.encode(), other.name.encode()) + good[0][47:])
    assert len(missing(store)) == 1


def test_an_older_version_put_back_is_noticed(store: Store) -> None:
    store.put(ROWS, summands(1))
    old = files(store)[0].read_bytes()
    store.put(ROWS, summands(1))
    (path,) = files(store)
    head = f"jmpc sealed 1 {path.name}\n".encode()
    for changed in (old, head + old[len(head) :]):
        path.write_bytes(changed)
        with pytest.raises(DamagedError, match="value 'rows' is damaged"):
            store.load("rows")


def test_a_block_that_was_read_was_right_whatever_comes_after(store: Store) -> None:
    arrays = summands(1, 300_000)
    store.put(ROWS, arrays)
    path = files(store)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    seen = []
    with store.reader("rows") as reader:
        for block in reader.blocks("0"):
            seen += block.tolist()
        assert seen == arrays["0"].tolist()
        blocks = reader.blocks("1")
        assert next(blocks).tolist() == arrays["1"][: 1 << 17].tolist()
        with pytest.raises(DamagedError):
            list(blocks)


def test_another_key_opens_nothing(place: Path, store: Store) -> None:
    store.put(ROWS, summands(1))
    store.close()
    with pytest.raises(StoreError, match="not the storage key of this store") as found:
        Store.open(place / "store", StorageKey(bytes(32)))
    assert StorageKey(bytes(32)).id in found.value.why


# The index.


@contextmanager
def edited(folder: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(folder / "index.db")
    try:
        yield database
        database.commit()
    finally:
        database.close()


EDITS = [
    "UPDATE entry SET record = replace(record, 'alice', 'aline') WHERE name = 'rows'",
    "UPDATE entry SET record = replace(record, 'hash 1', 'hash 2') WHERE name = 'rows'",
    "UPDATE entry SET record = replace(record, '\"expires\":null', '\"expires\":9999') WHERE name = 'rows'",
    "UPDATE entry SET name = 'other' WHERE name = 'rows'",
    "UPDATE entry SET wrapped = (SELECT wrapped FROM entry WHERE name = 'b') WHERE name = 'rows'",
    "UPDATE entry SET record = (SELECT record FROM entry WHERE name = 'b') WHERE name = 'rows'",
    "UPDATE entry SET wrapped = NULL",
    "UPDATE entry SET wrapped = x''",
    "UPDATE entry SET wrapped = 5",
    "UPDATE entry SET record = x'00'",
    "UPDATE entry SET record = CAST(x'ff' AS TEXT)",
    "DELETE FROM entry WHERE name = 'rows'",
    "DELETE FROM entry",
    "DELETE FROM about",
    "UPDATE about SET value = '1' WHERE name = 'generation'",
    "UPDATE about SET value = 'x' WHERE name = 'generation'",
    "UPDATE about SET value = x'31' WHERE name = 'generation'",
    "UPDATE about SET value = printf('%05000d', 7) WHERE name = 'generation'",
    "UPDATE entry SET name = x'ff'",
    "UPDATE entry SET name = printf('%09000d', 7) WHERE name = 'b'",
    "UPDATE about SET value = value || '0' WHERE name = 'seal'",
    "UPDATE about SET value = value || '0' WHERE name = 'store'",
    "DROP TABLE entry",
    "DROP TABLE leftover",
    "INSERT INTO entry SELECT 'more', record, wrapped FROM entry WHERE name = 'b'",
]


def loosened(edit: str) -> list[str]:
    """Tables that take any value."""
    table = "CREATE TABLE loose AS SELECT * FROM entry"
    return [table, "DROP TABLE entry", "ALTER TABLE loose RENAME TO entry", edit]


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_of_the_index_is_noticed_and_deletes_nothing(
    place: Path, key: StorageKey, store: Store, edit: str
) -> None:
    store.put(ROWS, summands(1))
    store.put(named("b"), summands(2))
    store.close()
    before = [path.name for path in files(store)]
    with edited(store.folder) as database:
        for statement in loosened(edit):
            database.execute(statement)
    with pytest.raises(DamagedError) as found:
        Store.open(store.folder, key)
    assert "alice" not in str(found.value)
    assert len(str(found.value)) < 2000
    assert [path.name for path in files(store)] == before


def test_an_older_entry_put_back_is_noticed(key: StorageKey, store: Store) -> None:
    """Whom an owner no longer allows cannot be allowed again by an old row of the same version."""
    said = store.put(ROWS, summands(1)).description
    store.close()
    with edited(store.folder) as database:
        old = database.execute("SELECT record, wrapped FROM entry").fetchone()
    with Store.open(store.folder, key) as store:
        store.amend(replace(said, programs=()))
    with edited(store.folder) as database:
        database.execute("UPDATE entry SET record = ?, wrapped = ?", old)
    with pytest.raises(DamagedError, match="the index is not what was written"):
        Store.open(store.folder, key)


def spoil(data: bytes, place: int) -> bytes:
    return data[:place] + bytes(b ^ 0xFF for b in data[place : place + 64]) + data[place + 64 :]


def test_a_spoilt_page_of_the_index_is_noticed_or_does_not_matter(key: StorageKey, store: Store) -> None:
    for n in range(5):
        store.put(named(f"v{n}"), summands(n))
    before = content(store)
    store.close()
    path = store.folder / "index.db"
    good, noticed = path.read_bytes(), 0
    for place in range(0, len(good), 509):
        path.write_bytes(spoil(good, place))
        try:
            again = Store.open(store.folder, key)
        except StoreError:
            noticed += 1
        else:
            with again:
                assert content(again) == before
        for left in ("index.db-wal", "index.db-shm"):
            (store.folder / left).unlink(missing_ok=True)
    assert noticed > 5
    path.write_bytes(good)


def other_store(place: Path, key: StorageKey) -> Path:
    Store.create(place / "other", key)
    with Store.open(place / "other", key) as other:
        other.put(named("theirs"), summands(5))
    return place / "other"


def index_of_another(place: Path, key: StorageKey) -> None:
    shutil.copy(other_store(place, key) / "index.db", place / "store" / "index.db")


def index_deleted(place: Path, key: StorageKey) -> None:
    (place / "store" / "index.db").unlink()


def index_emptied(place: Path, key: StorageKey) -> None:
    (place / "store" / "index.db").write_bytes(b"")


def index_of_before(place: Path, key: StorageKey) -> None:
    shutil.copy(place / "before.db", place / "store" / "index.db")


def no_index(place: Path, key: StorageKey) -> None:
    (place / "store" / "index.db").write_bytes(b"no index" * 1000)


def about_deleted(place: Path, key: StorageKey) -> None:
    (place / "store" / "store.json").unlink()


def about_of_another(place: Path, key: StorageKey) -> None:
    shutil.copy(other_store(place, key) / "store.json", place / "store" / "store.json")


def about_spoilt(place: Path, key: StorageKey) -> None:
    (place / "store" / "store.json").write_text("{")


REPLACED = [
    index_of_another,
    index_deleted,
    index_emptied,
    index_of_before,
    no_index,
    about_deleted,
    about_of_another,
    about_spoilt,
]


@pytest.mark.parametrize("change", REPLACED)
def test_a_store_whose_parts_do_not_go_together_is_refused_and_loses_nothing(
    place: Path, key: StorageKey, store: Store, change: Callable[[Path, StorageKey], None]
) -> None:
    store.close()
    shutil.copy(store.folder / "index.db", place / "before.db")
    with Store.open(store.folder, key) as store:
        store.put(ROWS, summands(1))
    shutil.copytree(store.folder, place / "good")
    change(place, key)
    with pytest.raises(StoreError):
        Store.open(store.folder, key)
    for path in (place / "good").rglob("*"):
        if path.name in ("index.db", "store.json"):
            shutil.copy(path, store.folder / path.name)
    with Store.open(store.folder, key) as store:
        assert plain(store.load("rows")) == plain(summands(1))


def test_an_older_copy_of_the_whole_folder_is_noticed_by_who_knows_its_generation(
    place: Path, key: StorageKey, store: Store
) -> None:
    store.put(ROWS, summands(1))
    store.close()
    shutil.copytree(store.folder, place / "old")
    with Store.open(store.folder, key) as store:
        store.put(ROWS, summands(2))
        generation = store.generation
    with Store.open(place / "old", key) as old:  # alone, it cannot be told from the newest
        assert plain(old.load("rows")) == plain(summands(1))
    with pytest.raises(DamagedError, match="older than it was"):
        Store.open(place / "old", key, at_least=generation)
    Store.open(store.folder, key, at_least=generation).close()


def test_a_deleted_key_is_nowhere_on_disk(store: Store, key: StorageKey) -> None:
    wrapped = []
    actions: list[Callable[[Description], object]] = [
        lambda said: store.delete("rows"),
        lambda said: store.put(ROWS, summands(2)),
        lambda said: store.amend(replace(said, programs=())),
        lambda said: store.rotate(StorageKey(bytes(32))),
    ]
    for action in actions:
        store.put(named("kept"), summands(3))
        said = store.put(ROWS, summands(1)).description
        wrapped.append(store._index.entries["rows"].wrapped)
        assert on_disk(store, wrapped[-1])
        action(said)
        assert not any(on_disk(store, found) for found in wrapped)


def on_disk(store: Store, data: bytes) -> bool:
    return any(data in path.read_bytes() for path in store.folder.glob("index.db*"))
