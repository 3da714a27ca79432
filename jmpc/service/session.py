"""One run of one program at one party: agree with all peers, make keys, run, keep what stays, or give up together.

In: a job whose inputs are all here, the standing links to the peers. Out: this party's outputs, or an error that all
peers were told of. What peers say of the session comes in the threads of their links; the session itself runs in one.

What the parties agree on before any share moves between them: the program, which stored values it reads, the public
inputs, what becomes of the results; and, by an HMAC under the secret of each pair, that the owners gave the same words
of each summand to both of its holders. Keys are made of fresh bytes of both ends of each pair and of the secret of
their link, for this session alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from jmpc.errors import DeadlineError, HandshakeError, JMPCError, PartyError, PeerError
from jmpc.executors.engine import PartyEngine
from jmpc.ring.keys import MaskKeys
from jmpc.runtime.channel import Traffic
from jmpc.runtime.failure import Place, completed, from_abort, from_engine, party_name, to_abort
from jmpc.runtime.frames import FrameReader, FrameWriter
from jmpc.runtime.keys import PairKeys, contribution, pair_keys
from jmpc.runtime.links import BulkLink
from jmpc.runtime.network import NetworkChannel
from jmpc.service.job import Job
from jmpc.service.lines import Line
from jmpc.service.peers import PeerLink
from jmpc.service.words import NO_LINE

_AGREE = {
    "roster": "the cluster: one has not taken the newest cluster.toml yet, or compare the hashes of both",
    "program": "the program",
    "stored": "which stored values the program reads: they were replaced, or not all parties have them",
    "public": "the public inputs: a client sent different ones",
    "results": "what becomes of the results: clients sent different wishes",
}
_OVERLAP = b"overlap"
_DIAL_S = 5.0  # for a peer's machine to take a connection: where it does not, the network is cut
_LOOK_S = 0.25  # how often a session that waits for a line looks whether it was ended


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a session gave: this party's arrays by output, the engine's time, the channel's counts; and for what is
    kept, what all parties agreed on."""

    outputs: list[list[np.ndarray]] = field(repr=False)
    seconds: float
    traffic: Traffic
    version: int
    created: int


class Staged(Protocol):
    """What is to be stored: written, and seen by nobody yet."""

    def commit(self) -> None: ...
    def abort(self) -> None: ...


