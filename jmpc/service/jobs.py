"""The jobs of a party: gathered, admitted in a fair order, run, and given up.

In: clients that join, messages of peers about sessions. Out: finished jobs. Party 0 admits: of the clients that wait
each in turn, as many sessions at once as all parties run (`turns.py`: where that is one), and within its memory; its
offer tells the others. They offer at once as long as they have room, so that nobody waits for more than one message,
and otherwise say that they have the call ("ready"), and offer when it is admitted. Half of the places and of the memory
at party 0 are for calls that all parties have: who asks it alone holds no more than the other half.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from jmpc.errors import ArgumentError, DeadlineError, JMPCError, PartyError, PeerError, RefusedError
from jmpc.executors.engine import PartyEngine
from jmpc.recent import Recent
from jmpc.runtime.failure import Place, from_abort, from_engine, party_name, to_abort
from jmpc.service.events import Observer
from jmpc.service.job import Job, Join, awaited, has_caller
from jmpc.service.keeping import Kept
from jmpc.service.letters import HAS, Letters
from jmpc.service.library import Ready
from jmpc.service.limits import Limits
from jmpc.service.peers import PeerLink, Peers
from jmpc.service.room import Holding, Room
from jmpc.service.session import Outcome, Session
from jmpc.service.turns import OVER, Turns
from jmpc.service.values import Values

ADMITS = 0  # the party that decides when a session begins
_MOST_OVER = 10_000  # sessions that are remembered as over, or made
_MOST_THREADS = 1024
_LATER_S = 2.0  # others give a call up after party 0, which knows for whom it waits


@dataclass(eq=False)
class Attempt:
    """What a client's link waits on: its join, and the job once there is one."""

    join: Join
    until: float
    changed: threading.Event = field(default_factory=threading.Event)  # there is a job, or an error
    job: Job | None = None
    error: JMPCError | None = None

    @property
    def over(self) -> bool:
        """Nothing of its inputs is needed any more."""
        return self.error is not None or (self.job is not None and self.job.done.is_set())


@dataclass
class _Gathering:
    attempts: dict[str, Attempt] = field(default_factory=dict[str, Attempt])


