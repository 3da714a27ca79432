"""Three parties of a cluster in threads of this process: real TLS, real stores, ports of this machine.

with Three(tmp_path, clients=["alice", "bob"]) as three:
    jmpc.connect(three.folder, identity=three.folder / "client-alice")
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from jmpc.cluster import Identity, Roster, make
from jmpc.runtime.door import BACKLOG
from jmpc.service.events import Field
from jmpc.service.limits import Limits
from jmpc.service.service import Service
from jmpc.store import StorageKey, Store

LOOPBACK = "127.0.0.1"
READY_S = 20.0


class AllowAll:
    """Programs that anybody may run: as an operator would have it who trusts all clients."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.runs: list[tuple[str, str]] = []

    def submit(self, text: str, client: str) -> str:
        program = hashlib.sha256(text.encode()).hexdigest()
        self.texts[program] = text
        return program

    def refusal(self, program: str, client: str) -> str:
        return self.refused.get(program, "")

    def text(self, program: str) -> str | None:
        return self.texts.get(program)

    def started(self, program: str, client: str) -> None:
        self.runs.append((program, client))


class Events:
    """Keeps what a service says."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Field]]] = []

    def event(self, name: str, /, **fields: Field) -> None:
        self.seen.append((name, fields))

    def named(self, name: str) -> list[dict[str, Field]]:
        return [fields for seen, fields in self.seen if seen == name]


class Consent:
    """To whom a party's operator lets be given what it lost."""

    def __init__(self) -> None:
        self.parties: set[int] = set()

    def refusal(self, party: int) -> str:
        return "" if party in self.parties else "nobody has said so"


class Three:
    """A cluster in a folder. limits: by party, if not the same for all. A party may be stopped and started again."""

    def __init__(
        self,
        folder: Path,
        clients: list[str],
        limits: Limits | None = None,
        round_s: float = 20.0,
        parties: int = 3,
    ) -> None:
        self.folder = folder / "cluster"
        self.listeners = [socket.create_server((LOOPBACK, 0), backlog=BACKLOG) for _ in range(parties)]
        self.addresses = [listener.getsockname()[:2] for listener in self.listeners]
        hosts = [f"{host}:{port}" for host, port in self.addresses]
        make.create(self.folder, make.Order(hosts, clients, "three", 90, True, "", None), dt.datetime.now(dt.UTC))
        path = self.folder / "cluster.toml"
        path.write_text(path.read_text().replace("round_s = 60.0", f"round_s = {round_s!r}"))
        self.roster = Roster.read(path)
        self.limits = limits or Limits(waiting_s=20.0)
        self.programs = [AllowAll() for _ in range(parties)]
        self.events = [Events() for _ in range(parties)]
        self.allowed = [Consent() for _ in range(parties)]
        self.services: list[Service | None] = [None] * parties
        self.stores: list[Any] = [None] * parties
        self.keys = [StorageKey.create(folder / f"storage-{party}.key") for party in range(parties)]
        for party, key in enumerate(self.keys):
            Store.create(folder / f"store-{party}", key)
        self._root = folder

    def start(self, party: int) -> Service:
        """Start a party, again if it was stopped: on the same port, with the same store."""
        if self.listeners[party].fileno() < 0:
            self.listeners[party] = socket.create_server(self.addresses[party], backlog=BACKLOG)
        identity = Identity.read(self.folder / f"party-{party}", self.roster)
        store = self.stores[party] = Store.open(self._root / f"store-{party}", self.keys[party])
        service = Service(
            self.roster,
            identity,
            self.listeners[party],
            store,
            self.programs[party],
            limits=self.limits,
            observer=self.events[party],
            allowed=self.allowed[party],
        )
        service.start()
        self.services[party] = service
        return service

    def stop(self, party: int, grace_s: float = 10.0) -> None:
        service = self.services[party]
        if service is not None:
            self.services[party] = None
            service.stop(grace_s)
            self.stores[party].close()

    def lose_disk(self, party: int) -> Store:
        """Stop a party and destroy its store; returns an empty one, with a new key."""
        self.stop(party)
        shutil.rmtree(self._root / f"store-{party}")
        self.keys[party] = StorageKey.create(self._root / f"storage-{party}-{os.urandom(4).hex()}.key")
        Store.create(self._root / f"store-{party}", self.keys[party])
        return self.reopen(party)

    def reopen(self, party: int) -> Store:
        """The store of a party that is stopped."""
        return Store.open(self._root / f"store-{party}", self.keys[party])

    def __enter__(self) -> Three:
        for party in range(len(self.services)):
            self.start(party)
        self.wait()
        return self

    def wait(self) -> None:
        """Until all parties that run know all others."""
        for service in self.services:
            assert service is not None
            assert service.peers.wait(READY_S), service.peers.connected

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for party in range(len(self.services)):
            self.stop(party, 0.5)
        for listener in self.listeners:
            listener.close()
