"""One request to all parties of a cluster, and their answers, or one error that says which party refuses, and why.

In: a bundle of links, a message's fields (the same for all, or each its own). Out: the answers by party; or the error
that explains the others, with the party named. Links stay usable where every party answered, if only with a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from jmpc.client.links import Bundle
from jmpc.client.waiting import Waker, readable
from jmpc.errors import DeadlineError, FrameError, JMPCError, PartyError, PeerError
from jmpc.runtime.channel import flat_bytes
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, from_record, party_name, to_record

QUIET_S = 60.0  # a party that has a call says every half a second how far it is
GRACE_S = 5.0  # after the first refusal, what the other parties have to tell theirs
SMALL_BYTES = 12_000  # of arrays that leave with their message, as one TLS record
TURN_BYTES = 1 << 20  # of large arrays, what one party gets before the next one's turn
FAILED = "failed"

Fields = dict[str, Any]
On = Callable[[int, Fields], None]
Take = Callable[[int, ControlLink, Fields], Any]


def ask(
    bundle: Bundle, kind: str, fields: Fields | Sequence[Fields], answer: str, *, wait_s: float | None = None,
    body: bytes = b"", take: Take | None = None,
) -> list[Any]:  # fmt: skip
    """The answers by party: their fields, or what `take` made of each. fields: a list where parties get different ones.
    wait_s: for the last answer; as for a message by default."""
    tell(bundle, kind, fields, body=body)
    until = time.monotonic() + (wait_s or bundle.deadline_s)
    return collect(bundle, kind, answer, until=until, take=take)


def tell(
    bundle: Bundle, kind: str, fields: Fields | Sequence[Fields], *, body: bytes = b"",
    arrays: Sequence[Sequence[np.ndarray]] | None = None,
) -> None:  # fmt: skip
    """Send a request to all parties: first what is small, then large arrays by turns, so that none waits for another's
    to be through."""
    bundle.outstanding += 1
    each: Sequence[Fields] = [fields] * len(bundle.links) if isinstance(fields, dict) else fields
    large: list[list[np.ndarray]] = []
    for party, link in enumerate(bundle.links):
        link.phase = kind
        mine = arrays[party] if arrays else ()
        small = sum(array.nbytes for array in mine) <= SMALL_BYTES
        link.send(kind, each[party], time.monotonic() + bundle.deadline_s, body, mine if small else ())
        large.append([] if small else flat_bytes(mine)[0])
    _by_turns(bundle, large)


def _by_turns(bundle: Bundle, large: Sequence[Sequence[np.ndarray]]) -> None:
    turns = [
        [view[at : at + TURN_BYTES] for view in views for at in range(0, view.size, TURN_BYTES)] for views in large
    ]
    for number in range(max(map(len, turns))):
        for link, mine in zip(bundle.links, turns, strict=True):
            if number < len(mine):
                link.send_arrays([mine[number]], time.monotonic() + bundle.deadline_s)


def collect(
    bundle: Bundle, phase: str, answer: str, *, until: float | None, more: Mapping[str, On] | None = None,
    quiet_s: float = 0.0, take: Take | None = None, waker: Waker | None = None,
) -> list[Any]:  # fmt: skip
    """The answers to what was asked. until: of time.monotonic; None where parties say that they live by `more`:
    messages that may come before an answer, and who hears them.  quiet_s: until the first of these; later as long as
    for any message.  take: reads what follows an answer.  Raises Cancelled."""
    asked = _Asked(bundle, phase, answer, dict(more or {}), take, quiet_s)
    while asked.pending:
        late = asked.next_late if until is None else until
        ready = readable([bundle.links[party] for party in asked.pending], late, waker)
        if not ready and time.monotonic() >= late:
            asked.give_up(None if until is None else until)
        for link in ready:
            asked.hear(bundle.links.index(link))
        if asked.reports:
            soon = time.monotonic() + GRACE_S
            until = soon if until is None else min(until, soon)
    bundle.outstanding -= 1
    bundle.broken = bundle.broken or asked.broken
    if asked.reports:
        raise explained(asked.reports, asked.relayed, len(bundle.links), asked.lost)
    return [asked.answers[party] for party in range(len(bundle.links))]


def hear_refusal(bundle: Bundle, party: int) -> None:
    """Raise what a party has to say before it was asked: it refuses what it is being sent. Where it does so for another
    party, that one's reason is waited for."""
    bundle.broken = True
    reports: dict[int, JMPCError] = {}
    relayed, until = {party}, time.monotonic() + bundle.deadline_s
    waiting = [bundle.links[party]]
    while waiting and relayed >= set(reports):
        for link in waiting:
            heard = bundle.links.index(link)
            try:
                _, fields = link.receive((FAILED,), until)
            except PartyError as exc:
                if not reports:
                    raise
                fields = {**to_record(exc), "relayed": True}  # it says less than what was heard already
            reports[heard] = from_record(fields, heard)
            (relayed.add if fields["relayed"] else relayed.discard)(heard)
        until = min(until, time.monotonic() + GRACE_S)
        silent = [link for n, link in enumerate(bundle.links) if n not in reports]
        waiting = readable(silent, until, None) if silent else []
    raise explained(reports, relayed, len(bundle.links))


