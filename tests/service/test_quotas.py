"""What one client may have stored: refused where it is put or kept, at all parties, and nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import jmpc
from jmpc.client.cluster import Cluster
from jmpc.errors import StoreFullError
from tests.service.test_full import held, settles, tidy
from tests.service.test_service import doubled
from tests.service.three import Three

ROWS = np.zeros(1 << 10, np.float32)
MOST = {"alice": 90_000, "bob": 1 << 20}  # a value of ROWS takes some 16,600


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    three = Three(tmp_path_factory.mktemp("quotas"), ["alice", "bob"])
    three.client_quota = MOST.__getitem__
    with three:
        yield three


@pytest.fixture(scope="module")
def alice(three: Three) -> Iterator[Cluster]:
    with jmpc.connect(three.folder, identity="alice") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def bob(three: Three) -> Iterator[Cluster]:
    with jmpc.connect(three.folder, identity="bob") as cluster:
        yield cluster


def fill(cluster: Cluster) -> tuple[int, StoreFullError]:
    """Put as many values as there is room for."""
    for number in range(20):
        try:
            cluster.put(ROWS, f"{cluster.name} {number}")
        except StoreFullError as exc:
            return number, exc
    raise AssertionError("there was room for all")


def test_one_client_fills_its_own_part_alone(three: Three, alice: Cluster, bob: Cluster) -> None:
    count, error = fill(alice)
    assert count == 5
    assert error.what == "there is no room for 'alice 5' among the values of alice"
    assert f"{MOST['alice']:,} is the most of one client" in error.why
    assert "store-" not in str(error)  # where a party keeps its store is its own affair
    assert settles(lambda: tidy(three))
    bob.put(np.zeros(1 << 14, np.float32), "bob's")  # more than alice's would be
    names = {f"alice {number}" for number in range(count)}
    assert held(three) == [{*names, "bob's"}] * 3

    sent: list[int] = []
    with pytest.raises(StoreFullError, match="of alice"):
        alice.put(ROWS, "more", progress=lambda done, of: sent.append(done))
    assert sent == []
    with pytest.raises(StoreFullError, match="'result' among the values of alice"):
        alice.run(doubled, alice.stored("alice 0"), keep="result")
    assert settles(lambda: tidy(three))
    assert held(three) == [{*names, "bob's"}] * 3

    for party in range(3):
        three.stop(party)
    for party in range(3):
        three.start(party)
    three.wait()
    with pytest.raises(StoreFullError, match="of alice"):
        alice.put(ROWS, "more")
    alice.delete("alice 1")
    alice.run(doubled, alice.stored("alice 0"), keep="result")
    assert alice.describe("result").owner == "alice"
    with pytest.raises(StoreFullError, match="of alice"):
        alice.put(ROWS, "more")
    assert held(three) == [{*names, "bob's", "result"} - {"alice 1"}] * 3


def test_one_party_that_gives_less_is_enough(three: Three, bob: Cluster) -> None:
    three.stores[2].client_quota = lambda owner: 10_000
    try:
        with pytest.raises(StoreFullError, match="of bob") as caught:
            bob.put(ROWS, "too much for one")
        assert "party 2" in str(caught.value)
    finally:
        three.stores[2].client_quota = MOST.__getitem__
    assert settles(lambda: tidy(three))
    assert all("too much for one" not in names for names in held(three))
