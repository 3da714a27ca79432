"""A party that lost its disk is refilled from the two others: what is compared, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jmpc.errors import ArgumentError, DamagedError, NotStoredError, StoreError
from jmpc.store import Description, Fingerprint, Part, StorageKey, Store, Survivors
from jmpc.store.value import Words

from .helpers import ROWS, files, named, plain, words

PARTIES = 3
VALUES = [named(f"value {n}", version=n + 1) for n in range(4)]


def party_holds(party: int, seed: int) -> dict[str, Words]:
    """In replicated sharing: its own summand and the next one."""
    return {f"x{n % PARTIES}": words(10 * seed + n % PARTIES) for n in (party, party + 1)}


@pytest.fixture
def stores(place: Path) -> Iterator[list[Store]]:
    with ExitStack() as stack:
        found = []
        for party in range(PARTIES):
            Store.create(place / f"{party}", StorageKey(bytes([party]) * 32))
            found.append(stack.enter_context(Store.open(place / f"{party}", StorageKey(bytes([party]) * 32))))
            for seed, value in enumerate(VALUES):
                found[party].put(value, party_holds(party, seed))
        yield found


def survivors(stores: list[Store], name: str, lost: int) -> Survivors:
    """What the two others say and compare: the summand that both have is the one that the lost party has not."""
    key, others = os.urandom(32), [p for p in range(PARTIES) if p != lost]
    part = f"x{(lost + 2) % PARTIES}"
    return Survivors(
        {f"party {p}": stores[p].describe(name).description for p in others},
        {f"party {p}": stores[p].fingerprint(name, part, key) for p in others},
    )


def from_others(stores: list[Store], name: str, lost: int) -> dict[str, Words]:
    holders = {f"x{lost}": (lost + 2) % PARTIES, f"x{(lost + 1) % PARTIES}": (lost + 1) % PARTIES}
    return {part: stores[party].load(name)[part] for part, party in holders.items()}


@pytest.mark.parametrize("lost", range(PARTIES))
def test_a_party_that_lost_its_disk_is_refilled(place: Path, stores: list[Store], lost: int) -> None:
    key = StorageKey.create(place / "new key")
    Store.create(place / "new", key)
    expected = [stored.description for stored in stores[(lost + 1) % PARTIES].values()]
    with Store.open(place / "new", key) as new:
        assert new.missing(expected) == expected == VALUES
        for said in new.missing(expected):
            new.put_rebuilt(survivors(stores, said.name, lost), from_others(stores, said.name, lost))
        assert new.missing(expected, deep=True) == []
        for seed, said in enumerate(VALUES):
            assert new.describe(said.name).description == said
            assert plain(new.load(said.name)) == plain(party_holds(lost, seed))
            shared, key_of_two = f"x{lost}", os.urandom(32)
            peer = stores[(lost + 2) % PARTIES]
            assert new.fingerprint(said.name, shared, key_of_two) == peer.fingerprint(said.name, shared, key_of_two)


def test_only_what_is_lost_is_rebuilt(stores: list[Store]) -> None:
    store, name = stores[0], VALUES[1].name
    with pytest.raises(StoreError, match="is not lost"):
        store.put_rebuilt(survivors(stores, name, 0), from_others(stores, name, 0))
    path = store.folder / "values" / store._index.entries[name].file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert store.missing() == []
    assert store.missing(deep=True) == [VALUES[1]]
    store.put_rebuilt(survivors(stores, name, 0), from_others(stores, name, 0))
    assert plain(store.load(name)) == plain(party_holds(0, 1))
    assert store.missing(VALUES, deep=True) == []
    assert len(files(store)) == len(VALUES)


def test_an_older_version_of_the_others_is_not_taken(stores: list[Store]) -> None:
    store, name = stores[0], VALUES[1].name
    store.put(replace(VALUES[1], version=9), party_holds(0, 7))
    with pytest.raises(StoreError, match="is at version 9 here"):
        store.put_rebuilt(survivors(stores, name, 0), from_others(stores, name, 0))
    assert store.missing(VALUES) == []
    for other in stores[1:]:
        other.put(replace(VALUES[1], version=10), party_holds(int(other.folder.name), 8))
    newer = other.describe(name).description
    assert store.missing([newer]) == [newer]
    store.put_rebuilt(survivors(stores, name, 0), from_others(stores, name, 0))
    assert plain(store.load(name)) == plain(party_holds(0, 8))


def test_what_is_over_is_not_missing(store: Store) -> None:
    gone, lasting = named("gone", version=3, expires=5), named("lasting", version=3, expires=1 << 40)
    assert store.missing([gone, lasting]) == [lasting]


def said(**changes: object) -> Survivors:
    agreed = replace(ROWS, version=3)
    return Survivors(
        {"party 1": agreed, "party 2": replace(agreed, **changes)}, {"party 1": b"a" * 32, "party 2": b"a" * 32}
    )


CHANGES: list[dict[str, object]] = [
    {"owner": "eve"},
    {"programs": ("hash 2",)},
    {"receivers": ()},
    {"version": 4},
    {"expires": 1 << 40},
    {"shape": (4,)},
    {"width": 32},
    {"form": "bits"},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_others_that_do_not_agree_are_refused(store: Store, changes: dict[str, object]) -> None:
    with pytest.raises(DamagedError, match="cannot be rebuilt from party 1 and party 2"):
        store.put_rebuilt(said(**changes), {"x0": words(1)})


def test_others_whose_common_words_differ_are_refused(store: Store) -> None:
    one = said()
    other = replace(one, overlap={"party 1": b"a" * 32, "party 2": b"b" * 32})
    with pytest.raises(DamagedError, match="do not hold the same words"):
        store.put_rebuilt(other, {"x0": words(1)})
    with pytest.raises(DamagedError):
        store.put_rebuilt(replace(one, overlap={"party 1": b"", "party 2": b""}), {"x0": words(1)})
    for wrong in (
        replace(one, overlap={}),
        replace(one, said={"party 1": ROWS}, overlap={"party 1": b"a" * 32}),
        replace(one, overlap={"party 1": b"a" * 32, "party 3": b"a" * 32}),
    ):
        with pytest.raises(ArgumentError, match="each of the two other parties"):
            store.put_rebuilt(wrong, {"x0": words(1)})
    assert b"aaaa".decode() not in repr(one)
    assert store.values() == files(store) == []


def test_a_party_that_has_it_described_otherwise_is_not_overruled(store: Store) -> None:
    store.put(replace(ROWS, version=3, owner="bob"), {"x0": words(1)})
    files(store)[0].unlink()
    with pytest.raises(DamagedError, match="describe it otherwise"):
        store.put_rebuilt(said(), {"x0": words(1)})


def test_a_fingerprint_is_of_description_words_and_key(store: Store) -> None:
    a = words(1, 300_000)
    made: Description = store.put(ROWS, {"mine": a, "other": words(2)}).description
    key = os.urandom(32)
    found = store.fingerprint("rows", "mine", key)
    direct = Fingerprint(key, made, Part("theirs", "uint64", a.shape))
    for piece in np.split(a, [1, 1, 5000]):
        direct.update(piece)
    assert direct.digest() == found
    changed = a.copy()
    changed[-1] ^= 1
    different = [
        (os.urandom(32), made, a, a.shape),
        (key, replace(made, receivers=()), a, a.shape),
        (key, made, changed, a.shape),
        (key, made, a, (3, 100_000)),
    ]
    for its_key, description, array, shape in different:
        other = Fingerprint(its_key, description, Part("mine", "uint64", shape))
        other.update(array)
        assert other.digest() != found
    with pytest.raises(ArgumentError, match="32 bytes"):
        store.fingerprint("rows", "mine", b"short")
    with pytest.raises(NotStoredError):
        store.fingerprint("rows", "no part", key)
