"""Arrays of stored values in memory: bounded in bytes, and gone with their value."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.service.cache import Cache
from tests.service.test_service import doubled
from tests.service.three import Three

X = np.float32([1.5, -2.0])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("cache"), ["alice"]) as three:
        yield three


@pytest.fixture(scope="module")
def alice(three: Three) -> Iterator[Cluster]:
    with jmpc.connect(three.folder, identity="alice") as cluster:
        yield cluster


def cached(three: Three) -> list[set[str]]:
    """The names of what each party holds in memory."""
    return [{name for name, _ in service.values.cache.names} for service in three.services if service]


def read(alice: Cluster, name: str) -> None:
    alice.run(doubled, jmpc.stored(name), keep="doubled")
    alice.delete("doubled")


def test_a_value_that_is_deleted_or_replaced_is_in_no_memory(three: Three, alice: Cluster) -> None:
    alice.put(X, "mine")
    alice.put(X, "other")
    read(alice, "mine")
    read(alice, "other")
    assert cached(three) == [{"mine", "other"}] * 3
    alice.put(2 * X, "mine")
    assert cached(three) == [{"other"}] * 3
    read(alice, "mine")
    alice.delete("mine")
    assert cached(three) == [{"other"}] * 3
    alice.delete("other")
    assert [service.values.cache.held for service in three.services if service] == [0] * 3


def test_a_value_that_is_over_leaves_memory_and_disk_without_being_asked_for(three: Three, alice: Cluster) -> None:
    alice.put(X, "short")
    read(alice, "short")
    assert cached(three) == [{"short"}] * 3
    alice.expire("short", dt.timedelta(seconds=1))
    until = time.monotonic() + 60
    while (any(cached(three)) or any(store.used for store in three.stores)) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert cached(three) == [set()] * 3
    assert [store.used for store in three.stores] == [0] * 3


def test_what_was_read_while_its_value_went_is_not_kept(three: Three, alice: Cluster, tmp_path: Path) -> None:
    alice.put(X, "going")
    service = three.services[0]
    assert service is not None
    values, entry = service.values, service.values.entry("going")
    loaded = values._loaded

    def late(entry: object, leaf: int) -> list[np.ndarray]:
        found = loaded(entry, leaf)  # type: ignore[arg-type]
        values.delete("going", "alice")
        return found

    values._loaded = late  # type: ignore[method-assign]
    try:
        source = type("Source", (), {"entry": entry, "leaf": 0})()
        assert len(values.load(source)) == 2
    finally:
        del values._loaded
    assert cached(three)[0] == set()


def test_it_holds_no_more_bytes_than_its_limit() -> None:
    cache, draw = Cache(most_bytes=4000), np.random.default_rng(4)
    for n in range(500):
        size = int(draw.integers(1, 300))
        cache.put(f"value {n % 30}", n % 3, n % 4, [np.zeros(size, np.uint8), np.zeros(size, np.uint8)])
        assert cache.held == sum(a.nbytes for arrays in cache._kept.values() for a in arrays) <= 4000
    assert len(cache._kept) > 5
    cache.put("large", 1, 0, [np.zeros(1001, np.uint8)])
    assert cache.get("large", 1, 0) is None
    cache.put("fits", 1, 0, [np.zeros(1000, np.uint8)])
    assert cache.get("fits", 1, 0) is not None
    cache.put("fits", 1, 0, [np.zeros(10, np.uint8)])  # in place of the other
    assert cache.get("fits", 1, 0)[0].nbytes == 10  # type: ignore[index]
    assert cache.get("fits", 2, 0) is None
    cache.keep(lambda name, version: name == "fits")
    assert cache.names == {("fits", 1)}
    cache.forget("fits")
    assert (cache.held, cache.names) == (0, set())


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = Cache(most_bytes=400)
    for n in range(4):
        cache.put(f"{n}", 1, 0, [np.zeros(100, np.uint8)])
    assert cache.get("0", 1, 0) is not None
    cache.put("4", 1, 0, [np.zeros(100, np.uint8)])
    assert {name for name, _ in cache.names} == {"0", "2", "3", "4"}
