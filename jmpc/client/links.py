"""A link to each party of a cluster, proven and greeted, for one request at a time.

In: a roster and an identity. Out: a `Bundle`, or an error that names the party which could not be reached, or which
disagrees. What is asked over a bundle is another file's (`asking.py`).
"""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from jmpc import __version__
from jmpc.cluster import Identity, Member, Roster
from jmpc.errors import HandshakeError, PeerError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, foreign, from_record, party_name
from jmpc.runtime.requests import PROTOCOL, REQUESTS
from jmpc.runtime.tls import Endpoint

_ALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))  # a host that is gone is noticed in 25 s
_HELLO = {
    "protocol": "run the same version of jmpc as the parties",
    "version": "run the same version of jmpc as the parties",
    "roster": "take the newest cluster.toml from who runs the cluster, and give the party the same",
    "party": "put each party's folder back to whom it is named for",
}


@dataclass(eq=False)
class Bundle:
    """A link to each party, in their order. deadline_s: for a party to take or send a message.  outstanding: requests
    that not all parties have answered.  broken: one of the links is not in step any more."""

    links: list[ControlLink]
    deadline_s: float
    outstanding: int = 0
    broken: bool = False

    @property
    def sound(self) -> bool:
        """Whether the next thing that comes answers the next request."""
        return not self.outstanding and not self.broken

    @property
    def idle(self) -> bool:
        """Nothing has come in since the last answer: neither a word that nobody asked for, nor the end of a link."""
        return self.sound and not any(link.ready() for link in self.links) and all(link.alive for link in self.links)

    def close(self) -> None:
        self.broken = True
        for link in self.links:
            link.close()


class Dialler:
    """Opens bundles. deadline_s: for each party, from the first packet to its greeting, and then for each message; that
    of a round by default."""

    def __init__(self, roster: Roster, identity: Identity, deadline_s: float | None = None) -> None:
        self.roster, self.deadline_s = roster, deadline_s or roster.deadlines.round_s
        self._endpoint = Endpoint(identity.credentials, roster.refusal)

    def open(self) -> Bundle:
        """Raises PeerError, HandshakeError or DeadlineError for the first party that cannot be had."""
        found = self.each()
        links = [link for link in found if isinstance(link, ControlLink)]
        errors = [error for error in found if isinstance(error, BaseException)]
        if not errors:
            return Bundle(links, self.deadline_s)
        for link in links:
            link.close()
        for other in errors[1:]:
            errors[0].add_note(f"and {other}")
        raise errors[0]

    def each(self) -> list[ControlLink | BaseException]:
        """Of each party a link, or why there is none."""
        with ThreadPoolExecutor(len(self.roster.parties)) as pool:  # one after the other would add up their latencies
            return list(pool.map(self._tried, self.roster.parties))

    def _tried(self, member: Member) -> ControlLink | BaseException:
        try:
            return self._dial(member)
        except BaseException as exc:
            return exc

    def _dial(self, member: Member) -> ControlLink:
        assert member.address is not None
        assert member.index is not None
        deadline = time.monotonic() + self.deadline_s
        name = party_name(member.index)
        place = Place(phase="handshake", peer=name)
        sock = _connected(member, place, deadline)
        link = ControlLink(self._endpoint.dial(sock, self.roster.uri(member.name), deadline), None, name, REQUESTS)
        try:
            self._greet(link, member, deadline)
        except BaseException:
            link.close()
            raise
        link.phase = "idle"
        return link

    def _greet(self, link: ControlLink, member: Member, deadline: float) -> None:
        mine: dict[str, Any] = {"protocol": PROTOCOL, "version": __version__, "roster": self.roster.parties_hash}
        try:
            link.send("hello", {**mine, "party": -1}, deadline)
            kind, theirs = link.receive(("hello", "failed"), deadline)
        except PeerError as exc:
            raise HandshakeError(
                f"{link.peer} does not let this client in",
                where=Place(phase="handshake", peer=link.peer),
                why="it ended the connection after TLS: it does not know this client's key, or knows it as revoked",
                todo=["compare cluster.toml with the party's: `jmpc cluster show` prints its hash", _HELLO["roster"]],
            ) from exc
        if kind == "failed":
            raise from_record(theirs, member.index or 0)
        wrong = [name for name, value in {**mine, "party": member.index}.items() if theirs[name] != value]
        if wrong:
            raise HandshakeError(
                f"{link.peer} disagrees on {' and '.join(wrong)}",
                where=Place(phase="handshake", peer=link.peer),
                why="both ends must have the same" if wrong != ["party"] else "another party answers at its address",
                todo=sorted({_HELLO[name] for name in wrong}),
            )


def _connected(member: Member, place: Place, deadline: float) -> socket.socket:
    assert member.address is not None
    try:
        sock = socket.create_connection(member.address, timeout=max(0.001, deadline - time.monotonic()))
    except OSError as exc:
        why = "it did not answer in time" if isinstance(exc, TimeoutError) else _words(exc)
        raise PeerError(
            f"{place.peer} cannot be reached at {member.place}",
            where=place,
            why=why,
            todo=["look whether the party runs, and whether this machine may connect to it", "jmpc doctor"],
        ) from exc
    with foreign(place):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _ALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def _words(exc: OSError) -> str:
    return (os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc.strerror or type(exc).__name__)).lower()