class _Asked:
    """Who has answered what so far. broken: a link is not to be used again."""

    def __init__(
        self, bundle: Bundle, phase: str, answer: str, more: dict[str, On], take: Take | None, quiet_s: float
    ) -> None:
        self._bundle, self._phase, self._answer, self._more, self._take = bundle, phase, answer, more, take
        self._late = dict.fromkeys(range(len(bundle.links)), time.monotonic() + quiet_s)
        self.answers: dict[int, Any] = {}
        self.reports: dict[int, JMPCError] = {}
        self.relayed: set[int] = set()
        self.lost: set[int] = set()
        self.broken = False

    @property
    def pending(self) -> list[int]:
        return [p for p in range(len(self._bundle.links)) if p not in self.answers and p not in self.reports]

    @property
    def next_late(self) -> float:
        """When the next party will have been quiet for too long."""
        return min(self._late[party] for party in self.pending)

    def hear(self, party: int) -> None:
        """Read one message of a party."""
        link = self._bundle.links[party]
        self._late[party] = time.monotonic() + max(self._bundle.deadline_s, QUIET_S)
        deadline = time.monotonic() + self._bundle.deadline_s
        try:
            kind, fields = link.receive((self._answer, FAILED, *self._more), deadline)
            if kind == self._answer:
                self.answers[party] = self._take(party, link, fields) if self._take else fields
        except PartyError as exc:
            self.broken = True
            self.reports[party] = exc
            if not link.alive:
                self.lost.add(party)
            return
        if kind in self._more:
            self._more[kind](party, fields)
        elif kind == FAILED:
            self.reports[party] = from_record(fields, party)
            if fields["relayed"]:
                self.relayed.add(party)

    def give_up(self, until: float | None) -> None:
        """The deadline has passed for all, or for those that were quiet for too long."""
        self.broken = True
        now = time.monotonic()
        for party in [p for p in self.pending if until is not None or self._late[p] <= now]:
            name = party_name(party)
            place = Place(phase=self._phase, peer=name)
            self.reports[party] = DeadlineError(f"{name} did not answer in time", where=place)


def explained(
    reports: Mapping[int, JMPCError], relayed: set[int], parties: int, lost: Set[int] = frozenset()
) -> JMPCError:
    """The report that explains the others, with the party that made it, and all of them in `reports`. relayed: who only
    passes on what a peer said.  lost: whose link has ended."""
    silent = {party_name(p) for p, error in reports.items() if p not in lost and _is_silent(p, error)}

    def rank(party: int) -> tuple[int, int, int]:
        """A party that is gone; then what one found by itself; then who missed a peer, one that says nothing first,
        and round by round; then who says nothing; and last, who was told."""
        error, place = reports[party], _of(reports[party])
        if party in lost:
            return 0, 0, party
        if party in relayed:
            return 4, 0, party
        if party_name(party) in silent:
            return 3, 0, party
        if isinstance(error, FrameError) or not isinstance(error, DeadlineError | PeerError):
            return 1, 0, party
        return 2, -2 if place.peer in silent else -1 if place.round_no is None else place.round_no, party

    first = min(reports, key=rank)
    error = _when(reports, first) if first in lost else reports[first]
    alike = [p for p, other in reports.items() if _said(other) == _said(reports[first])]
    found = named(error, "all parties" if len(alike) == parties else party_name(first))
    for party in sorted(set(reports) - set(alike)):
        found.add_note(f"besides: {named(reports[party], party_name(party)).render()}")
    found.reports = dict(reports)
    return found


def _is_silent(party: int, error: JMPCError) -> bool:
    """Whether the report is this end's, of a party that answered nothing."""
    place = _of(error)
    return isinstance(error, DeadlineError) and place.party is None and place.peer == party_name(party)


def _of(error: JMPCError) -> Place:
    return error.where if isinstance(error.where, Place) else Place()


def _when(reports: Mapping[int, JMPCError], lost: int) -> JMPCError:
    """A party that is gone cannot say in which round; the others can."""
    error, places = reports[lost], [_of(other) for party, other in reports.items() if party != lost]
    rounds = [place.round_no for place in places if place.round_no is not None]
    if not rounds:
        return error
    place = Place(phase="run", round_no=max(rounds), peer=party_name(lost))
    return type(error)(error.what, where=place, why=error.why, todo=error.todo)


def named(error: JMPCError, who: str) -> JMPCError:
    """The error with the party that it comes from. A place that names one already says enough."""
    where = error.where
    if isinstance(where, Place) and (where.party is not None or where.peer == who):
        return error
    if isinstance(where, Place):
        where = Place(phase=where.phase, round_no=where.round_no, peer=where.peer or who)
    else:
        where = f"{who}: {where}" if where else who
    found = type(error)(error.what, where=where, why=error.why, todo=error.todo)
    found.__cause__ = error.__cause__
    return found


def _said(error: JMPCError) -> tuple[object, ...]:
    return type(error), error.what, error.why
