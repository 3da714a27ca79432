"""Parties that say what a test has them say: over real TLS, with the keys of a cluster, and nothing behind them."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from jmpc import __version__
from jmpc.cluster import Identity, Roster, make
from jmpc.errors import JMPCError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.requests import PROTOCOL, REQUESTS
from jmpc.runtime.tls import Endpoint
from tests.runtime.helpers import LONG_S, accepted_by

KINDS = ("load", "join", "put", "chunk", "commit", "values", "describe", "delete", "amend", "fetch", "status")
Answer = Callable[[int, ControlLink, str, dict[str, Any]], None]


class Fakes:
    """Three of them. answer: called with each request.  hello: what party 1 says instead of the truth.  refuse: party 1
    ends each link after TLS."""

    def __init__(
        self, folder: Path, answer: Answer, hello: Mapping[str, Any] | None = None, refuse: bool = False
    ) -> None:
        self.folder, self.links = folder / "cluster", [0, 0, 0]
        self._answer, self._hello, self._refuse = answer, dict(hello or {}), refuse
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        hosts = ["{}:{}".format(*listener.getsockname()) for listener in self.listeners]
        make.create(self.folder, make.Order(hosts, ["alice"], "three"), dt.datetime.now(dt.UTC))
        self.roster = Roster.read(self.folder / "cluster.toml")
        self._open: list[ControlLink] = []

    def __enter__(self) -> Fakes:
        for party in range(3):
            threading.Thread(target=self._listen, args=(party,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for party in range(3):
            self.stop(party)
        for link in self._open:
            link.hang_up()

    def stop(self, party: int) -> None:
        """Nobody listens any more where the party is."""
        if self.listeners[party].fileno() >= 0:
            self.listeners[party].shutdown(socket.SHUT_RDWR)
            self.listeners[party].close()

    def _listen(self, party: int) -> None:
        identity = Identity.read(self.folder / f"party-{party}", self.roster)
        endpoint = Endpoint(identity.credentials, self.roster.refusal)
        while True:
            try:
                sock, _ = self.listeners[party].accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(party, endpoint, sock), daemon=True).start()

    def _serve(self, party: int, endpoint: Endpoint, sock: socket.socket) -> None:
        tls = accepted_by(endpoint, sock, [self.roster.uri("client/alice")], soon())
        link = ControlLink(tls, party, "client alice", REQUESTS)
        self._open.append(link)
        self.links[party] += 1
        try:
            if self._refuse and party == 1:
                return
            link.receive(("hello",), soon())
            mine = {"protocol": PROTOCOL, "version": __version__, "roster": self.roster.parties_hash, "party": party}
            link.send("hello", mine | (self._hello if party == 1 else {}), soon())
            while link.alive:
                kind, fields = link.receive(KINDS, None)
                self._answer(party, link, kind, fields)
        except JMPCError:
            pass
        finally:
            link.close()


def reply(link: ControlLink, kind: str, fields: Mapping[str, Any], **more: Any) -> None:
    link.send(kind, fields, soon(), **more)


def failed(
    error: str, what: str = "no", why: str = "so it is", where: str = "here", relayed: bool = False
) -> dict[str, Any]:
    said = {"error": error, "what": what, "where": where, "why": why, "todo": [], "phase": "", "round": -1, "peer": ""}
    return {**said, "relayed": relayed}


def soon() -> float:
    return time.monotonic() + LONG_S
