"""The standing links to the other parties: made, greeted, watched, and made again when they end.

In: the roster, this party's TLS. Out: for each peer a `PeerLink`, or an error that says that there is none, and since
why. Of two parties the one of the lower index dials. What a peer says goes to whoever was named for it; that a link
ended, too. This file knows no session.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from jmpc import __version__
from jmpc.cluster import Roster
from jmpc.errors import HandshakeError, PartyError, PeerError
from jmpc.runtime import pairing
from jmpc.runtime.control import ControlLink
from jmpc.runtime.duplex import Duplex
from jmpc.runtime.failure import Place, foreign, party_name
from jmpc.runtime.pairing import Half, PairSecret
from jmpc.runtime.tls import Endpoint
from jmpc.service.events import Observer
from jmpc.service.lines import Lines
from jmpc.service.words import GREETING, PEERS, PROTOCOL

GREET_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.25  # between two tries to dial: a party that comes back is missed no longer
_HINTS = {
    "protocol": "run the same version of jmpc everywhere",
    "version": "run the same version of jmpc everywhere",
    "roster": "give all parties the same cluster.toml: compare the hashes that `jmpc cluster show` prints",
    "party": "each party must know itself by its own index: look at `jmpc cluster check`",
}


Greeted = tuple[dict[str, Any], PairSecret]
Greet = Callable[[ControlLink, int, float], Greeted | None]


@dataclass(frozen=True, slots=True, eq=False)
class PeerLink:
    """One link, from the greeting to its end. certificate: what the peer proved itself by (DER).  sessions: how many
    the peer runs at once."""

    peer: int
    certificate: bytes
    duplex: Duplex
    secret: PairSecret
    lines: Lines
    sessions: int


class Peers:
    """receive: called with a peer's link and each message of it, in the link's thread.  lost: with a link and why it
    ended.  restore: with a link that a peer opened to have its disk restored, in a thread of its own."""

    def __init__(
        self,
        party: int,
        roster: Roster,
        endpoint: Endpoint,
        sessions: int,
        receive: Callable[[PeerLink, str, dict[str, Any]], None],
        lost: Callable[[PeerLink, str], None],
        restore: Callable[[ssl.SSLSocket, int], None],
        observer: Observer,
    ) -> None:
        self.party, self.sessions = party, sessions
        self._roster, self._endpoint = roster, endpoint
        self._receive, self._lost, self._restore, self._observer = receive, lost, restore, observer
        self._links: dict[int, PeerLink] = {}
        self._standing: set[PeerLink] = set()  # of which nobody was told yet that they ended
        self._why: dict[int, str] = {}
        self._changed = threading.Condition()
        self._open = True
        self._threads = [
            threading.Thread(target=self._keep_dialing, args=(peer,), name=f"jmpc dial {peer}", daemon=True)
            for peer in self.others
            if peer > party
        ]

    @property
    def others(self) -> list[int]:
        return [peer for peer in range(len(self._roster.parties)) if peer != self.party]

    @property
    def connected(self) -> list[int]:
        with self._changed:
            return [peer for peer, link in self._links.items() if link.duplex.alive]

    @property
    def ready(self) -> bool:
        return len(self.connected) == len(self.others)

    @property
    def most_sessions(self) -> int:
        """How many all parties can run at once."""
        with self._changed:
            return min([self.sessions, *(link.sessions for link in self._links.values())])

    @property
    def links(self) -> dict[int, PeerLink]:
        """Those that there are now, by peer."""
        with self._changed:
            return dict(self._links)

    def whole(self, links: Mapping[int, PeerLink]) -> Mapping[int, PeerLink]:
        """The same links, one to each peer. Raises PeerError."""
        for peer in self.others:
            if peer not in links:
                raise self._missing(peer)
        return links

    def stands(self, link: PeerLink) -> bool:
        """Whether a link is the one to its peer: `lost` is called once it is not, not before."""
        with self._changed:
            return self._links.get(link.peer) is link

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        with self._changed:
            self._open = False
            links = list(self._links.values())
            self._changed.notify_all()
        for link in links:
            link.duplex.close()
            link.lines.close()
        for thread in self._threads:
            thread.join()

    @property
    def roster_hash(self) -> bytes:
        return bytes.fromhex(self._roster.hash)

    def renew(self, roster: Roster, endpoint: Endpoint) -> None:
        """Another revision of the cluster's file, or another certificate of this party: links to peers that count and
        are where they were go on, so that what runs is not disturbed."""
        with self._changed:
            old, self._roster, self._endpoint = self._roster, roster, endpoint
            links = list(self._links.values())
        for link in links:
            before, after = old.parties[link.peer], roster.parties[link.peer]
            if before.address != after.address:
                self._end(link, "its address has changed")
        self.look()

    def look(self) -> None:
        """End the links of peers whose certificate does not count any more: revoked, exchanged, or over."""
        with self._changed:
            roster, links = self._roster, list(self._links.values())
        for link in links:
            if why := gone(roster, roster.parties[link.peer].name, link.certificate):
                self._end(link, why)

    def _end(self, link: PeerLink, why: str) -> None:
        link.duplex.close()
        self._ended(link, why)

    def link(self, peer: int) -> PeerLink:
        """Raises PeerError where there is none now."""
        found = self.links.get(peer)
        if found is None or not found.duplex.alive:
            raise self._missing(peer)
        return found

    def tell(self, kind: str, fields: dict[str, Any], links: Sequence[PeerLink] = ()) -> None:
        """Over some links, or all. Who is gone needs not be told."""
        for link in links or self.links.values():
            with suppress(PartyError):
                link.duplex.send(kind, fields)

    def _missing(self, peer: int) -> PeerError:
        name = party_name(peer)
        with self._changed:
            why = self._why.get(peer, "it has not connected yet")
        return PeerError(
            f"{name} is not connected",
            where=Place(party=self.party, phase="handshake", peer=name),
            why=why,
            todo=f"see whether {name} runs and is reached from party {self.party}: jmpc doctor",
        )

    def wait(self, timeout_s: float) -> bool:
        """Until all peers are connected; whether they are."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._links) == len(self._roster.parties) - 1 or not self._open, timeout_s
            )

    def accept(self, sock: ssl.SSLSocket, peer: int) -> None:
        """A peer that dialed, and proved to be `peer`: greet it, in a thread of its own."""
        try:
            threading.Thread(target=self._answer, args=(sock, peer), name=f"jmpc greet {peer}", daemon=True).start()
        except RuntimeError:  # no thread to be had: the peer dials again
            sock.close()
            raise

    def admit_line(self, sender: int, receiver: int, number: int, tag: bytes, sock: socket.socket) -> bool:
        """A bulk line that came in."""
        with self._changed:
            link = self._links.get(sender)
        return receiver == self.party and link is not None and link.lines.admit(number, tag, sock)

    def _keep_dialing(self, peer: int) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._open or peer not in self._links)
                if not self._open:
                    return
            if self._dial(peer):
                wait_s = FIRST_WAIT_S
                continue
            with self._changed:
                if self._changed.wait_for(lambda: not self._open, wait_s):
                    return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _dial(self, peer: int) -> bool:
        member, deadline = self._roster.parties[peer], time.monotonic() + GREET_S
        place = Place(party=self.party, phase="handshake", peer=party_name(peer))
        try:
            assert member.address is not None
            with foreign(place):
                raw = socket.create_connection(member.address, timeout=GREET_S)
            sock = self._endpoint.dial(raw, self._roster.uri(member.name), deadline)
        except PartyError as exc:
            self._refused(peer, exc)
            return False
        return self._greeted(sock, peer, self._asks)

    def _answer(self, sock: ssl.SSLSocket, peer: int) -> None:
        """A link that a peer dialed: to stand, if its index is lower; or to have its disk restored."""
        self._greeted(sock, peer, self._answers)

    def _greeted(self, sock: ssl.SSLSocket, peer: int, greet: Greet) -> bool:
        """Whether a link stands now."""
        control = ControlLink(sock, self.party, party_name(peer), GREETING)
        try:
            with foreign(Place(party=self.party, phase="handshake", peer=party_name(peer))):
                found = greet(control, peer, time.monotonic() + GREET_S)
        except PartyError as exc:
            control.close()
            self._refused(peer, exc)
            return False
        if found is None:
            self._restore(sock, peer)
            return False
        theirs, secret = found
        self._stand(sock, peer, secret, theirs["sessions"])
        return True

    def _asks(self, control: ControlLink, peer: int, deadline: float) -> Greeted:
        dialer = pairing.Dialer()
        control.send("hello", self._hello(dialer.half), deadline)
        _, theirs = control.receive(("hello",), deadline)
        self._compare(theirs, peer)
        return theirs, dialer.secret(_half(theirs), self.roster_hash)

    def _answers(self, control: ControlLink, peer: int, deadline: float) -> Greeted | None:
        """None for a link that is to restore."""
        kinds = ("hello", "restore") if peer < self.party else ("restore",)
        kind, theirs = control.receive(kinds, deadline)
        if kind == "restore":
            self._compare(theirs, peer)
            return None
        mine, secret = pairing.answer(_half(theirs), self.roster_hash)
        control.send("hello", self._hello(mine), deadline)
        self._compare(theirs, peer)
        return theirs, secret

    def _hello(self, half: Half) -> dict[str, Any]:
        return {
            **self._terms(self.party),
            "nonce": half.nonce,
            "x25519": half.x25519,
            "kem": half.kem,
            "sessions": self.sessions,
        }

    def _terms(self, party: int) -> dict[str, Any]:
        return terms(self._roster, party)

    def _compare(self, theirs: dict[str, Any], peer: int) -> None:
        wrong = [name for name, value in self._terms(peer).items() if theirs[name] != value]
        if wrong:
            raise HandshakeError(
                f"{party_name(peer)} disagrees on {' and '.join(wrong)}",
                where=Place(party=self.party, phase="handshake", peer=party_name(peer)),
                why="both ends must have the same",
                todo=sorted({_HINTS[name] for name in wrong}),
            )

    def _stand(self, sock: ssl.SSLSocket, peer: int, secret: PairSecret, sessions: int) -> None:
        address = self._roster.parties[peer].address if peer > self.party else None
        lines = Lines(self.party, peer, secret, address, idle=min(self.sessions, sessions))
        holder: list[PeerLink] = []
        duplex = Duplex(
            sock,
            party_name(peer),
            PEERS,
            lambda kind, fields: self._receive(holder[0], kind, fields),
            lambda why: self._ended(holder[0], why),
        )
        link = PeerLink(peer, sock.getpeercert(binary_form=True) or b"", duplex, secret, lines, sessions)
        holder.append(link)
        with self._changed:
            old = self._links.get(peer)
            self._links[peer] = link
            self._standing.add(link)
            self._why.pop(peer, None)
            is_open = self._open
            self._changed.notify_all()
        duplex.start()
        if old is not None:
            old.duplex.close()
            self._ended(old, "it connected again")
        if not is_open:
            duplex.close()
            lines.close()
        self._observer.event("peer connected", peer=party_name(peer), post_quantum=secret.post_quantum)

    def _ended(self, link: PeerLink, why: str) -> None:
        """Once for each link: its own thread may find it dead while another replaces it."""
        with self._changed:
            if link not in self._standing:
                return
            self._standing.remove(link)
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
                self._why[link.peer] = why
            self._changed.notify_all()
        link.lines.close()
        self._observer.event("peer lost", peer=party_name(link.peer), why=why)
        self._lost(link, why)

    def _refused(self, peer: int, exc: PartyError) -> None:
        why = f"{exc.what}: {exc.why}" if exc.why else exc.what
        with self._changed:
            known = self._why.get(peer)
            self._why[peer] = why
        if known != why:  # It is tried again and again, and said once.
            self._observer.event("peer refused", peer=party_name(peer), why=why)


def gone(roster: Roster, member: str, certificate: bytes) -> str:
    """Why a certificate that counted once does not any more, or ""."""
    if not any(known.name == member for known in roster.members):
        return "it is not in the cluster any more"
    if x509.load_der_x509_certificate(certificate).not_valid_after_utc < dt.datetime.now(dt.UTC):
        return "its certificate is over"
    return roster.refusal(roster.uri(member), certificate)


def terms(roster: Roster, party: int) -> dict[str, Any]:
    """What both ends of a link must say alike, but for the party."""
    return {"protocol": PROTOCOL, "version": __version__, "roster": roster.hash, "party": party}


def _half(hello: dict[str, Any]) -> Half:
    return Half(hello["nonce"], hello["x25519"], hello["kem"])
