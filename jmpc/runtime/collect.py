"""Ask all parties for one thing and collect their answers, or one error that tells what went wrong.

In: the driver's links, after a command was sent. Out: their answers, or Failed with a report of each party and
the one that explains the others. This file restarts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from jmpc.errors import DeadlineError, FrameError, JMPCError, PartyError, PeerError
from jmpc.runtime.control import ControlLink, wait_for
from jmpc.runtime.failure import Place, from_record, party_name, to_abort

ENDING_S = 5.0  # a process whose links have ended is about to end itself; on a busy machine that takes its time
GRACE_S = 5.0  # after the first failure, what the other parties have to report theirs

Answer = tuple[str, dict[str, Any]]


class Parties(Protocol):
    """Three running party processes, as the driver holds them; launch.py makes them."""

    links: list[ControlLink]
    deadline_s: float

    @property
    def pids(self) -> list[int]: ...
    def all_run(self) -> bool: ...
    def ended(self, party: int, wait_s: float) -> str: ...
    def close(self) -> None: ...


class Failed(Exception):
    """Some party failed. `usable`: all answered, so the processes can go on."""

    def __init__(self, error: JMPCError, reports: dict[int, JMPCError], usable: bool) -> None:
        super().__init__(error.what)
        self.error, self.reports, self.usable = error, reports, usable


class Collector:
    """One command to all parties."""

    def __init__(self, parties: Parties, phase: str, epoch: int) -> None:
        self._parties, self._phase, self._epoch = parties, phase, epoch
        self._answers: dict[int, dict[str, Any]] = {}
        self._reports: dict[int, JMPCError] = {}
        self._relayed: set[int] = set()
        self._lost: set[int] = set()
        self._silent: set[int] = set()
        for link in parties.links:
            link.phase = phase

    def send(self, action: Callable[[ControlLink, int], None]) -> None:
        """Send something to each party; one that cannot be reached counts as failed."""
        for party, link in enumerate(self._parties.links):
            if party not in self._lost | self._silent:
                try:
                    action(link, party)
                except PartyError as exc:
                    self._unreachable(party, exc)

    def collect(self, answer: str, limit_s: float) -> list[dict[str, Any]]:
        """The answer of each party, in order. `limit_s` is for the first. Then the rest have a deadline, after which a
        party knows that it misses a peer, and the time to report it."""
        first = time.monotonic() + limit_s
        grace_s = min(GRACE_S, self._parties.deadline_s)
        limit: float | None = None
        told = False
        while pending := self._pending():
            if self._reports and not told:
                told, limit = True, time.monotonic() + grace_s
                self._tell(pending)
            elif self._answers and limit is None:
                limit = time.monotonic() + self._parties.deadline_s + grace_s
            ready = wait_for([self._parties.links[p] for p in pending], (limit or first) - time.monotonic())
            for party in pending:
                if self._parties.links[party] in ready:
                    self._take(party, answer)
            if not ready and time.monotonic() >= (limit or first) - 0.001:
                self._give_up(pending)
        if self._reports:
            if not told:
                self._tell([])  # The last to answer failed: the others wait for our verdict.
            raise self.failure()
        return [self._answers[party] for party in range(len(self._parties.links))]

    def require_all(self) -> None:
        """Raise if a party could not be reached by any `send`."""
        if self._reports:
            raise self.failure()

    def failure(self) -> Failed:
        """What happened, all reports considered."""
        cause = min(self._reports, key=self._rank)
        error = self._reports[cause]
        if cause in self._lost:
            error = self._with_round(cause, error)
        for party, report in sorted(self._reports.items()):
            if party != cause:
                error.add_note(f"{party_name(party)}: {type(report).__name__}: {report.what} ({report.where})")
        return Failed(error, dict(self._reports), usable=not self._lost and not self._silent)

    def _pending(self) -> list[int]:
        return [p for p in range(len(self._parties.links)) if p not in self._answers and p not in self._reports]

    def _take(self, party: int, answer: str) -> None:
        link = self._parties.links[party]
        try:
            kind, fields = link.receive((answer, "failed"), time.monotonic() + self._parties.deadline_s)
        except PartyError as exc:
            self._unreachable(party, exc)
            return
        if kind == "failed":
            self._reports[party] = from_record(fields, party)
            if fields["relayed"]:
                self._relayed.add(party)
        else:
            self._answers[party] = fields

    def _tell(self, pending: Sequence[int]) -> None:
        """Let the parties know that the session is over, also those that wait for our verdict."""
        cause = next(iter(self._reports.values()))
        for party in {*pending, *self._answers}:
            try:
                self._parties.links[party].send("abort", to_abort(cause, self._epoch), time.monotonic() + 1.0)
            except PartyError as exc:
                self._unreachable(party, exc)

    def _unreachable(self, party: int, exc: PartyError) -> None:
        late = isinstance(exc, DeadlineError)
        how = self._parties.ended(party, 0.0 if late else ENDING_S)
        if how or not late:
            place = Place(phase=self._phase, peer=party_name(party))
            why = how or exc.why or "its connection ended"
            self._reports[party] = PeerError(f"{party_name(party)} was lost", where=place, why=why)
            self._lost.add(party)
        else:
            self._reports[party] = exc
            self._silent.add(party)

    def _give_up(self, pending: Sequence[int]) -> None:
        for party in pending:
            place = Place(phase=self._phase, peer=party_name(party))
            self._reports[party] = DeadlineError(f"{party_name(party)} did not answer in time", where=place)
            self._silent.add(party)

    def _rank(self, party: int) -> tuple[int, int, int]:
        """Lost first; then the error that is no echo of another; then, round by round, whoever waited for a silent
        party, and whoever missed a peer."""
        error = self._reports[party]
        if party in self._lost:
            return 0, 0, party
        if party in self._relayed:
            return 4, 0, party
        if party in self._silent:
            return 3, 0, party
        if isinstance(error, FrameError) or not isinstance(error, DeadlineError | PeerError):
            return 1, 0, party
        peer = error.where.peer if isinstance(error.where, Place) else ""
        if peer in {party_name(p) for p in self._silent}:
            return 2, -1, party
        return 2, _round_of(error), party

    def _with_round(self, party: int, error: JMPCError) -> JMPCError:
        """A party that was lost cannot say in which round; the others can."""
        places = [report.where for other, report in self._reports.items() if other != party]
        known = [place for place in places if isinstance(place, Place) and place.round_no is not None]
        phases = [place.phase for place in places if isinstance(place, Place) and place.phase]
        phase = known[0].phase if known else (phases or [self._phase])[0]
        place = Place(party=party, phase=phase, round_no=max(p.round_no or 0 for p in known) if known else None)
        return type(error)(error.what, where=place, why=error.why, todo="run again: the parties are started anew")


def _round_of(error: JMPCError) -> int:
    """The round that an error names; before any round where it names none."""
    round_no = error.where.round_no if isinstance(error.where, Place) else None
    return -1 if round_no is None else round_no