class Jobs:
    """Threads share it."""

    def __init__(
        self, party: int, engine: PartyEngine, values: Values, limits: Limits, deadline_s: float, observer: Observer
    ) -> None:
        self.party, self._engine, self._values = party, engine, values
        self._limits, self._deadline_s, self._observer = limits, deadline_s, observer
        self._peers: Peers | None = None
        self._lock = threading.RLock()
        self._gathering: dict[tuple[str, str], _Gathering] = {}
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()  # by the job's first client; who is next comes first
        self._waiting: dict[bytes, Job] = {}  # whole, and not begun
        self._letters = Letters(2 * limits.waiting_s)
        self._turns = Turns()
        self._running: dict[bytes, tuple[Job, Session]] = {}
        self._over: Recent[bytes, bool] = Recent(_MOST_OVER)
        self._made: Recent[bytes, bool] = Recent(_MOST_OVER)  # so that no session comes twice
        self._room = Room(limits.held, limits.waiting_s)
        self._starting = 0
        self._memory = 0
        self._open = True
        self._idle = threading.Condition(self._lock)
        self._pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="jmpc session")

    def meet(self, peers: Peers) -> None:
        """The other parties; once, before anything joins."""
        self._peers = peers

    @property
    def peers(self) -> Peers:
        assert self._peers is not None
        return self._peers

    # Joining.

    def join(self, join: Join) -> Attempt:
        """Raises RefusedError where there is no room, ArgumentError where it does not fit its program."""
        join.check()
        attempt = Attempt(join, time.monotonic() + self._limits.waiting_s)
        with self._lock:
            self._check_open()
            waiting = [client for g in self._gathering.values() for client in g.attempts]
            waiting += [job.clients[0] for job in self._waiting.values()]
            mine, most = waiting.count(join.client), self._limits.waiting
            if len(waiting) >= most or mine >= most - len(waiting):
                why = f"{len(waiting)} wait already, {mine} of them of this client, which leaves as many to others"
                raise self._refused("too many calls wait", why, "call again later")
            whole = self._gather(attempt)
        if whole:
            self._make(whole)
        return attempt

    @contextmanager
    def holding(self, client: str, ready: Ready, size: int) -> Generator[Holding]:
        """Room for what a client is about to send, before any of it is taken in: until the block ends, and longer where
        the holding says so. Raises RefusedError."""
        if ready.memory > self._limits.memory:
            raise self._refused(
                "the program needs more memory than this party gives",
                f"it needs {ready.memory:,} bytes, and the limit is {self._limits.memory:,}",
                "run it on fewer rows at once, or ask the operator for more: limits.memory in party.toml",
            )
        with self._lock:
            holding = self._room.take(client, size)
        if isinstance(holding, str):
            raise self._refused("too much waits", holding, "call again later")
        try:
            yield holding
        finally:
            holding.here = False

    def _gather(self, attempt: Attempt) -> list[Attempt]:
        """All who join, once nobody is awaited any more."""
        join = attempt.join
        key = join.label, join.ready.hash
        gathering = self._gathering.setdefault(key, _Gathering())
        older = gathering.attempts.pop(join.client, None)
        if older is not None:
            self._give_up(older, self._refused("the client joined again", "a newer call has the same label", ""))
        gathering.attempts[join.client] = attempt
        if has_caller(join.ready) and len(gathering.attempts) > 1:
            del gathering.attempts[join.client]
            raise ArgumentError(f"another client has joined under the label {join.label!r}", where="label")
        if awaited(join.ready, join) - set(gathering.attempts):
            return []
        del self._gathering[key]
        return list(gathering.attempts.values())

    def _make(self, attempts: Sequence[Attempt]) -> None:
        """The job of all who joined."""
        try:
            job = Job(attempts[0].join.ready, [attempt.join for attempt in attempts], self._values)
            job.check_public()
        except JMPCError as error:
            for attempt in attempts:
                self._give_up(attempt, error)
            return
        for attempt in attempts:
            attempt.job = job
            attempt.changed.set()
        with self._lock:
            self._ready(job)

    def _give_up(self, attempt: Attempt, error: JMPCError) -> None:
        attempt.error = error
        attempt.changed.set()

    def leave(self, attempt: Attempt, why: str) -> None:
        """The client's link has ended before its job was done. A detached client is waited for no less."""
        if attempt.join.detached:
            return
        client = attempt.join.client
        error = PeerError(
            f"client {client} left", where=Place(party=self.party, phase="input", peer=f"client {client}"), why=why
        )
        with self._lock:
            key = attempt.join.label, attempt.join.ready.hash
            gathering = self._gathering.get(key)
            if gathering and gathering.attempts.get(client) is attempt:
                del gathering.attempts[client]
                if not gathering.attempts:
                    del self._gathering[key]
                self._give_up(attempt, error)
                return
            job = attempt.job
        if job is None or job.done.is_set() or self._drop(job, error):
            return
        with self._lock:
            running = self._running.get(job.session)
            job.given_up = error  # before its session is there to be told, which looks as it enters
        if running:
            running[1].fail(error)

    def waits_for(self, attempt: Attempt) -> str:
        """What a job that does not run yet waits for."""
        with self._lock:
            gathering = self._gathering.get((attempt.join.label, attempt.join.ready.hash))
            if gathering and attempt.job is None:
                missing = awaited(attempt.join.ready, attempt.join) - set(gathering.attempts)
                return "for " + " and ".join(sorted(missing))
        return "for its turn" if attempt.job and attempt.job.session not in self._running else ""

    def progress(self, attempt: Attempt) -> int:
        """Rounds done."""
        job = attempt.job
        running = self._running.get(job.session) if job else None
        return (running[1].round or 0) if running else 0

    # Admitting.

    def _ready(self, job: Job) -> None:
        if job.session in self._made:
            why = "each call has tickets of its own, from which its session has its name"
            job.fail(ArgumentError("the tickets of this call were used before", where="ticket", why=why))
            return
        self._observer.event(
            "session waiting", session=job.short, program=job.ready.hash, clients=" ".join(job.clients)
        )
        job.until = time.monotonic() + self._limits.waiting_s + (0 if self.party == ADMITS else _LATER_S)
        self._made.put(job.session, True)
        self._waiting[job.session] = job
        try:
            self._look_at_peers(job)
            if self.party == ADMITS:
                self._queues.setdefault(job.clients[0], deque()).append(job)
                self._admit()
            elif self._letters.who(job.session, ["offer"]) >= {ADMITS} or self._busy < self.peers.most_sessions:
                self._start(job, self.peers.links)
            else:
                self.peers.link(ADMITS).duplex.send("ready", {"session": job.session})
        except PartyError as error:
            self._drop(job, error)

    def _look_at_peers(self, job: Job) -> None:
        """Raises PeerError where one is not connected, PartyError where one has given the call up already."""
        for peer in self.peers.others:
            self.peers.link(peer)
        if letter := self._letters.aborted(job.session):
            raise from_abort(letter[2], self.party, party_name(letter[0].peer))

    @property
    def _busy(self) -> int:
        return len(self._running) + self._starting

    def _admit(self) -> None:
        """At party 0: start what there is room for, one job of each client in turn."""
        while self._turns.free and self._busy < self.peers.most_sessions and (job := self._next()):
            if self._busy and self._memory + job.ready.memory > self._limits.memory:
                return  # Nobody is let past who needs less: else the large would wait for ever.
            client = job.clients[0]
            self._queues.move_to_end(client)
            self._unqueue(job)
            links = self.peers.links
            self._turns.begin(job.session, [link for link in links.values() if link.sessions == 1])
            self._start(job, links)

    def _next(self) -> Job | None:
        """The first job, by whose turn it is, that all parties have, or that may begin before it is known."""
        quick = self._busy < self.peers.most_sessions // 2
        for queue in self._queues.values():
            for job in queue:
                if quick and self._memory + job.ready.memory <= self._limits.memory // 2:
                    return job
                if self._letters.who(job.session, HAS) >= {*self.peers.others}:
                    return job
        return None

    def _unqueue(self, job: Job) -> None:
        queue = self._queues.get(job.clients[0])
        if queue and job in queue:
            queue.remove(job)
            if not queue:
                del self._queues[job.clients[0]]

    def _start(self, job: Job, links: Mapping[int, PeerLink]) -> None:
        """links: those over which it runs, though others may have taken their place by then."""
        del self._waiting[job.session]
        self._starting += 1
        self._memory += job.ready.memory
        self._pool.submit(self._run, job, links, time.monotonic())

    def _drop(self, job: Job, error: JMPCError) -> bool:
        """A job that does not run yet; whether it is one: it has begun, and hears of it there, or is done."""
        with self._lock:
            if self._waiting.pop(job.session, None) is None:
                return False
            self._over.put(job.session, True)
            self._letters.take(job.session)
            self._unqueue(job)
        self._tell(job, error)
        self._say_failed(job, error)
        job.fail(error)
        return True

    def _tell(self, job: Job, error: JMPCError) -> None:
        self.peers.tell("abort", {"session": job.session, **to_abort(error)})

    # Running.

    def _run(self, job: Job, links: Mapping[int, PeerLink], since: float) -> None:
        session: Session | None = None
        try:
            session = Session(
                self.party,
                job,
                self.peers.whole(links),
                self.peers.roster_hash,
                self._engine,
                lambda outcome: Kept(self._values, job, outcome),
                self._deadline_s,
                self._limits.waiting_s,
            )
            self._enter(job, session, since)
            outcome = session.run()
        except Exception as exc:
            error = exc if isinstance(exc, JMPCError) else from_engine(exc, Place(party=self.party, phase="input"))
            if session is None:
                self._tell(job, error)
            self._leave(job)
            self._say_failed(job, error)
            job.fail(error)
        else:
            self._leave(job)
            self._say_finished(job, outcome)
            job.finish(outcome)

    def _enter(self, job: Job, session: Session, since: float) -> None:
        with self._lock:
            self._starting -= 1
            self._running[job.session] = job, session
            for link, kind, fields in self._letters.take(job.session):
                if kind != "ready" and session.uses(link):
                    session.heard(link.peer, kind, fields)
            given_up = job.given_up
        if given_up:
            session.fail(given_up)
        self._observer.event(
            "session started",
            session=job.short,
            program=job.ready.hash,
            clients=" ".join(job.clients),
            waited_s=time.monotonic() - since,
            memory=job.ready.memory,
        )

    def _leave(self, job: Job) -> None:
        with self._lock:
            if self._running.pop(job.session, None) is None:
                self._starting -= 1
            self._memory -= job.ready.memory
            self._over.put(job.session, True)
            self._letters.take(job.session)
            if self.party == ADMITS:
                self._admit()
            self._idle.notify_all()
        if self.party != ADMITS and self.peers.sessions == 1:
            with suppress(PartyError):  # its link has ended, by which party 0 knows
                self.peers.link(ADMITS).duplex.send("over", {"session": job.session})

    def _say_finished(self, job: Job, outcome: Outcome) -> None:
        self._observer.event(
            "session finished",
            session=job.short,
            program=job.ready.hash,
            seconds=outcome.seconds,
            rounds=outcome.traffic.rounds,
            sent=outcome.traffic.sent,
            received=outcome.traffic.received_from.total(),
        )

    def _say_failed(self, job: Job, error: JMPCError) -> None:
        place = error.where if isinstance(error.where, Place) else Place()
        self._observer.event(
            "session failed",
            session=job.short,
            program=job.ready.hash,
            error=type(error).__name__,
            phase=place.phase,
            round=place.round_no,
            peer=place.peer,
            why=error.what,
        )

    # What peers say.

    def heard(self, link: PeerLink, kind: str, fields: dict[str, Any]) -> None:
        """A message of a peer about a session."""
        session: bytes = fields["session"]
        if kind != "over":
            self._heard_of(session, link, kind, fields)
        if self.party == ADMITS and kind in OVER:
            with self._lock:
                self._turns.over(session, link)
                self._admit()

    def _heard_of(self, session: bytes, link: PeerLink, kind: str, fields: dict[str, Any]) -> None:
        with self._lock:
            running, job, over = self._running.get(session), self._waiting.get(session), session in self._over
            if running is None:
                if not over and self.peers.stands(link):
                    self._letters.keep(session, link, kind, fields)
                if job and self.party == ADMITS and kind in HAS:
                    self._admit()
                elif job and kind == "offer" and link.peer == ADMITS:
                    self._start(job, self.peers.links)
        if running is not None and kind != "ready" and running[1].uses(link):  # who is ready hears of it by the offer
            running[1].heard(link.peer, kind, fields)
        elif job and kind == "abort":
            self._drop(job, from_abort(fields, self.party, party_name(link.peer)))
        elif over and kind == "offer":  # that it was given up here was said over a link that has ended
            gone = self._refused("the call was given up", "it had begun over a link that has ended", "call again")
            self.peers.tell("abort", {"session": session, **to_abort(gone)}, [link])

    def lost(self, link: PeerLink, why: str) -> None:
        """A link to a peer has ended: so have the sessions over it, and no others; and calls of which the one end said
        over it that it has them, and that wait for their turn at the other."""
        peer = party_name(link.peer)
        with self._lock:
            sessions = [session for _, session in self._running.values() if session.uses(link)]
            has, here = self._letters.lost(link), self.party == ADMITS
            waiting = [j for j in self._waiting.values() if (j.session in has if here else link.peer == ADMITS)]
        for session in sessions:
            session.lost(link.peer, why)
        for job in waiting:
            place = Place(party=self.party, phase="input", peer=peer)
            self._drop(job, PeerError(f"{peer} was lost", where=place, why=why))
        if self.party == ADMITS:
            with self._lock:
                self._turns.lost(link)
                self._admit()

    # Ending.

    def expire(self) -> None:
        """Give up what waited for too long for its clients, or for its turn; let go of the inputs of what is over."""
        with self._lock:
            self._room.used()
            now = time.monotonic()
            late = [job for job in self._waiting.values() if job.until < now]
            for key, gathering in list(self._gathering.items()):
                for client, attempt in list(gathering.attempts.items()):
                    if attempt.until < now:
                        del gathering.attempts[client]
                        missing = " and ".join(sorted(awaited(attempt.join.ready, attempt.join) - {client}))
                        self._give_up(attempt, self._too_late(missing))
                if not gathering.attempts:
                    del self._gathering[key]
        for job in late:
            self._drop(job, self._no_turn())

    def _no_turn(self) -> DeadlineError:
        with self._lock:
            slow = [party_name(peer) for peer in sorted(self._turns.awaited)]
        place = Place(party=self.party, phase="input", peer=slow[0] if slow else party_name(ADMITS))
        why = f"{' and '.join(slow)} has not said that the session before is over there" if slow else ""
        return DeadlineError("the call's turn did not come in time", where=place, why=why, todo="call again later")

    def _too_late(self, missing: str) -> DeadlineError:
        place = Place(party=self.party, phase="input", peer=missing)
        return DeadlineError(f"{missing} did not join in time", where=place, todo="run the same script at each of them")

    def stop(self, grace_s: float) -> int:
        """Take nothing new, let what runs finish, then end it; how many were ended."""
        with self._lock:
            self._open = False
            waiting = list(self._waiting.values())
            attempts = [a for g in self._gathering.values() for a in g.attempts.values()]
        stopping = self._refused("the party is stopping", "its operator ends it", "call again later")
        for attempt in attempts:
            self._give_up(attempt, stopping)
        for job in waiting:
            self._drop(job, stopping)
        with self._lock:
            self._idle.wait_for(lambda: not self._busy, grace_s)
            left = [session for _, session in self._running.values()]
        for session in left:
            session.fail(stopping)
        self._pool.shutdown(wait=True)
        return len(left)

    @property
    def counts(self) -> dict[str, int]:
        """How many run and wait."""
        with self._lock:
            gathering = sum(len(g.attempts) for g in self._gathering.values())
            queued = len(self._waiting)
            return {"running": self._busy, "queued": queued, "gathering": gathering, "memory": self._memory}

    def _check_open(self) -> None:
        if not self._open:
            raise self._refused("the party is stopping", "its operator ends it", "call again later")

    def _refused(self, what: str, why: str, todo: str) -> RefusedError:
        place = Place(party=self.party, phase="input", peer=party_name(self.party))
        return RefusedError(what, where=place, why=why, todo=todo)
