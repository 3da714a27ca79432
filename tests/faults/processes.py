"""Three parties as processes behind a relay: killed, stopped, cut off, and started again.

What goes in: a folder, a deadline. What comes out: a cluster that a raw client talks to, and what its parties logged.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from jmpc.cluster import Roster, make
from jmpc.errors import PartyError
from jmpc.store import StorageKey, Store
from jmpc.testing.faults.injection import Injection
from jmpc.testing.faults.relay import Relay
from tests.service.party_process import Settings, imported, spawn, start
from tests.service.raw_client import RawClient, soon
from tests.service.three import LOOPBACK

PARTIES = 3
READY_S = 60.0  # a busy machine starts three interpreters
WAITING_S = 30.0
_LOOK_S = 0.02


class Processes:
    """As a context. `folder`, `roster`, `addresses` are what `RawClient` asks for."""

    def __init__(self, folder: Path, round_s: float, waiting_s: float = WAITING_S) -> None:
        self._waiting_s = waiting_s
        self.injection = Injection()
        self.relay = Relay(self.injection)
        listening = [_free_port() for _ in range(PARTIES)]
        self.addresses = self.relay.route(listening)
        self.folder = folder / "cluster"
        hosts = [f"{host}:{port}" for host, port in self.addresses]
        order = make.Order(hosts, ["alice", "bob"], "killed", 90, True, "", None)
        make.create(self.folder, order, dt.datetime.now(dt.UTC))
        path = self.folder / "cluster.toml"
        path.write_text(path.read_text().replace("round_s = 60.0", f"round_s = {round_s!r}"))
        self.roster = Roster.read(path)
        self.logs = [folder / f"log-{party}" for party in range(PARTIES)]
        self.errors = (folder / "stderr").open("ab")
        self._settings = [self._setting(folder, party, listening[party]) for party in range(PARTIES)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._imported: list[subprocess.Popen[bytes]] = []
        self._spare = [spawn(self.errors) for _ in range(PARTIES)]

    def _setting(self, folder: Path, party: int, address: tuple[str, int]) -> Settings:
        store, key = folder / f"store-{party}", folder / f"storage-{party}.key"
        Store.create(store, StorageKey.create(key))
        routes = [tuple(route) for route in self.relay.routes_of(party)]
        paths = str(store), str(key), str(self.logs[party])
        return Settings(str(self.folder), party, address, routes, *paths, self._waiting_s)  # pyright: ignore[reportArgumentType]

    def prepare(self) -> None:
        """Have a process that has imported all: what takes longest is done while a party still lives."""
        self._spare = self._spare or [spawn(self.errors)]
        if self._spare[0] not in self._imported:
            imported(self._spare[0])
            self._imported.append(self._spare[0])

    def start(self, party: int) -> None:
        self.prepare()
        process = self._spare.pop(0)
        start(process, self._settings[party])
        self._running[party] = process

    def kill(self, party: int) -> None:
        process = self._running.pop(party)
        process.kill()
        _ended(process)

    def signal(self, party: int, number: int) -> None:
        os.kill(self._running[party].pid, number)

    def __enter__(self) -> Processes:
        for party in range(PARTIES):
            self.start(party)
        self.client = RawClient(self, "alice")  # pyright: ignore[reportArgumentType]
        self.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.__exit__()
        for process in (*self._running.values(), *self._spare):
            process.send_signal(signal.SIGCONT)
            process.kill()
            _ended(process)
        self.errors.close()
        self.relay.close()

    def reconnect(self, party: int) -> None:
        """The client's link to a party that was started again."""
        self.client.links[party].close()
        until = time.monotonic() + READY_S
        while True:
            try:
                self.client.links[party] = self.client.dial(party)
                break
            except PartyError:
                assert time.monotonic() < until
        self.client.links[party].send("hello", self.client.hello(), soon())
        self.client.links[party].receive(("hello",), soon())

    def wait(self) -> None:
        """Until every party says that it knows the others."""
        until = time.monotonic() + READY_S
        while not all(state["ready"] for state in self.states()):
            assert time.monotonic() < until, "the parties did not find each other"
            time.sleep(_LOOK_S)  # who comes back needs the processor more

    def states(self) -> list[dict[str, Any]]:
        return [json.loads(fields["text"]) for _, fields in self.client.answers("status", {}, "state")]

    def said(self) -> list[dict[str, Any]]:
        """What all parties logged, over all their lives."""
        lines = [line for log in self.logs for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines]


def repeats(said: list[dict[str, Any]]) -> list[str]:
    """What ought to be new each time and was not: a session at a party, a key of a pair or of a direction."""
    keys = [line for line in said if line["event"] == "keys"]
    sessions = Counter((line["session"], line["me"], tuple(line["pair"])) for line in keys)
    found = [f"session {session[:16]} twice" for (session, _, _), count in sessions.items() if count > 1]
    masks: dict[str, set[tuple[str, tuple[int, ...]]]] = {}
    for line in keys:
        masks.setdefault(line["mask"], set()).add((line["session"], tuple(line["pair"])))
    found += [f"a mask key is used {len(uses)} times" for uses in masks.values() if len(uses) > 1]
    sends = Counter(line["send"] for line in keys)
    found += [f"a transport key is used {count} times" for count in sends.values() if count > 1]
    return found + ["a mask key is a transport key"] * bool(set(masks) & set(sends))


def _free_port() -> tuple[str, int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[:2]


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
