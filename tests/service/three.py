"""Three parties of a cluster in threads of this process: real TLS, real stores, ports of this machine.

with Three(tmp_path, clients=["alice", "bob"]) as three:
    jmpc.connect(three.folder, identity=three.folder / "client-alice")
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from jmpc.cluster import Identity, Roster, make
from jmpc.cluster.names import Address
from jmpc.executors.engine import PartyEngine
from jmpc.runtime.door import BACKLOG
from jmpc.service.events import Field
from jmpc.service.limits import Limits
from jmpc.service.service import Service
from jmpc.store import Disk, StorageKey, Store
from jmpc.store.store import ClientQuota
from jmpc.testing.faults.relay import Relay

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
        self._more = threading.Condition()

    def event(self, name: str, /, **fields: Field) -> None:
        with self._more:
            self.seen.append((name, fields))
            self._more.notify_all()

    def wait(self, name: str, *words: str, **said: Field) -> dict[str, Field]:
        """The first event of a name that says all words, and has these fields, once it is there."""

        def found() -> list[dict[str, Field]]:
            named = [fields for fields in self.named(name) if said.items() <= fields.items()]
            texts = [(fields, " ".join(map(str, fields.values()))) for fields in named]
            return [fields for fields, text in texts if all(word in text for word in words)]

        with self._more:
            assert self._more.wait_for(lambda: bool(found()), READY_S), (name, words, self.seen)
            return found()[0]

    def named(self, name: str) -> list[dict[str, Field]]:
        return [fields for seen, fields in self.seen if seen == name]


class Consent:
    """To whom a party's operator lets be given what it lost."""

    def __init__(self) -> None:
        self.parties: set[int] = set()

    def refusal(self, party: int) -> str:
        return "" if party in self.parties else "nobody has said so"


@dataclass(frozen=True, slots=True)
class Routed(Roster):
    """As its party sees it that reaches the others elsewhere than the file says: whoever compares sees the file."""

    said: str = ""
    said_of_parties: str = ""

    @classmethod
    def of(cls, roster: Roster, routes: Sequence[Address]) -> Routed:
        fields = {field.name: getattr(roster, field.name) for field in dataclasses.fields(Roster)}
        moved = [
            dataclasses.replace(member, address=route) for member, route in zip(roster.parties, routes, strict=True)
        ]
        return cls(**{**fields, "parties": tuple(moved)}, said=roster.hash, said_of_parties=roster.parties_hash)

    @property
    def hash(self) -> str:
        return self.said

    @property
    def parties_hash(self) -> str:
        return self.said_of_parties


class Three:
    """A cluster in a folder. relay: all connections go through it.  engines: makes that of a party, None for the usual
    one.  A party may be stopped and started again."""

    def __init__(
        self,
        folder: Path,
        clients: list[str],
        limits: Limits | None = None,
        round_s: float = 20.0,
        parties: int = 3,
        relay: Relay | None = None,
        engines: Callable[[int], PartyEngine | None] = lambda party: None,
    ) -> None:
        self.folder = folder / "cluster"
        self.listeners = [socket.create_server((LOOPBACK, 0), backlog=BACKLOG) for _ in range(parties)]
        self.listening = [listener.getsockname()[:2] for listener in self.listeners]
        self.addresses = relay.route(self.listening) if relay else self.listening
        self.relay, self.engines = relay, engines
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
        self.disks: list[Disk | None] = [None] * parties
        self.quota: int | None = None
        self.client_quota: ClientQuota | None = None
        self.keys = [StorageKey.create(folder / f"storage-{party}.key") for party in range(parties)]
        for party, key in enumerate(self.keys):
            Store.create(folder / f"store-{party}", key)
        self._root = folder

    def start(self, party: int, own: int | None = None) -> Service:
        """Start a party, again if it was stopped: on the same port, with the same store. own: whose identity it has, if
        not its own."""
        if self.listeners[party].fileno() < 0:
            self.listeners[party] = socket.create_server(self.listening[party], backlog=BACKLOG)
        identity = Identity.read(self.folder / f"party-{party if own is None else own}", self.roster)
        path, disk = self._root / f"store-{party}", self.disks[party]
        quotas: dict[str, Any] = {"quota": self.quota, "client_quota": self.client_quota}
        store = self.stores[party] = Store.open(path, self.keys[party], disk=disk, **quotas)
        roster = Routed.of(self.roster, self.relay.routes_of(party)) if self.relay else self.roster
        service = Service(
            roster,
            identity,
            self.listeners[party],
            store,
            self.programs[party],
            engine=self.engines(party),
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
