"""What a store is for: values go in and come out, are listed, amended, deleted, and are over."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors

from jmpc.errors import ArgumentError, NotStoredError, StoreError, StoreFullError
from jmpc.store import Description, Part, StorageKey, Store
from jmpc.store.reader import Loaded

from .helpers import ROWS, content, files, named, plain, summands, words


def test_a_value_comes_back_as_it_was_put(store: Store) -> None:
    arrays = {
        "bytes": words(1, 5, "uint8").reshape(5, 1),
        "empty": np.zeros((0, 4), np.uint32),
        "none": np.array(7, np.uint16),
        "large": words(2, 300_000),
        "turned": words(3, 12, "uint32").reshape(3, 4).T,
        "big end": words(4, 9).astype(">u8"),
    }
    stored = store.put(ROWS, arrays)
    found = store.load("rows")
    assert [p.name for p in stored.parts] == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
    assert found.description == stored.description == replace(ROWS, version=1)
    assert store.describe("rows") == stored == store.values()[0]
    assert store.used == stored.bytes == files(store)[0].stat().st_size


def test_it_is_there_when_the_store_is_opened_again(place: Path, key: StorageKey, store: Store) -> None:
    store.put(ROWS, summands(1))
    store.put(named("other"), summands(2))
    before, generation = content(store), store.generation
    store.close()
    with Store.open(place / "store", StorageKey.read(place / "key"), at_least=generation) as again:
        assert (
            content(again)
            == before
            == {
                "rows": (ROWS, plain(summands(1))),
                "other": (named("other"), plain(summands(2))),
            }
        )


def test_a_value_is_replaced_and_deleted(store: Store) -> None:
    store.put(ROWS, summands(1))
    store.put(ROWS, {"only": words(5)})
    assert plain(store.load("rows")) == {"only": words(5).tolist()}
    assert len(files(store)) == 1
    store.delete("rows")
    assert store.values() == files(store) == []
    with pytest.raises(NotStoredError, match="no value 'rows'"):
        store.load("rows")
    with pytest.raises(NotStoredError):
        store.delete("rows")


def test_versions_only_grow(store: Store) -> None:
    first = store.put(ROWS, summands(1)).description.version
    assert store.put(ROWS, summands(1)).description.version > first
    store.put(replace(ROWS, version=100), summands(2))
    for version in (7, 100):
        with pytest.raises(StoreError, match="at version 100"):
            store.put(replace(ROWS, version=version), summands(3))
    slow = store.writer(replace(ROWS, version=101), [Part("a", "uint8", (1,))])
    store.put(replace(ROWS, version=102), summands(4))
    slow.write("a", b"x")
    with pytest.raises(StoreError, match="at version 102"):
        slow.commit()
    assert plain(store.load("rows")) == plain(summands(4))
    assert len(files(store)) == 1


def test_pieces_of_any_length_in_any_order_of_the_parts(store: Store, small_chunks: int) -> None:
    arrays = summands(1, 50)
    cuts = [0, 1, 1, 63, 64, 65, 200, 399, 400]
    with store.writer(ROWS, [Part(name, "uint64", (50,)) for name in arrays]) as writer:
        for a, b in pairwise(cuts):
            for name, array in reversed(arrays.items()):
                writer.write(name, array.tobytes()[a:b])
        assert writer.written == {"0": 400, "1": 400}
        writer.commit()
    assert plain(store.load("rows")) == plain(arrays)
    with store.reader("rows") as reader:
        blocks = list(reader.blocks("1"))
        assert {len(block) for block in blocks} == {small_chunks // 8, 50 % (small_chunks // 8)}
        np.testing.assert_array_equal(np.concatenate(blocks), arrays["1"])


def test_a_client_that_was_cut_off_goes_on(store: Store) -> None:
    writer = store.writer(ROWS, [Part("a", "uint64", (10,))])
    writer.write("a", words(1)[:4])
    with pytest.raises(ArgumentError, match="32 of 80 bytes"):
        writer.commit()
    with pytest.raises(ArgumentError, match="80 bytes, and no more"):
        writer.write("a", words(1))
    writer.write("a", words(1)[writer.written["a"] // 8 : 10])
    writer.commit()
    assert plain(store.load("rows")) == {"a": words(1)[:10].tolist()}
    with pytest.raises(StoreError, match="is done"):
        writer.write("a", b"")


def test_what_is_not_committed_is_not_there(store: Store) -> None:
    with store.writer(ROWS, [Part("a", "uint64", (10,))]) as writer:
        writer.write("a", words(1)[:4])
    assert store.values() == files(store) == []
    left = store.writer(ROWS, [Part("a", "uint64", (10,))])
    store.close()
    assert files(store) == []
    for late in (lambda: left.write("a", b""), left.commit, store.values, lambda: store.put(ROWS, summands(1))):
        with pytest.raises(StoreError, match=r"store is closed|is done"):
            late()


def test_the_file_holds_what_the_safetensors_library_reads(store: Store, small_chunks: int) -> None:
    arrays = {**summands(1), "é": words(3, 7, "uint8").reshape(7, 1), "none": np.array(3, np.uint16)}
    store.put(ROWS, {**arrays, "empty": np.zeros((2, 0), np.uint32)})
    data_key = store._index.key.unwrap(store._index.entries["rows"].wrapped, store._index.entries["rows"].text)
    assert data_key is not None
    with store.reader("rows") as reader:
        layout, pieces = reader._layout, list(map(bytes, reader.sealed()))[1:]
        found = b""
        for section in range(len(layout.sizes)):
            for chunk in layout.of(section):
                out = bytearray(chunk.length)
                assert reader._seal.open(chunk, memoryview(pieces[chunk.number]), memoryview(out))
                found += out
    read = load_safetensors(found)
    assert read.pop("empty").shape == (2, 0)
    assert plain(read) == plain(arrays)


def test_what_is_over_is_gone_and_stays_so_when_the_clock_goes_back(place: Path, key: StorageKey, store: Store) -> None:
    store.close()
    now = [100.0]
    with Store.open(place / "store", key, clock=lambda: now[0]) as store:
        for name, expires in (("early", 150), ("late", 250), ("ever", None), ("loaded", 150)):
            store.put(named(name, expires=expires), summands(1))
        with pytest.raises(ArgumentError, match="that time is over"):
            store.put(named("past", expires=99), summands(1))
        now[0] = 150
        with pytest.raises(NotStoredError):
            store.load("loaded")
        now[0] = 10
        assert sorted(content(store)) == ["ever", "late"]
        now[0] = 300
        assert store.expire() == ["late"]
        assert store.expire() == []
        assert len(files(store)) == 1
        store.amend(replace(store.describe("ever").description, expires=310))
    now[0] = 400
    with Store.open(place / "store", key, clock=lambda: now[0]) as store:
        assert store.values() == files(store) == []


def test_who_may_read_and_how_long_can_change_and_nothing_else(place: Path, key: StorageKey, store: Store) -> None:
    said = store.put(ROWS, summands(1)).description
    other = replace(said, programs=("hash 2", "hash 3"), receivers=(), expires=1 << 40)
    store.amend(other)
    assert store.load("rows").description == other
    for wrong in (replace(other, owner="eve"), replace(other, version=9), replace(other, shape=())):
        with pytest.raises(ArgumentError, match="only programs, receivers, expires"):
            store.amend(wrong)
    store.close()
    with Store.open(place / "store", key) as store:
        assert store.describe("rows").description == other
        assert plain(store.load("rows")) == plain(summands(1))


def test_quota_and_room_are_looked_at_before_writing(place: Path, key: StorageKey, store: Store) -> None:
    size = store.put(ROWS, summands(1)).bytes
    store.close()
    with Store.open(place / "store", key, quota=2 * size + 300) as store:
        waiting = store.writer(named("b"), [Part("a", "uint64", (20,))])
        store.put(named("c"), summands(1))  # what is announced takes no room
        with pytest.raises(StoreFullError, match="the quota has"):
            waiting.write("a", np.zeros(20, np.uint64))
        assert not waiting.open
        store.delete("c")
        waiting = store.writer(named("b"), [Part("a", "uint64", (20,))])
        waiting.write("a", np.zeros(20, np.uint64))
        with pytest.raises(StoreFullError, match="the quota has"):
            store.put(named("c"), summands(1))
        waiting.abort()
        with pytest.raises(StoreFullError):
            store.put(named("c"), summands(1, 10_000))
        store.put(named("a"), summands(1))
        with pytest.raises(StoreFullError, match="what is replaced needs its room until then"):
            store.put(ROWS, summands(2))
        assert plain(store.load("rows")) == plain(summands(1))
        with pytest.raises(StoreFullError, match="the disk has"):
            store.writer(named("d"), [Part("a", "uint64", (1 << 60,))])
        assert len(files(store)) == 2


def test_what_one_client_has_is_bounded(place: Path, key: StorageKey, store: Store) -> None:
    """Of stored values and of those that are being written; others have the rest, also after a restart."""
    size = store.put(ROWS, summands(1)).bytes
    store.close()
    quotas = {"alice": 2 * size + 50, "bob": size - 1}

    def opened() -> Store:
        return Store.open(
            place / "store", key, quota=100 * size, client_quota=lambda owner: quotas.get(owner, 4 * size)
        )

    with opened() as store:
        store.put(named("b"), summands(1))
        with pytest.raises(StoreFullError, match="no room for 'c' among the values of alice") as caught:
            store.put(named("c"), summands(1))
        assert "alice has " in caught.value.why
        assert f" here, and {quotas['alice']:,} is the most of one client" in caught.value.why
        assert "delete" in caught.value.todo[0]
        assert "limits.client_quota" in caught.value.todo[1]
        with pytest.raises(StoreFullError, match="what is replaced needs its room until then"):
            store.put(ROWS, summands(2))
        with pytest.raises(StoreFullError, match="of bob"):
            store.put(named("c", owner="bob"), summands(1))
        store.put(named("c", owner="carol"), summands(1))
    with opened() as store:
        with pytest.raises(StoreFullError, match="of alice"):
            store.put(named("d"), summands(1))
        store.delete("rows")
        store.put(named("d"), summands(1))
        assert len(files(store)) == 3


def test_what_one_client_writes_at_once_counts_as_it_comes(place: Path, key: StorageKey, store: Store) -> None:
    size = store.put(ROWS, summands(1)).bytes
    store.delete("rows")
    store.close()
    with Store.open(place / "store", key, client_quota=lambda owner: size + 300) as store:
        waiting = store.writer(named("b"), [Part("a", "uint64", (20,))])
        store.put(named("c"), summands(1))  # what is announced takes no room
        with pytest.raises(StoreFullError, match="of alice"):
            waiting.write("a", np.zeros(20, np.uint64))
        assert not waiting.open
        store.delete("c")
        waiting = store.writer(named("b"), [Part("a", "uint64", (20,))])
        waiting.write("a", np.zeros(20, np.uint64))
        with pytest.raises(StoreFullError, match="of alice"):
            store.put(named("c"), summands(1))
        store.put(named("c", owner="bob"), summands(1))
        waiting.abort()
        store.put(named("d"), summands(1))


PATHS = ("/etc/passwd", "../a", "a/../b", "a//b", "a/", ".", "..", "a\\b", "~/a")
NO_NAMES = ("", " a", "a ", "a\nb", "a\0", "\ud800", "a" * 201, "e\u0301", 3, None)


@pytest.mark.parametrize("name", [*PATHS, *NO_NAMES])
def test_a_name_that_could_be_a_path_or_is_none_is_refused(store: Store, name: object) -> None:
    with pytest.raises(ArgumentError, match="cannot be stored"):
        store.put(replace(ROWS, name=name), summands(1))  # type: ignore[arg-type]
    with pytest.raises(NotStoredError):
        store.load(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a", "é" * 200, "模型/权重", "rows of 3.5 %", "𝔸" * 200, "-rf", "CON", "a:b"])
def test_any_other_name_is_only_a_name(place: Path, key: StorageKey, store: Store, name: str) -> None:
    store.put(named(name), summands(1))
    store.close()
    with Store.open(place / "store", key) as store:
        assert plain(store.load(name)) == plain(summands(1))
        assert len(files(store)[0].name) == 32


BAD: list[dict[str, object]] = [
    {"owner": ""},
    {"owner": "jmpc.SECRET"},
    {"form": 3},
    {"shape": [3]},
    {"shape": (-1,)},
    {"shape": (True,)},
    {"width": 0},
    {"width": 64.0},
    {"programs": "abc"},
    {"programs": ("a", "")},
    {"receivers": ["a"]},
    {"created": -1},
    {"expires": 1.5},
    {"version": -1},
    {"version": 1 << 64},
]


@pytest.mark.parametrize("fields", BAD)
def test_a_description_that_is_none_is_refused(store: Store, fields: dict[str, object]) -> None:
    with pytest.raises(ArgumentError) as found:
        store.put(named("rows", **fields), summands(1))
    assert found.value.where == next(iter(fields))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"a": np.zeros(3, np.int64)},
        {"a": np.zeros(3, np.float32)},
        {"a": [1, 2]},
        {"__metadata__": np.zeros(3, np.uint8)},
        {"": np.zeros(3, np.uint8)},
    ],
)
def test_arrays_that_are_no_shares_are_refused(store: Store, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArgumentError):
        store.put(ROWS, arrays)
    assert store.values() == files(store) == []


def test_words_of_another_kind_are_refused(store: Store) -> None:
    with store.writer(ROWS, [Part("a", "uint64", (4,))]) as writer:
        for data in (np.zeros(4, np.uint32), np.zeros(4, np.int64), [1], "text"):
            with pytest.raises(ArgumentError):
                writer.write("a", data)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="no array 'b'"):
            writer.write("b", b"")
        assert writer.written == {"a": 0}


def test_nothing_shows_a_key_or_a_share(store: Store, key: StorageKey) -> None:
    marker = 0x5EC0DE5EC0DE5EC0
    store.put(ROWS, {"a": np.full(8, marker, np.uint64)})
    loaded = store.load("rows")
    writer = store.writer(named("b"), [Part("a", "uint64", (8,))])
    writer.write("a", np.full(3, marker, np.uint64))
    with store.reader("rows") as reader:
        shown = [store, key, loaded, writer, reader, store.values(), store._index.entries, str(loaded), writer.written]
    text = " ".join(map(repr, shown))
    assert str(marker) not in text
    assert f"{marker:x}" not in text
    assert store._index.entries["rows"].wrapped.hex() not in text
    for secret in (key, loaded):
        with pytest.raises(TypeError, match="pickled or copied"):
            copy.deepcopy(secret)
    assert isinstance(loaded, Loaded)
    on_disk = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    assert marker.to_bytes(8, "little") not in on_disk


def test_many_values(place: Path, key: StorageKey, store: Store) -> None:
    for n in range(300):
        store.put(Description(f"v{n}", "alice", "arith", (), 64), {"a": np.array(n, np.uint64)})
    store.close()
    with Store.open(place / "store", key) as store:
        assert [int(store.load(f"v{n}")["a"]) for n in range(300)] == list(range(300))
