"""A party takes another revision of its cluster's file while it runs: who counts goes on, who does not is cut off."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from jmpc.cluster import Identity, Roster, change
from jmpc.cluster.change import Signing
from jmpc.errors import ConfigError, PartyError
from tests.service.raw_client import RawClient
from tests.service.test_service import assert_works, failures, relu_call
from tests.service.three import Three


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    with Three(tmp_path, ["alice", "bob"]) as cluster:
        yield cluster


def reload(three: Three, *parties: int) -> None:
    three.roster = Roster.read(three.folder / "cluster.toml")
    for party in parties:
        service = three.services[party]
        assert service is not None
        service.reload(three.roster, Identity.read(three.folder / f"party-{party}", three.roster))


def test_what_stands_goes_on_under_a_new_revision(three: Three) -> None:
    links = [service.peers.link((service.party + 1) % 3) for service in three.services if service]
    with RawClient(three, "alice") as alice:
        change.revoke(three.folder, "client/bob", dt.datetime.now(dt.UTC))
        reload(three, 0, 1, 2)
        assert_works(alice)
        assert all(link.duplex.alive for link in links)
    with RawClient(three, "alice") as again:
        assert_works(again)


def test_a_revoked_client_is_cut_off_and_not_let_in_again(three: Three) -> None:
    with RawClient(three, "bob") as bob, RawClient(three, "alice") as alice:
        assert_works(bob)
        change.revoke(three.folder, "client/bob", dt.datetime.now(dt.UTC))
        reload(three, 0, 1, 2)
        with pytest.raises(PartyError):
            assert_works(bob)
        assert_works(alice)
    assert any("revoked" in str(said["why"]) for said in three.events[0].named("client refused"))


def test_parties_with_different_files_begin_nothing_and_say_so(three: Three) -> None:
    with RawClient(three, "alice") as alice:
        change.revoke(three.folder, "client/bob", dt.datetime.now(dt.UTC))
        reload(three, 1)
        said = failures(alice, relu_call(label="torn"))
        assert any("disagrees on the cluster" in one["what"] for one in said), said
        reload(three, 0, 2)
        assert_works(alice)


def test_a_peer_with_a_new_certificate_connects_anew(three: Three) -> None:
    change.rotate(three.folder, "party/1", Signing(lambda: b"", dt.datetime.now(dt.UTC)))
    three.stop(1)
    reload(three, 0, 2)
    three.start(1)
    three.wait()
    with RawClient(three, "alice") as alice:
        assert_works(alice)


def test_the_file_of_another_cluster_is_refused(three: Three, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Three(tmp_path / "other", ["alice"])
    for listener in other.listeners:
        listener.close()
    service = three.services[0]
    assert service is not None
    with pytest.raises(ConfigError, match="another cluster"):
        service.reload(other.roster)
