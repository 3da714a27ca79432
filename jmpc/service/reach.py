"""Whether a member of a cluster reaches its parties: name, port, TLS, certificates, versions, the cluster's file.

In: the roster, a member's identity. Out: a fault for each party that is not as it must be, with what to do. Each step
is tried as a real connection does it, and nothing is asked that changes anything at the party.
"""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass

from jmpc import __version__
from jmpc.cluster import Fault, Identity, Roster
from jmpc.cluster.members import Member
from jmpc.cluster.names import index_of
from jmpc.errors import DeadlineError, HandshakeError, JMPCError, PartyError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import COMPARE_FILES, from_record, party_name
from jmpc.runtime.requests import PROTOCOL, REQUESTS
from jmpc.runtime.tls import Endpoint
from jmpc.service.peers import terms
from jmpc.service.words import RESTORE

PATIENCE_S = 5.0
_TEST = "on that machine: jmpc party status; here: ping, traceroute, and whether a firewall lets the port through"
_VERSIONS = "run the same version of jmpc everywhere: pip show jmpc"


@dataclass(frozen=True, slots=True)
class Reached:
    """What was found of one party. seconds: from the first packet to its answer."""

    party: int
    seconds: float
    fault: Fault | None = None


def reach(roster: Roster, identity: Identity, patience_s: float = PATIENCE_S) -> list[Reached]:
    """Try each party, other than the member itself."""
    endpoint = Endpoint(identity.credentials, roster.refusal)
    return [
        _reached(roster, identity, endpoint, member, patience_s)
        for member in roster.parties
        if member.name != identity.name
    ]


def _reached(roster: Roster, identity: Identity, endpoint: Endpoint, member: Member, patience_s: float) -> Reached:
    assert member.index is not None
    assert member.address is not None
    began = time.monotonic()
    fault = _unresolved(member)
    if fault is None:
        try:
            raw = socket.create_connection(member.address, timeout=patience_s)
        except OSError as exc:
            fault = _unconnected(member, exc)
        else:
            fault = _ungreeted(roster, identity, endpoint, member, raw, began + patience_s)
    return Reached(member.index, time.monotonic() - began, fault)


def _unresolved(member: Member) -> Fault | None:
    assert member.address is not None
    try:
        socket.getaddrinfo(*member.address, type=socket.SOCK_STREAM)
    except OSError as exc:
        todo = "look at the address in cluster.toml, and at this machine's name service"
        what = f"{member.name}: no such host {member.address[0]}"
        return Fault("unknown-host", what, member.place, str(exc.strerror).lower(), todo)
    return None


def _unconnected(member: Member, exc: OSError) -> Fault:
    if isinstance(exc, TimeoutError):
        what, why = "does not answer", "no packet came back: a firewall, or the machine is off"
    elif exc.errno == errno.ECONNREFUSED:
        what, why = "is not there", "its machine answers, and nobody listens at the port"
    else:
        what, why = "cannot be reached", (exc.strerror or type(exc).__name__).lower()
    return Fault("unreachable", f"{member.name} {what}", member.place, why, _TEST)


def _ungreeted(
    roster: Roster, identity: Identity, endpoint: Endpoint, member: Member, raw: socket.socket, deadline: float
) -> Fault | None:
    """What TLS or the greeting of jmpc is refused for."""
    assert member.index is not None
    name = party_name(member.index)
    try:
        sock = endpoint.dial(raw, roster.uri(member.name), deadline)
    except HandshakeError as exc:
        todo = f"at both ends: jmpc cluster check; {COMPARE_FILES}"
        return Fault("refused", f"{member.name} is not who it must be, or refuses us", member.place, exc.why, todo)
    except DeadlineError:
        why = "it took the connection and said nothing: it is busy, or something else listens there"
        return Fault("silent", f"{member.name} does not speak TLS", member.place, why, _TEST)
    except PartyError as exc:
        why = f"{exc.why or exc.what}: something else listens there, or it does not know our key"
        return Fault("refused", f"{member.name} ended the connection", member.place, why, COMPARE_FILES)
    party = index_of(identity.name)
    link = ControlLink(sock, party, name, REQUESTS if party is None else RESTORE)
    try:
        said = (
            _client_greeting(link, roster, deadline)
            if party is None
            else _party_greeting(link, roster, party, deadline)
        )
    except PartyError as exc:
        why = (
            f"{exc.why or exc.what}: it does not know our key, knows it as revoked, or is of another version or cluster"
        )
        return Fault("refused", f"{member.name} ended the connection after TLS", member.place, why, COMPARE_FILES)
    finally:
        link.close()
    if said is None:
        return None
    return Fault("disagrees", f"{member.name} disagrees on {said}", member.place, "both ends must have the same", (
        _VERSIONS if said in ("version", "protocol") else COMPARE_FILES
    ))  # fmt: skip


def _client_greeting(link: ControlLink, roster: Roster, deadline: float) -> str | None:
    mine = {"protocol": PROTOCOL, "version": __version__, "roster": roster.parties_hash}
    link.send("hello", {**mine, "party": -1}, deadline)
    _, theirs = link.receive(("hello",), deadline)
    return next((name for name, value in mine.items() if theirs[name] != value), None)


def _party_greeting(link: ControlLink, roster: Roster, party: int, deadline: float) -> str | None:
    """A party asks whether it could be restored: the answer, yes or no, shows that all else is right."""
    link.send("restore", terms(roster, party), deadline)
    kind, said = link.receive(("welcome", "failed"), deadline)
    if kind == "failed":
        error: JMPCError = from_record(said, party)
        return None if error.what.endswith("gives nothing back") else error.what
    return None
