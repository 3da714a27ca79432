"""One party's service as a process: `python -m tests.service.party_process`, told as JSON what it is.

In: the cluster's folder, which party, where it listens, where it reaches the others. Out, as lines of JSON in a file
that is added to: what its service says; and, of the keys of each session, a hash, so that a test sees that none is ever
used twice. It runs until its standard input ends, or it is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import jmpc.service.session as running
from jmpc.cluster import Identity, Roster
from jmpc.executors.engine import make_engine
from jmpc.runtime.door import BACKLOG
from jmpc.runtime.keys import PairKeys, pair_keys
from jmpc.service.events import Field
from jmpc.service.limits import Limits
from jmpc.service.service import Service
from jmpc.store import StorageKey, Store
from tests.service.three import AllowAll, Routed

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """store, key: of the party. routes: where it reaches each party.  log: the file of what it says."""

    folder: str
    party: int
    address: tuple[str, int]
    routes: list[tuple[str, int]]
    store: str
    key: str
    log: str
    waiting_s: float


class Log:
    """Events and hashes of keys, a line each."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = threading.Lock()

    def event(self, name: str, /, **fields: Field) -> None:
        self.line({"event": name, **fields})

    def keys(self, me: int, peer: int, session: bytes, made: PairKeys) -> None:
        hashed = {use: hashlib.sha256(getattr(made, use)).hexdigest()[:32] for use in ("mask", "send")}
        self.line({"event": "keys", "session": session.hex(), "pair": sorted((me, peer)), "me": me, **hashed})

    def line(self, said: dict[str, Any]) -> None:
        with self._lock:
            os.write(self._fd, json.dumps(said).encode() + b"\n")


def serve(settings: Settings) -> None:
    roster = Roster.read(Path(settings.folder) / "cluster.toml")
    identity = Identity.read(Path(settings.folder) / f"party-{settings.party}", roster)
    log = Log(settings.log)

    def logged(me: int, peer: int, mine: bytes, theirs: bytes, session: bytes, *more: Any) -> PairKeys:
        made = pair_keys(me, peer, mine, theirs, session, *more)
        log.keys(me, peer, session, made)
        return made

    running.pair_keys = logged
    store = Store.open(settings.store, StorageKey.read(settings.key))
    listener = socket.create_server(settings.address, backlog=BACKLOG)
    routed = Routed.of(roster, [tuple(route) for route in settings.routes])
    engine = make_engine(settings.party)
    limits = Limits(waiting_s=settings.waiting_s)
    service = Service(routed, identity, listener, store, AllowAll(), engine, limits, log)
    service.start()
    print("started", flush=True)
    sys.stdin.read()
    service.stop(1.0)
    store.close()


def spawn(errors: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A process that waits to be told which party it is."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.service.party_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def imported(process: subprocess.Popen[bytes]) -> None:
    """Wait until Python and JAX are there."""
    _says(process, b"imported\n")


def start(process: subprocess.Popen[bytes], settings: Settings) -> None:
    """Tell one that has imported all, and wait until its port is open."""
    assert process.stdin
    process.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
    process.stdin.flush()
    _says(process, b"started\n")


def _says(process: subprocess.Popen[bytes], said: bytes) -> None:
    assert process.stdout
    line = process.stdout.readline()
    assert line == said, (line, process.poll())


if __name__ == "__main__":
    print("imported", flush=True)
    said = json.loads(sys.stdin.readline())
    serve(Settings(**{**said, "address": tuple(said["address"])}))
