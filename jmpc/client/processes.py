"""`jmpc.processes`: the parties of a cluster as processes of this machine, for as long as a block lasts.

In: how many parties, deadlines, modules. Out: a backend of secure calls. The parties are services as any
(`jmpc/daemon/child.py`), and this process is their one client: it stands for all owners and all receivers, so that
every program is its own. After a failure the next call starts the parties anew if it must; what they held is then lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from jmpc import backends
from jmpc.backends import Kept, RunStats
from jmpc.client import asking
from jmpc.client.backend import Asked, ClusterBackend
from jmpc.client.links import Bundle, Dialler
from jmpc.client.pool import Pool
from jmpc.client.values import Entry, Held, Lease
from jmpc.compiler import Flow
from jmpc.daemon.children import ENDING_S, Children, Settings
from jmpc.daemon.handover import DRIVER
from jmpc.errors import ArgumentError, JMPCError, LaunchError, PartyError, PeerError, RefusedError
from jmpc.ir import outside
from jmpc.ir.caller import of_the_caller
from jmpc.ir.program import Program
from jmpc.roles import Role
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.requests import NEVER

_LOOKED_S = 20.0  # after a failure, for all parties to say that they are well
_LOOK_S = 0.05


class Life:
    """Of one start of the parties: handles on what they hold end with it."""


class Processes:
    """The parties at the service of this process, not of a fork of it; calls of threads take turns. parties: how many.
    reports: of the latest failure, what each party said."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.parties = settings, settings.parties
        self.pool, self.life = Pool(self._dial), Life()
        self.reports: Mapping[int, JMPCError] = {}
        self._turn = threading.RLock()
        self._owner, self._closed, self._doubted = os.getpid(), False, False
        self._children: Children | None = Children(settings)

    @property
    def pids(self) -> list[int]:
        """Process ids of the parties."""
        return self._children.pids if self._children else []

    def close(self) -> None:
        """End the parties and everything they hold."""
        self._closed = True
        self._stop()

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        """Running parties for one call. A failure in it is explained, and what it leaves behind is looked at before the
        next one."""
        self._check()
        with self._turn:
            self._check()
            self._mend()
            try:
                yield
            except JMPCError as error:
                raise self._explained(error) from error.__cause__

    def _check(self) -> None:
        if self._closed:
            raise LaunchError("the cluster is closed", todo="open another block: with jmpc.processes()")
        if self._owner != os.getpid():
            why = f"process {self._owner} launched it, and this one is a fork: both would write to the same connections"
            raise LaunchError("the cluster is another process's", why=why, todo="launch a new one in this process")

    def _mend(self) -> None:
        """Start the parties anew where one has ended, or does not answer, or does not find the others."""
        children = self._children
        if children is not None and children.all_run() and (not self._doubted or self._are_well(children)):
            self._doubted = False
            return
        self._stop()
        self._children, self._doubted = Children(self._settings), False

    def _are_well(self, children: Children) -> bool:
        wait_s = min(_LOOKED_S, self._settings.deadline_s)
        until = time.monotonic() + wait_s
        with contextlib.suppress(JMPCError):
            bundle = Dialler(children.roster, children.identity, wait_s).open()
            with contextlib.closing(bundle):
                while time.monotonic() < until:
                    states = asking.ask(bundle, "status", {}, "state")
                    if all(json.loads(state["text"])["ready"] for state in states):
                        return True
                    time.sleep(_LOOK_S)
        return False

    def _stop(self) -> None:
        self.life = Life()
        self.pool.rest()
        if self._children is not None:
            self._children.close()
            self._children = None

    def _dial(self) -> Bundle:
        assert self._children is not None
        return Dialler(self._children.roster, self._children.identity).open()

    def _explained(self, error: JMPCError) -> JMPCError:
        """The error, or that a process has ended, where that is why."""
        self.reports = error.reports
        if not isinstance(error, PartyError):
            return error
        self._doubted = True
        if self._children is not None:
            for party in range(self.parties):
                if how := self._children.ended(party, ENDING_S if self._is_cut(party) else 0.0):
                    return self._lost(party, how, error)
        return error

    def _is_cut(self, party: int) -> bool:
        """Whether the link to a party is what failed: its process is about to end, or has."""
        report = self.reports.get(party)
        place = report.where if report is not None and isinstance(report.where, Place) else Place()
        return isinstance(report, PeerError) and place.party is None

    def _lost(self, party: int, how: str, error: PartyError) -> PeerError:
        place = Place(party=party, phase=error.phase, round_no=error.round)
        found = PeerError(
            f"{party_name(party)} was lost", where=place, why=how, todo="run again: the parties are started anew"
        )
        found.reports = error.reports
        for note in getattr(error, "__notes__", ()):
            found.add_note(note)
        return found