class Session:
    """keep: called with the outcome once the run is done here; it stages what stays, which lasts once all parties are
    done."""

    def __init__(
        self,
        party: int,
        job: Job,
        links: Mapping[int, PeerLink],
        roster: bytes,
        engine: PartyEngine,
        keep: Callable[[Outcome], Staged],
        deadline_s: float,
        waiting_s: float,
    ) -> None:
        """roster: the hash of the cluster's file.  deadline_s: for a peer within one round.  waiting_s: for the party
        that admits, which may be busy."""
        self.party, self.job, self.id = party, job, job.session
        self.phase = "input"
        self._links, self._roster, self._engine, self._keep = links, roster, engine, keep
        self._deadline_s, self._waiting_s = deadline_s, waiting_s
        self._changed = threading.Condition()
        self._offers: dict[int, dict[str, Any]] = {}
        self._finished: set[int] = set()
        self._failed: JMPCError | None = None
        self._alarm_read, self._alarm_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._channel: NetworkChannel | None = None
        self._lines: dict[int, Line] = {}

    # What comes from outside, in other threads.

    def heard(self, peer: int, kind: str, fields: dict[str, Any]) -> None:
        """A message of a peer about this session."""
        with self._changed:
            if kind == "offer":
                self._offers.setdefault(peer, fields)
            elif kind == "finished":
                self._finished.add(peer)
            else:
                self._fail(from_abort(fields, self.party, party_name(peer)))
            self._changed.notify_all()

    def uses(self, link: PeerLink) -> bool:
        """Whether it talks over this very link to a peer: one that was replaced is none of a later session."""
        return self._links.get(link.peer) is link

    def lost(self, peer: int, why: str) -> None:
        """The link to a peer has ended."""
        place = Place(party=self.party, phase=self.phase, round_no=self.round, peer=party_name(peer))
        self.fail(PeerError(f"{party_name(peer)} was lost", where=place, why=why))

    def fail(self, error: JMPCError) -> None:
        """End the session from outside: of several reasons the first counts."""
        with self._changed:
            self._fail(error)
            self._changed.notify_all()

    def _fail(self, error: JMPCError) -> None:
        if self._failed is None:
            self._failed = error
            with contextlib.suppress(OSError):
                os.write(self._alarm_write, b"\0")

    @property
    def round(self) -> int | None:
        """The latest round begun."""
        return self._channel.round_no if self._channel and self._channel.round_no >= 0 else None

    # The run.

    def run(self) -> Outcome:
        """Raises a JMPCError, of which all peers have been told."""
        whole = False
        try:
            outcome = self._run()
            whole = True
            return outcome
        except Exception as exc:
            raise self._give_up(exc) from exc
        finally:
            for peer, line in self._lines.items():
                lines = self._links[peer].lines
                lines.give_back(line) if whole else lines.discard(line)
            with self._changed:
                os.close(self._alarm_read)
                os.close(self._alarm_write)
                self._alarm_write = -1

    def _run(self) -> Outcome:
        self.phase = "handshake"
        keys, version, created = self._agree()
        channel = self._channel = self._bind(keys)
        masks = MaskKeys({peer: pair.mask for peer, pair in keys.items()})
        inputs = self.job.inputs()
        self.phase = "run"
        start = time.perf_counter()
        try:
            flat = self._engine.run_placed(self.job.ready.placed, channel, masks, inputs)
        finally:
            channel.close()
        outputs = _by_output(flat, self.job.ready.outputs)
        outcome = Outcome(outputs, time.perf_counter() - start, channel.traffic, version, created)
        if self.job.keeps:
            self.phase = "output"
            self._finish(outcome)
        return outcome

    def _agree(self) -> tuple[dict[int, PairKeys], int, int]:
        """Offer to all peers, compare what they offer, derive the keys."""
        mine = {peer: contribution() for peer in self._links}
        terms = {"roster": self._roster, **self.job.terms()}
        digests = self.job.digests(self._links)
        version, created = self.job.next_version(), int(time.time())
        for peer, link in self._links.items():
            if link.lines.dials:
                self._lines[peer] = link.lines.take(time.monotonic() + min(self._deadline_s, _DIAL_S))
            line = self._lines[peer].number if peer in self._lines else NO_LINE
            overlap = _overlap(link, self.id, digests[peer])
            offer = {**terms, "session": self.id, "overlap": overlap, "contribution": mine[peer]}
            link.duplex.send("offer", {**offer, "line": line, "version": version, "created": created})
        theirs = self._offered()
        for peer, offer in theirs.items():
            self._compare(peer, terms, offer, _overlap(self._links[peer], self.id, digests[peer]))
        keys = {peer: self._keys(peer, mine[peer], offer["contribution"]) for peer, offer in theirs.items()}
        versions = [version, *(offer["version"] for offer in theirs.values())]
        return keys, max(versions), max([created, *(offer["created"] for offer in theirs.values())])

    def _offered(self) -> dict[int, dict[str, Any]]:
        """The offers of all peers. That of the party that admits may take its time; after it the others may not."""
        until = time.monotonic() + self._waiting_s
        with self._changed:
            while len(self._offers) < len(self._links):
                if self._failed:
                    raise self._failed
                admitted = self.party == 0 or 0 in self._offers
                until = min(until, time.monotonic() + self._deadline_s) if admitted else until
                if not self._changed.wait(max(0.0, until - time.monotonic())) and time.monotonic() >= until:
                    raise self._nobody_offered()
            if self._failed:
                raise self._failed
            return dict(self._offers)

    def _nobody_offered(self) -> DeadlineError:
        peer = next(peer for peer in self._links if peer not in self._offers)
        name = party_name(peer)
        return DeadlineError(
            f"{name} did not begin",
            where=Place(party=self.party, phase="handshake", peer=name),
            why="either no client asked it for this run, or it is busy",
            todo=f"see whether the client reaches {name}; then run again",
        )

    def _compare(self, peer: int, terms: dict[str, Any], theirs: dict[str, Any], overlap: bytes) -> None:
        place = Place(party=self.party, phase="handshake", peer=party_name(peer))
        for name, said in _AGREE.items():
            if theirs[name] != terms[name]:
                raise HandshakeError(f"{party_name(peer)} disagrees on {said.partition(':')[0]}", where=place, why=said)
        if theirs["overlap"] != overlap:
            raise HandshakeError(
                f"{party_name(peer)} was given other shares of an input",
                where=place,
                why="both hold the same summand of each input, and what they were given differs",
                todo="the client that supplied it sent wrong shares: call again, with the same version of jmpc",
            )

    def _keys(self, peer: int, mine: bytes, theirs: bytes) -> PairKeys:
        secret = self._links[peer].secret.key(b"session")
        return pair_keys(self.party, peer, mine, theirs, self.id, self.job.ready.hash, secret)

    def _bind(self, keys: Mapping[int, PairKeys]) -> NetworkChannel:
        deadline = time.monotonic() + self._deadline_s
        links: dict[int, BulkLink] = {}
        for peer, pair in keys.items():
            if peer not in self._lines:
                self._lines[peer] = self._line(peer, deadline)
            line = self._lines[peer]
            writer = FrameWriter(pair.send, self.id, self.party, peer)
            reader = FrameReader(pair.receive, self.id, peer, self.party)
            links[peer] = BulkLink(line.sock, writer, reader, line.staging)
        return NetworkChannel(self.party, links, self._deadline_s, self)

    def _line(self, peer: int, deadline: float) -> Line:
        while True:
            until = min(deadline, time.monotonic() + _LOOK_S)
            try:
                return self._links[peer].lines.wait(self._offers[peer]["line"], until)
            except TimeoutError as exc:
                self.check()
                if time.monotonic() < deadline:
                    continue
                place = Place(party=self.party, phase="handshake", peer=party_name(peer))
                raise DeadlineError(f"{party_name(peer)} opened no line in time", where=place) from exc

    def _finish(self, outcome: Outcome) -> None:
        """Make last what is kept, once all parties have it."""
        staged = self._keep(outcome)
        try:
            for link in self._links.values():
                link.duplex.send("finished", {"session": self.id})
            self._wait_for_all()
            staged.commit()
        except BaseException:
            staged.abort()
            raise

    def _wait_for_all(self) -> None:
        until = time.monotonic() + self._deadline_s
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._failed is not None or len(self._finished) == len(self._links), until - time.monotonic()
            )
            if self._failed:
                raise self._failed
        if not done:
            peer = party_name(next(peer for peer in self._links if peer not in self._finished))
            place = Place(party=self.party, phase="output", peer=peer)
            raise DeadlineError(f"{peer} did not finish in time", where=place)

    def _give_up(self, exc: Exception) -> JMPCError:
        place = Place(party=self.party, phase=self.phase, round_no=self.round)
        error = exc if isinstance(exc, JMPCError) else from_engine(exc, place)
        done = completed(error, self.party, self.phase, self.round)
        for link in self._links.values():
            with contextlib.suppress(PartyError):
                link.duplex.send("abort", {"session": self.id, **to_abort(done)})
        return done

    # As the watch of the channel.

    def fds(self) -> Sequence[int]:
        """What to poll while a round waits."""
        return (self._alarm_read,)

    def check(self, wait_s: float = 0.0) -> None:
        """Raise if the session was ended from outside."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed is not None, wait_s)
            if self._failed:
                raise self._failed


def _overlap(link: PeerLink, session: bytes, digests: Sequence[bytes]) -> bytes:
    return link.secret.tag(_OVERLAP, session, *digests)


def _by_output(flat: Sequence[np.ndarray], widths: Sequence[int]) -> list[list[np.ndarray]]:
    arrays = iter(flat)
    return [[next(arrays) for _ in range(width)] for width in widths]
