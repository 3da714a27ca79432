"""How a process joins its cluster: control links to everybody, each proven and greeted.

In: addresses, a listener, credentials, terms. Out: a control link for each other process. The lower party
index dials and the driver dials all, so no two wait for one another. Strangers are dropped (door.py). This file makes
no bulk link.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Sequence

import msgpack

from jmpc.errors import DeadlineError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.door import Door
from jmpc.runtime.failure import Place, foreign
from jmpc.runtime.handshake import Terms, greet
from jmpc.runtime.identity import DRIVER, name_of, party_identity
from jmpc.runtime.tls import Endpoint

Address = tuple[str, int]


def roster_hash(addresses: Sequence[Address], ca: bytes) -> str:
    """One hash for who is where, and who vouches for them."""
    rows = [[party_identity(index), host, port] for index, (host, port) in enumerate(addresses)]
    return hashlib.sha256(msgpack.packb([rows, ca])).hexdigest()


def config_hash(factory: str, deadline_s: float, modules: Sequence[str] = ()) -> str:
    """One hash for the settings that all parties must share."""
    return hashlib.sha256(msgpack.packb([factory, float(deadline_s), list(modules)])).hexdigest()


def dial(
    address: Address, expected: str, endpoint: Endpoint, terms: Terms, party: int | None, deadline: float
) -> ControlLink:
    """Connect to a party, prove each other, greet."""
    with foreign(Place(party=party, phase="handshake", peer=name_of(expected))):
        sock = socket.create_connection(address, timeout=max(0.001, deadline - time.monotonic()))
    link = ControlLink(endpoint.dial(sock, expected, deadline), party, name_of(expected))
    return _greeted(link, terms, deadline)


def join(
    party: int, listener: socket.socket, addresses: Sequence[Address], endpoint: Endpoint, terms: Terms, deadline: float
) -> dict[str, ControlLink]:
    """A party's control links by identity: to all peers and the driver."""
    links = {
        party_identity(peer): dial(addresses[peer], party_identity(peer), endpoint, terms, party, deadline)
        for peer in range(party + 1, len(addresses))
    }
    awaited = [party_identity(peer) for peer in range(party)] + [DRIVER]
    with Door(listener, lambda sock: endpoint.accepting(sock, awaited)) as door:
        while awaited:
            sock, identity = _admitted(door, Place(party=party, phase="handshake", peer=_names(awaited)), deadline)
            if identity not in awaited:
                sock.close()  # It is connected already.
                continue
            links[identity] = _greeted(ControlLink(sock, party, name_of(identity)), terms, deadline)
            awaited.remove(identity)
    return links


def _admitted(door: Door[tuple[ssl.SSLSocket, str]], place: Place, deadline: float) -> tuple[ssl.SSLSocket, str]:
    """The next connection that proves to be awaited; what was refused meanwhile is told where none comes."""
    try:
        return door.admit(deadline)
    except TimeoutError as exc:
        others = f"; {door.refused} others were refused, the last since: {door.reason}" if door.refused else ""
        why = "no connection proved who it is before the deadline" + others
        raise DeadlineError(f"{place.peer} did not connect in time", where=place, why=why) from exc


def _names(identities: Sequence[str]) -> str:
    return " or ".join(map(name_of, identities))


def _greeted(link: ControlLink, terms: Terms, deadline: float) -> ControlLink:
    try:
        greet(link, terms, deadline)
    except BaseException:
        link.close()
        raise
    return link