class ProcessBackend(ClusterBackend):
    """Party processes over mutual TLS on loopback. cluster: the processes."""

    name = "processes"

    def __init__(self, cluster: Processes) -> None:
        super().__init__(cluster.pool, DRIVER, cluster.parties)
        self.cluster = cluster
        self._life = cluster.life

    def plays(self, owner: str) -> bool:
        """Everybody's work is done here."""
        return owner != Role.SECRET

    def called(self, owner: str) -> str:
        return self.me

    def program(self, flow: Flow) -> Program:
        return of_the_caller(flow.share)

    def temporary_until(self) -> int:
        return NEVER

    def loaded(self, flow: Flow) -> str:
        with self._turn():
            return super().loaded(flow)

    def entry(self, name: str) -> Entry:
        with self._turn():
            return super().entry(name)

    def call(self, flow: Flow, fed: Sequence[Any], asked: Asked) -> tuple[list[Any], RunStats]:
        with self._turn():
            self._check_held(fed)
            try:
                return super().call(flow, fed, asked)
            except RefusedError:  # They have let go of the program.
                return super().call(flow, fed, asked)

    def lease(self, name: str) -> Lease:
        lease = super().lease(name)
        lease.life = self.cluster.life
        return lease

    @contextlib.contextmanager
    def _turn(self) -> Generator[None]:
        with self.cluster.turn():
            if self._life is not self.cluster.life:
                self._life = self.cluster.life
                self._hashes.clear()
                self._gone.clear()
            yield

    def _check_held(self, fed: Sequence[Any]) -> None:
        for held in (x.pieces for x in fed if isinstance(x, Kept)):
            if isinstance(held, Held) and held.lease and held.lease.life is not self.cluster.life:
                raise ArgumentError(
                    f"the stored array {held.name!r} is lost",
                    why="a party failed and the parties were started anew; they store arrays in memory only",
                    todo="run the program that kept it again",
                )


@contextlib.contextmanager
def started(settings: Settings) -> Generator[ProcessBackend]:
    """The backend of parties that run while the block lasts; no call goes there by itself."""
    cluster = Processes(settings)
    try:
        yield ProcessBackend(cluster)
    finally:
        cluster.close()


@contextlib.contextmanager
def processes(
    *,
    deadline_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
    modules: Sequence[str] | None = None,
    parties: int = 3,
) -> Generator[ProcessBackend]:
    """Run secure calls in three operating-system processes of this machine, over mutual TLS 1.3 on loopback.

    deadline_s: how long a party waits for another in one round. environment: variables that the parties get; of
    this process's own they get a few (docs/security.md lists them). modules: what the parties import, for the ops that
    these declare (`jmpc.extend`), by default the modules that have declared ops here already; or for the family that
    they register. parties: how many, where that family has others than three. Certificates and keys are made on the
    spot, and no process is left behind. Raises LaunchError where a process cannot be started.
    """
    names = outside.modules() if modules is None else modules
    settings = Settings(
        deadline_s=deadline_s, environment=dict(environment or {}), modules=tuple(names), parties=parties
    )
    with started(settings) as backend, backends.use(backend):
        yield backend
