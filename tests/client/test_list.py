"""The list of all values, page by page: what parties hold of it, edges of a page, what changes meanwhile, and parties
that lie."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.client import listing
from jmpc.client.cluster import Cluster
from jmpc.client.values import Entry
from jmpc.command.client import list_values
from jmpc.errors import ArgumentError, PartyError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.messages import encode, size_of
from jmpc.runtime.requests import MOST_CONSENTS, PAGE_BYTES, REQUESTS
from jmpc.service import values
from tests.service.three import Three

from .fakes import Fakes, reply

Rows = Sequence[Sequence[Any]]
HASHES = [f"{number:064x}" for number in range(MOST_CONSENTS + 1)]


def row(name: str, version: int = 1, consents: int = 0) -> list[Any]:
    return [name, "alice", version, 0, -1, 10, [["alice", hash] for hash in HASHES[:consents]], []]


class Parties:
    """Each lists what `held` has of it, two a page. change: called before each answer, with the party and how often it
    was asked before."""

    def __init__(self, held: Sequence[Rows], change: Callable[[int, int], None] = lambda party, before: None) -> None:
        self.held, self.asked = [list(rows) for rows in held], [list[str](), list[str](), list[str]()]
        self._change, self._lock = change, threading.Lock()

    def answer(self, party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self._change(party, len(self.asked[party]))
            self.asked[party].append(fields["after"])
            left = [row for row in self.held[party] if row[0] > fields["after"]]
        reply(link, "listed", {"entries": left[:2], "more": len(left) > 2})

    def list(self, folder: Path) -> list[Entry]:
        with Fakes(folder, self.answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
            return cluster.list()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAUSES_S", (0.01, 0.01))


# --- parties that are


@pytest.fixture
def stored(three: Three, alice: Cluster) -> Any:
    names = [f"paged {number}" for number in range(7)]
    for name in names:
        alice.put(np.float32([1]), name)
    alice.consent("paged 3", *HASHES[:40])
    yield names
    for name in names:
        alice.delete(name)


@pytest.mark.parametrize("most", [1, 300, 1000, PAGE_BYTES])
def test_all_values_are_listed_whatever_a_page_holds(
    alice: Cluster, stored: list[str], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also one that is larger than a page: 40 consents are some 3,000 bytes."""
    monkeypatch.setattr(values, "PAGE_BYTES", most)
    found = {entry.name: entry for entry in alice.list()}
    assert list(found) == sorted(found)
    assert set(stored) <= set(found)
    assert found["paged 3"].consents == {"alice": tuple(HASHES[:40])}
    assert not any(entry.missing for entry in found.values())


