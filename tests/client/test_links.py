"""Links to parties: opened together, kept for the next call, looked at before it, and each error names the party."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.client import asking, pool
from jmpc.client.cluster import Cluster
from jmpc.errors import (
    ConfigError,
    DeadlineError,
    FrameError,
    HandshakeError,
    JMPCError,
    NotStoredError,
    PartyError,
    PeerError,
    RefusedError,
    StoreError,
)
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place
from tests.service.three import Three

from .fakes import Fakes, failed, reply, soon

ENTRY: dict[str, Any] = {
    "name": "x",
    "owner": "alice",
    "version": 3,
    "created": 0,
    "expires": -1,
    "bytes": 10,
    "consents": [],
    "receivers": [],
}


def listed(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
    reply(link, "listed", {"entries": [], "more": False})


def connected(fakes: Fakes) -> Cluster:
    return jmpc.connect(fakes.folder, identity="alice")


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 0.2)


def test_a_party_that_is_not_there_is_named_with_its_address(tmp_path: Path) -> None:
    with Fakes(tmp_path, listed) as fakes:
        place = f"127.0.0.1:{fakes.listeners[1].getsockname()[1]}"
        fakes.stop(1)
        with pytest.raises(PeerError) as caught:
            connected(fakes)
    assert caught.value.peer == 1
    assert f"party 1 cannot be reached at {place}" in str(caught.value)
    assert "connection refused" in caught.value.why


@pytest.mark.parametrize(
    ("hello", "word"),
    [
        ({"version": "0.0.0"}, "disagrees on version"),
        ({"roster": "0" * 64}, "disagrees on roster"),
        ({"protocol": 99}, "disagrees on protocol"),
        ({"party": 2}, "disagrees on party"),
    ],
)
def test_a_party_that_disagrees_is_named_with_what_to_do(tmp_path: Path, hello: dict[str, Any], word: str) -> None:
    with Fakes(tmp_path, listed, hello) as fakes, pytest.raises(HandshakeError, match=word) as caught:
        connected(fakes)
    assert caught.value.peer == 1
    assert caught.value.todo


def test_a_party_that_ends_the_link_refuses_this_client(tmp_path: Path) -> None:
    with Fakes(tmp_path, listed, refuse=True) as fakes, pytest.raises(HandshakeError, match="party 1 does not let"):
        connected(fakes)


def test_who_is_no_client_cannot_connect(three: Three) -> None:
    with pytest.raises(ConfigError, match="nobody is not in the cluster"):
        jmpc.connect(three.folder, identity="nobody")
    with pytest.raises(ConfigError, match="is a party"):
        jmpc.connect(three.folder, identity=three.folder / "party-0")
    with pytest.raises(ConfigError, match="is no client"):
        jmpc.connect(three.folder, identity="party/99")
    with pytest.raises(ConfigError, match="missing"):
        jmpc.connect(three.folder / "none.toml", identity="alice")


def test_links_are_kept_and_more_are_opened_for_calls_at_once(tmp_path: Path) -> None:
    together, most = threading.Barrier(6), 6

    def slow(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind == "values" and party == 0:
            together.wait(30)
        reply(link, "listed", {"entries": [], "more": False})

    with Fakes(tmp_path, slow) as fakes, connected(fakes) as cluster:
        assert fakes.links == [1, 1, 1]
        with ThreadPoolExecutor(most) as threads:
            list(threads.map(lambda _: cluster.list(), range(most)))
        assert fakes.links == [most] * 3
        together = threading.Barrier(1)
        for _ in range(20):
            cluster.list()
        assert fakes.links == [most] * 3
        assert len(cluster._pool._idle) == pool.KEPT


def test_a_link_that_ended_while_idle_is_opened_again(tmp_path: Path) -> None:
    with Fakes(tmp_path, listed) as fakes, connected(fakes) as cluster:
        cluster.list()
        fakes._open[0].hang_up()
        cluster.list()
        assert fakes.links == [2, 2, 2]


def test_links_that_are_owed_an_answer_are_not_used_again(tmp_path: Path) -> None:
    """Nothing has come yet, so that looking at them does not tell."""
    with asked(tmp_path, [None, None, None]) as fakes, connected(fakes) as cluster:
        with cluster._pool.bundle() as bundle:
            asking.tell(bundle, "delete", {"name": "x"})
        cluster.list()
        assert fakes.links == [2, 2, 2]


def test_a_link_does_not_survive_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Fakes(tmp_path, listed) as fakes, connected(fakes) as cluster:
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: -1)
            with pytest.raises(ConfigError, match="fork"):
                cluster.list()
            cluster._pool.rest()  # they are the parent's
        cluster.list()
        assert fakes.links == [1, 1, 1]


# --- what parties answer


def asked(folder: Path, answers: list[tuple[str, dict[str, Any]] | None], request: str = "delete") -> Fakes:
    """Parties that answer one request so; None: not at all."""

    def answer(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        said = answers[party] if kind == request else ("listed", {"entries": [], "more": False})
        if said is not None:
            reply(link, *said)

    return Fakes(folder, answer)


GONE = ("failed", failed("NotStoredError", "there is no value 'x'"))
DELETED = ("deleted", {})


def deleting(folder: Path, answers: list[tuple[str, dict[str, Any]] | None]) -> tuple[JMPCError, list[int]]:
    """The error, and how many links were opened for it and one request more."""
    with asked(folder, answers) as fakes, connected(fakes) as cluster:
        with pytest.raises(JMPCError) as caught:
            cluster.delete("x")
        cluster.list()
        return caught.value, list(fakes.links)


def test_what_all_parties_say_is_said_once(tmp_path: Path) -> None:
    error, links = deleting(tmp_path, [GONE, GONE, GONE])
    assert type(error) is NotStoredError
    assert error.where == "all parties: here"
    assert links == [1, 1, 1]  # all answered, and the links go on


def test_what_one_party_says_is_said_of_it(tmp_path: Path) -> None:
    error, links = deleting(tmp_path, [DELETED, GONE, DELETED])
    assert type(error) is NotStoredError
    assert error.where == "party 1: here"
    assert links == [1, 1, 1]


def test_of_several_reports_the_one_that_explains_counts(tmp_path: Path) -> None:
    relayed = ("failed", failed("PartyError", "party 1 aborted", relayed=True))
    error, _ = deleting(tmp_path, [relayed, ("failed", failed("RefusedError", "no room")), relayed])
    assert type(error) is RefusedError
    assert error.where == "party 1: here"
    assert len(error.__notes__) == 2


def run(party: int, kind: type[PartyError], what: str, round_no: int, peer: str = "") -> PartyError:
    """What a party reports of a run."""
    return kind(what, where=Place(party=party, phase="run", round_no=round_no, peer=peer))


SILENT = DeadlineError("party 1 did not answer in time", where=Place(phase="join", peer="party 1"))
CUT = PeerError("party 1 was lost", where=Place(phase="join", peer="party 1"))
MISSED = {
    0: run(0, PeerError, "party 1 was lost", 3, "party 1"),
    2: run(2, PeerError, "party 0 was lost", 3, "party 0"),
}
REPORTS: dict[str, tuple[dict[int, JMPCError], set[int], set[int], int, str]] = {
    "who is gone, in the round that the others say": (
        {**MISSED, 1: CUT}, {2}, {1}, 1, "phase run, round 3, peer party 1",
    ),
    "who found something, though others missed a peer before": (
        {**MISSED, 1: run(1, FrameError, "a frame is not authentic", 4, "party 0")}, set(), set(), 1, "round 4",
    ),
    "who failed, not who was told": (
        {0: run(0, PartyError, "party 1 aborted", 3), 1: run(1, PartyError, "failed", 3)}, {0}, set(), 1, "round 3",
    ),
    "who waited first": (
        {0: run(0, DeadlineError, "late", 5, "party 2"), 1: run(1, DeadlineError, "late", 4, "party 0"),
         2: run(2, DeadlineError, "late", 5, "party 1")}, set(), set(), 1, "round 4",
    ),
    "who waited for one that says nothing": (
        {0: run(0, DeadlineError, "late", 5, "party 2"), 1: SILENT, 2: run(2, DeadlineError, "late", 5, "party 1")},
        set(), set(), 2, "round 5, peer party 1",
    ),
    "that one says nothing, where no other knows more": (
        {0: run(0, PartyError, "party 2 aborted", 3), 1: SILENT}, {0}, set(), 1, "phase join, peer party 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", REPORTS)
def test_the_report_that_explains_the_others_is_raised(which: str) -> None:
    reports, relayed, lost, first, where = REPORTS[which]
    error = asking.explained(reports, relayed, 3, lost)
    assert error.what == reports[first].what
    assert where in str(error.where)
    assert error.reports == reports


def test_a_party_that_is_silent_after_a_refusal_is_not_waited_for(tmp_path: Path) -> None:
    error, links = deleting(tmp_path, [None, GONE, DELETED])
    assert type(error) is NotStoredError
    assert "party 0 did not answer in time" in error.__notes__[0]
    assert links == [2, 2, 2]  # an answer may come yet, for nobody


def test_a_party_that_is_lost_is_named(tmp_path: Path) -> None:
    def lose(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind != "delete":
            reply(link, "listed", {"entries": [], "more": False})
        elif party == 2:
            link.hang_up()

    with Fakes(tmp_path, lose) as fakes, connected(fakes) as cluster:
        with pytest.raises(PeerError, match="party 2 was lost") as caught:
            cluster.delete("x")
        assert caught.value.peer == 2
        cluster.list()


def test_a_deadline_names_who_did_not_answer(tmp_path: Path) -> None:
    with asked(tmp_path, [DELETED, None, DELETED]) as fakes:
        cluster = connected(fakes)
        with cluster._pool.bundle() as bundle:
            bundle.deadline_s = 0.2
        with pytest.raises(DeadlineError, match="party 1 did not answer") as caught:
            cluster.delete("x")
        assert caught.value.peer == 1
        cluster.close()


@pytest.mark.parametrize("key", ["owner", "version", "created", "expires", "receivers", "contents"])
def test_parties_that_disagree_on_a_value_are_told(tmp_path: Path, key: str) -> None:
    other: Any = {"owner": "bob", "receivers": ["bob"], "contents": "{}"}.get(key, 7)
    said = {**ENTRY, "contents": "[]"}
    answers = [("described", said), ("described", said), ("described", {**said, key: other})]
    with (
        asked(tmp_path, answers, "describe") as fakes,
        connected(fakes) as cluster,
        pytest.raises(PartyError, match=f"another {key} of it"),
    ):
        cluster.describe("x")


def test_contents_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    answers: Any = [("described", {**ENTRY, "contents": "[]"})] * 3
    with (
        asked(tmp_path, answers, "describe") as fakes,
        connected(fakes) as cluster,
        pytest.raises(StoreError, match="cannot be read here"),
    ):
        cluster.stored("x")


def test_a_value_that_some_party_lacks_is_listed_with_who_lacks_it(tmp_path: Path) -> None:
    row = list(ENTRY.values())
    answers: Any = [("listed", {"entries": entries, "more": False}) for entries in ([row], [], [row])]
    with asked(tmp_path, answers, "values") as fakes, connected(fakes) as cluster:
        (entry,) = cluster.list()
    assert (entry.name, entry.missing, entry.bytes) == ("x", (1,), (10, None, 10))


def test_a_party_that_read_another_program_is_named(tmp_path: Path) -> None:
    def answer(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        link.receive_bytes(fields["bytes"], soon())
        reply(link, "loaded", {"program": f"{party:064}", "allowed": True, "why": ""})

    with (
        Fakes(tmp_path, answer) as fakes,
        connected(fakes) as cluster,
        pytest.raises(HandshakeError, match="party 0 has another hash"),
    ):
        cluster.run(jmpc.secure(lambda x: x * 2), np.float32([1]))


def test_status_is_what_each_party_says(alice: Cluster) -> None:
    found = alice.status()
    assert [one["party"] for one in found] == [0, 1, 2]
    assert all(one["ready"] for one in found)
