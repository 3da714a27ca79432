"""The parties of `jmpc.processes()` as threads of this process: what they hold, and what they were sent."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
from collections.abc import Generator, Sequence

import numpy as np

from jmpc.client.links import Dialler
from jmpc.client.pool import Pool
from jmpc.client.processes import Life, ProcessBackend
from jmpc.daemon.child import Everything
from jmpc.daemon.handover import Handover, handovers
from jmpc.service.job import Join
from jmpc.service.jobs import Attempt, Jobs
from jmpc.service.limits import Limits
from jmpc.service.service import Service
from jmpc.store import MemoryStore
from tests.runtime.helpers import LONG_S


class Noting(Everything):
    """Keeps the texts that it is sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def submit(self, text: str, client: str) -> str:
        self.texts.append(text)
        return super().submit(text, client)


class PartiesHere:
    """For a `ProcessBackend`, in the place of `Processes`. fed: of each call, by party, by input, its arrays."""

    parties = 3

    def __init__(self) -> None:
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(self.parties)]
        addresses = [listener.getsockname()[:2] for listener in listeners]
        given, identity = handovers(addresses, LONG_S, LONG_S, dt.datetime.now(dt.UTC))
        self.stores = [MemoryStore() for _ in given]
        self.programs = [Noting() for _ in given]
        self.fed: list[dict[int, dict[int, Sequence[np.ndarray]]]] = []
        self.services = [self._service(mine, listener) for mine, listener in zip(given, listeners, strict=True)]
        self.pool, self.life = Pool(Dialler(given[0].everybody.roster, identity).open), Life()

    def _service(self, mine: Handover, listener: socket.socket) -> Service:
        service = Service(
            mine.everybody.roster,
            mine.identity,
            listener,
            self.stores[mine.party],
            self.programs[mine.party],
            limits=Limits(waiting_s=LONG_S),
        )
        service.jobs.join = self._noting(service.jobs)  # type: ignore[method-assign]
        return service

    def _noting(self, jobs: Jobs):
        join_there = jobs.join

        def join(join: Join) -> Attempt:
            if not self.fed or jobs.party in self.fed[-1]:
                self.fed.append({})
            self.fed[-1][jobs.party] = dict(join.arrays)
            return join_there(join)

        return join

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        yield

    @property
    def held(self) -> list[int]:
        """How many arrays each party holds."""
        return [sum(len(stored.parts) for stored in store.values()) for store in self.stores]


@contextlib.contextmanager
def parties_here() -> Generator[ProcessBackend]:
    here = PartiesHere()
    for service in here.services:
        service.start()
    try:
        assert all(service.peers.wait(LONG_S) for service in here.services)
        yield ProcessBackend(here)  # type: ignore[arg-type]
    finally:
        here.pool.close()
        for service in here.services:
            service.stop(0.0)
