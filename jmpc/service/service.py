"""A party: one port, standing links to the other parties, clients, jobs, stored values.

In: who it is, its roster, store, approved programs and limits. Out: a service that runs until it is stopped. The
first byte of a connection says what it is: TLS (a party or a client, as its certificate says), or a bulk line between
parties.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

from jmpc import __version__
from jmpc.cluster import Identity, Roster
from jmpc.cluster.names import CLIENT, index_of
from jmpc.errors import ConfigError
from jmpc.executors.engine import PartyEngine
from jmpc.runtime.door import Door, Proof
from jmpc.runtime.tls import Endpoint, first_byte
from jmpc.service import lines
from jmpc.service.clients import Clients, Programs
from jmpc.service.donor import Allowed, Donor, Nothing
from jmpc.service.events import Nobody, Observer
from jmpc.service.jobs import Jobs
from jmpc.service.library import Library
from jmpc.service.limits import Limits
from jmpc.service.peers import PeerLink, Peers, gone
from jmpc.service.refusals import Refusals
from jmpc.service.uploads import Uploads
from jmpc.service.values import Values
from jmpc.store import AnyStore

TLS = 0x16  # the first byte of a handshake record
_LOOK_S = 0.5  # how often the door looks whether it is to close
CERTIFICATES_S = 60.0  # how often those that stand are looked at


class Service:
    """Made, started, stopped; once."""

    def __init__(
        self,
        roster: Roster,
        identity: Identity,
        listener: socket.socket,
        store: AnyStore,
        programs: Programs,
        engine: PartyEngine | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        """allowed: which parties may be given what they lost; none by default. Raises ConfigError for an identity that
        is no party's."""
        party = index_of(identity.name)
        if party is None:
            raise ConfigError(f"{identity.name} is no party", where="identity", todo="use the folder of a party")
        self.party = party
        self.roster: Roster = roster
        self.identity: Identity = identity
        self.limits, self.observer = limits or Limits(), observer or Nobody()
        self._listener, self._store = listener, store
        self._endpoint = Endpoint(identity.credentials, roster.refusal)
        deadline_s = roster.deadlines.round_s
        self.engine = engine or PartyEngine(party)
        self.library = Library(self.engine, programs.text)
        self.values = Values(store, party)
        self.jobs = Jobs(party, self.engine, self.values, self.limits, deadline_s, self.observer)
        self.uploads = Uploads(party, self.values, self.limits, deadline_s)
        self.donor = Donor(party, self.values, allowed or Nothing(), self.observer)
        self.peers = self._meet(roster)
        self.clients = Clients(
            party, roster.parties_hash, self.library, programs, self.jobs, self.values, self.uploads, self.limits,
            self.snapshot, self.observer,
        )  # fmt: skip
        self._stopping = threading.Event()
        self._door = threading.Thread(target=self._listen, name="jmpc door", daemon=True)
        self._sweeper = threading.Thread(target=self._sweep, name="jmpc sweep", daemon=True)
        self._began = time.time()

    def _meet(self, roster: Roster) -> Peers:
        peers = Peers(
            self.party,
            roster,
            self._endpoint,
            1 if self.engine.one_at_a_time else self.limits.sessions,
            self._heard,
            self.jobs.lost,
            self.donor.serve,
            self.observer,
        )
        self.donor.meet(peers)
        self.jobs.meet(peers)
        self.uploads.meet(peers)
        return peers

    def start(self) -> None:
        """Listen, and look for the other parties."""
        self._door.start()
        self._sweeper.start()
        self.peers.start()
        address = "{}:{}".format(*self._listener.getsockname()[:2])
        self.observer.event(
            "service started",
            address=address,
            party=self.party,
            cluster=self.roster.name,
            revision=self.roster.revision,
        )

    @property
    def ready(self) -> bool:
        """All other parties are connected."""
        return not self._stopping.is_set() and self.peers.ready

    def stop(self, grace_s: float = 30.0) -> None:
        """Take nothing new, let sessions finish for so long, then end them, and close everything but the store."""
        if self._stopping.is_set():
            return
        self.observer.event("service stopping", sessions=self.jobs.counts["running"])
        self._stopping.set()
        self.jobs.stop(grace_s)
        self._door.join()
        self._sweeper.join()
        self.clients.close()
        self.peers.close()
        self._listener.close()
        self.engine.close()
        self.observer.event("service stopped")

    def reload(self, roster: Roster, identity: Identity | None = None) -> None:
        """Another revision of the cluster's file, or a new certificate. Who does not count any more is cut off; what
        runs goes on. Sessions begin only between parties that have the same file. Raises ConfigError where this party
        is not in it, or it is of another cluster."""
        identity = self.identity if identity is None else identity
        roster.member(identity.name)
        if roster.id != self.roster.id or len(roster.parties) != len(self.roster.parties):
            raise ConfigError("that is the file of another cluster", where="cluster.toml", todo="take it back")
        self._endpoint = Endpoint(identity.credentials, roster.refusal)
        self.roster, self.identity = roster, identity
        self.clients.roster = roster.parties_hash
        self.peers.renew(roster, self._endpoint)
        self._look()

    def _look(self) -> None:
        """Who does not count any more is cut off, also where a certificate has ended meanwhile."""
        roster = self.roster
        self.peers.look()
        self.clients.look(lambda client, certificate: gone(roster, CLIENT + client, certificate))

    def snapshot(self) -> dict[str, Any]:
        """The state of this party: counts and names, for people."""
        return {
            "cluster": self.roster.name,
            "revision": self.roster.revision,
            "party": self.party,
            "version": __version__,
            "ready": self.ready,
            "up_s": round(time.time() - self._began, 1),
            "peers": self.peers.connected,
            "clients": self.clients.count,
            "sessions": self.jobs.counts,
            "values": len(self._store.values()),
            "stored_bytes": self._store.used,
            "certificate_ends": self.identity.ends.isoformat(),
        }

    def _listen(self) -> None:
        refusals, looked = Refusals(self.observer), time.monotonic()
        with Door(self._listener, self._prove, self.limits.handshake_s, refusals.add) as door:
            look = time.monotonic() + _LOOK_S
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    door.admit(look)
                if time.monotonic() >= look:  # also while one comes in after the other
                    self.jobs.expire()
                    self.uploads.expire()
                    look = time.monotonic() + _LOOK_S
                if time.monotonic() - looked > CERTIFICATES_S:
                    looked = time.monotonic()
                    self._look()

    def _sweep(self) -> None:
        """Of values that are over, nothing stays. The disk may take its time for that, and the door does not wait."""
        while not self._stopping.wait(_LOOK_S):
            self.values.expire()

    def _prove(self, sock: socket.socket) -> Proof[None]:
        """A new connection, step by step."""
        byte = yield from first_byte(sock)
        if byte != TLS:
            yield from lines.arriving(sock, self.peers.admit_line)
            return
        roster = self.roster
        expected = [roster.uri(member.name) for member in roster.members if member.name != self.identity.name]
        wrapped, uri = yield from self._endpoint.accepting(sock, expected)
        name = roster.named(uri) or ""
        peer = index_of(name) if not name.startswith(CLIENT) else None
        if peer is not None:
            self.peers.accept(wrapped, peer)
        else:
            self.clients.accept(wrapped, name.removeprefix(CLIENT))

    def _heard(self, link: PeerLink, kind: str, fields: dict[str, Any]) -> None:
        if kind in ("upload", "prepared", "verdict"):
            self.uploads.heard(link, kind, fields)
        else:
            self.jobs.heard(link, kind, fields)