def test_a_page_ends_before_the_byte_that_is_too_many(
    three: Three, stored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = three.services[0]
    assert service is not None
    rows, more = service.values.page("paged")
    assert ([row[0] for row in rows], more) == (stored, False)
    two = size_of(rows[0]) + size_of(rows[1])
    for most, count in ((two, 2), (two - 1, 1), (1, 1)):
        monkeypatch.setattr(values, "PAGE_BYTES", most)
        assert service.values.page("paged") == (rows[:count], True)
    all_but_last = service.values.page("paged 5")
    assert all_but_last == (rows[6:], False)
    assert service.values.page("paged 6") == ([], False)
    assert service.values.page("paged 4 was deleted")[0] == rows[5:6]


def test_the_command_lists_all_pages(
    three: Three, stored: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(values, "PAGE_BYTES", 1)
    list_values(name=str(three.folder / "client-alice"), cluster=three.folder, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert set(stored) <= {value["name"] for value in said["values"]}


def test_the_largest_value_fits_into_a_message_and_no_larger_one_is_made(alice: Cluster, stored: list[str]) -> None:
    largest = [["\U0001f600" * 200, HASHES[0]]] * MOST_CONSENTS
    said = ["\U0001f600" * 200, "\U0001f600" * 200, 2**62, 2**62, 2**53, 2**62, largest, ["\U0001f600" * 200]]
    encode("listed", {"entries": [said], "more": True}, REQUESTS)
    for consenting in (
        lambda: alice.consent(stored[0], *HASHES),
        lambda: alice.put(np.float32([1]), stored[0], programs=HASHES),
    ):
        with pytest.raises(ArgumentError, match="too many programs") as caught:
            consenting()
        assert "1,001" in caught.value.why
        assert "withdraw" in caught.value.todo[0]


# --- parties that differ, and change


def test_pages_that_end_elsewhere_are_put_together(tmp_path: Path) -> None:
    """One party lacks much, so that its pages reach further."""
    names = [f"value {number:02}" for number in range(11)]
    all_of_them = [row(name) for name in names]
    parties = Parties([all_of_them, [row(names[0]), row(names[9])], all_of_them])
    found = parties.list(tmp_path)
    assert [entry.name for entry in found] == names
    assert [entry.name for entry in found if not entry.missing] == [names[0], names[9]]
    assert {entry.missing for entry in found} == {(), (1,)}


def test_what_changes_between_pages_accuses_nobody(tmp_path: Path) -> None:
    """After the first page: one value goes that was told, one that was not; one comes on either side."""

    def change(party: int, before: int) -> None:
        if before == 1:
            left = [one for one in parties.held[party] if one[0] not in ("b", "f")]
            parties.held[party] = sorted([*left, row("a2"), row("e2")])

    parties = Parties([[row(name) for name in "abcdefg"]] * 3, change)
    found = parties.list(tmp_path)
    assert [entry.name for entry in found] == ["a", "b", "c", "d", "e", "e2", "g"]
    assert not any(entry.missing for entry in found)
    assert parties.asked[0] == ["", "b", "d", "e2"]


@pytest.mark.parametrize("late", [1, 2])
def test_what_changes_while_parties_answer_accuses_nobody(tmp_path: Path, late: int) -> None:
    """The third party answers before a value is replaced there, and another deleted."""

    def change(party: int, before: int) -> None:
        if before == (late if party == 2 else 0):
            parties.held[party] = [row("a", version=2), row("c")]

    parties = Parties([[row("a"), row("b"), row("c")]] * 3, change)
    found = parties.list(tmp_path)
    assert [(entry.name, entry.version, entry.missing) for entry in found] == [("a", 2, ()), ("c", 1, ())]


@pytest.mark.parametrize("number", [0, 3, 6])
def test_parties_that_go_on_to_disagree_are_told_on_any_page(tmp_path: Path, number: int) -> None:
    held = [[row(name) for name in "abcdefg"] for _ in range(3)]
    held[1][number] = row("abcdefg"[number], version=7)
    with pytest.raises(PartyError, match=f"disagree on '{'abcdefg'[number]}'") as caught:
        Parties(held).list(tmp_path)
    assert "another version" in caught.value.why


# --- parties that lie


def endless(after: str) -> dict[str, Any]:
    """Always one more."""
    return {"entries": [row(f"{int(after or 0) + 1:0200}")], "more": True}


@pytest.mark.parametrize("parties", [{0, 1, 2}, {1}])
def test_a_list_without_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parties: set[int]) -> None:
    monkeypatch.setattr(listing, "MOST_PAGES", 20)
    monkeypatch.setattr(listing, "PAUSES_S", (0.0,))
    asked = [0, 0, 0]

    def answer(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        asked[party] += 1
        end = {"entries": [], "more": False}
        reply(link, "listed", endless(fields["after"]) if party in parties else end)

    with Fakes(tmp_path, answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        with pytest.raises(PartyError, match=f"party {min(parties)}.* without end"):
            cluster.list()
        assert asked[0] == asked[1] == asked[2] <= 40
        assert fakes.links == [1, 1, 1]


LIES: dict[str, tuple[Rows, bool]] = {
    "more of nothing": ([], True),
    "what was told before": ([row("a")], True),
    "not in order": ([row("d"), row("c")], False),
    "one twice": ([row("c"), row("c")], True),
    "a page that is too long": ([row(f"c {number}", consents=MOST_CONSENTS) for number in range(20)], False),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_page_is_refused(tmp_path: Path, lie: str) -> None:
    def answer(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        rows, more = LIES[lie] if party == 2 and fields["after"] else ([row("a"), row("b")], True)
        reply(link, "listed", {"entries": rows, "more": more})

    with (
        Fakes(tmp_path, answer) as fakes,
        jmpc.connect(fakes.folder, identity="alice") as cluster,
        pytest.raises(PartyError, match="sends no page of values"),
    ):
        cluster.list()
