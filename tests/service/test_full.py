"""A store that is full, or becomes full at any one write: the client is told at once, the parties go on, and no value
is at one party and not at another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.errors import StoreFullError
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.requests import CHUNK_BYTES, NEVER
from jmpc.store.sealed import CHUNK_BYTES as SEALED_BYTES
from tests.service.raw_client import RawClient, encoded, soon
from tests.service.test_service import doubled
from tests.service.three import Three
from tests.store.faulty_disk import FaultyDisk, full_error

HIT = 1  # the party whose disk fails
X = np.float32([1.5, -2.0, 3.25])


@pytest.fixture(scope="module")
def disk() -> FaultyDisk:
    return FaultyDisk(fault=full_error)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, disk: FaultyDisk) -> Iterator[Three]:
    three = Three(tmp_path_factory.mktemp("full"), ["alice"])
    three.disks[HIT], three.quota = disk, 1 << 23
    with three:
        yield three


@pytest.fixture(scope="module")
def alice(three: Three) -> Iterator[Cluster]:
    with jmpc.connect(three.folder, identity="alice") as cluster:
        yield cluster


def held(three: Three) -> list[set[str]]:
    """The names of what each party holds."""
    return [{stored.description.name for stored in store.values()} for store in three.stores]


def tidy(three: Three) -> bool:
    """Nothing is being written, and no file is there that belongs to no value."""
    for store in three.stores:
        named = {entry.file for entry in store._index.entries.values()}
        there = {path.name for path in (store.folder / "values").iterdir()}
        if store._files._promised or there - named - store._files._left or named - there:
            return False
    return True


def settles(found: Callable[[], bool]) -> bool:
    """Also where a party has yet to hear of it from another."""
    until = time.monotonic() + 30
    while not found() and time.monotonic() < until:
        threading.Event().wait(0.01)
    return found()


def test_what_the_quota_has_no_room_for_is_refused_before_it_is_sent(three: Three, alice: Cluster) -> None:
    before = [store.used for store in three.stores]
    sent: list[int] = []
    with pytest.raises(StoreFullError, match="no room for 'large'") as caught:
        alice.put(np.zeros(1 << 20, np.float32), "large", progress=lambda done, of: sent.append(done))
    assert "the quota has" in caught.value.why
    assert sent == []
    assert [store.used for store in three.stores] == before
    alice.put(X, "small")
    alice.delete("small")


def chunked(three: Three, alice: RawClient, disk: FaultyDisk, at: int) -> list[tuple[str, dict[str, Any]]]:
    """An upload whose party's disk is full at a write, and what each party says before anybody commits."""
    flow, _ = encoded(doubled, np.zeros((1 << 18,), np.float32))
    from jmpc.party.program import input_type

    leaf = Leaf("", "float32", input_type(flow.share.body.params[0].type))
    fields = {"upload": b"full" * 4, "name": "filling", "programs": [], "expires": NEVER}
    fields["contents"] = Contents("aby3", 64, 18, (leaf,)).text
    answers = alice.answers("put", fields, "writing")
    assert [kind for kind, _ in answers] == ["writing"] * 3
    disk.at, disk.kinds = len(disk.log) + at, ("write",)
    for _ in range(2):
        for link in alice.links:
            link.send("chunk", {"part": 0, "bytes": SEALED_BYTES}, soon(), body=bytes(SEALED_BYTES))
        if at == 0:
            break
    told = [alice.answer(HIT, "stored")]
    for party in (0, 2):
        assert settles(lambda party=party: not three.stores[party]._files._promised)
        alice.links[party].send("chunk", {"part": 1, "bytes": 8}, soon(), body=bytes(8))
        told.append(alice.answer(party, "stored"))
    return told


@pytest.mark.parametrize("at", [0, 1])
def test_a_full_disk_is_told_at_the_chunk_that_does_not_fit(three: Three, disk: FaultyDisk, at: int) -> None:
    assert SEALED_BYTES <= CHUNK_BYTES
    with RawClient(three, "alice") as alice:
        mine, *others = chunked(three, alice, disk, at)
        assert (mine[0], mine[1]["error"], mine[1]["relayed"]) == ("failed", "StoreFullError", False)
        for kind, said in others:
            assert (kind, said["error"], said["relayed"]) == ("failed", "PartyError", True)
            assert said["what"] == f"party {HIT} gave this value up"
        assert tidy(three)
        assert held(three) == [set()] * 3
        # The one answer was to all of it: what is asked next is answered in turn.
        alice.ask("commit", {"upload": b"full" * 4})
        assert {kind for kind, _ in alice.answers("values", {"after": ""}, "listed")} == {"listed"}


def counted(disk: FaultyDisk, step: Callable[[], object]) -> int:
    """How many writes of the disk a step takes."""
    disk.at, disk.kinds = None, FaultyDisk().kinds
    before = len(disk.log)
    step()
    return len(disk.log) - before


def error_of(step: Callable[[], object]) -> StoreFullError | None:
    try:
        step()
    except StoreFullError as exc:
        return exc
    return None


def steps(alice: Cluster) -> list[tuple[Callable[[], object], Callable[[], object], set[str], set[str]]]:
    """Each with how it is undone, and what is stored before it and after."""
    put, drop = (lambda: alice.put(X, "put")), (lambda: alice.delete("put"))
    keep, forget = (lambda: alice.run(doubled, jmpc.stored("put"), keep="kept")), (lambda: alice.delete("kept"))
    return [
        (put, drop, set(), {"put"}),
        (keep, forget, {"put"}, {"put", "kept"}),
        (drop, put, {"put", "kept"}, {"kept"}),
    ]


def test_a_disk_that_is_full_at_any_one_write_leaves_no_value_half_there(
    three: Three, alice: Cluster, disk: FaultyDisk
) -> None:
    """The party that it hits goes on, and so do the others; then the store opens clean."""
    tried = told = 0
    for step, undo, before, after in steps(alice):
        count = counted(disk, step)
        counted(disk, undo)
        assert count > 5
        for number in range(count):
            disk.at = len(disk.log) + number
            error = error_of(step)
            disk.at = None
            if error:
                told += 1
                assert "free space" in " ".join(error.todo)
                assert settles(lambda a=before, b=after: held(three) in ([a] * 3, [b] * 3)), (number, held(three))
                if held(three) == [before] * 3:
                    step()
            tried += 1
            assert held(three) == [after] * 3, number
            undo()
        step()
        assert settles(lambda: tidy(three))
    assert tried > 40, tried
    assert told > 10, (tried, told)
    three.stop(HIT)
    with three.reopen(HIT) as store:
        assert store.missing(deep=True) == []
        assert {stored.description.name for stored in store.values()} == {"kept"}
        assert not store._files._left
    three.start(HIT)
    three.wait()
    print(f"{tried} writes, {told} told")
