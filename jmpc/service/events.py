"""What a party's service tells whoever watches it: logs and metrics are made of this, and of nothing else.

In: the name of an event and plain public fields: names, hashes, counts, seconds. No value, share or key is a field, and
no text of a foreign exception.
"""

from __future__ import annotations

from typing import Protocol

Field = str | int | float | bool | None


class Observer(Protocol):
    """One for a service; called from any of its threads, and it does not raise."""

    def event(self, name: str, /, **fields: Field) -> None:
        """Something happened. name: one of `EVENTS`."""
        ...


EVENTS = {
    "service started": "address, party, cluster, revision",
    "service stopping": "sessions: how many are let to finish",
    "service stopped": "",
    "peer connected": "peer",
    "peer lost": "peer, why",
    "peer refused": "why: it proved to be nobody of this cluster, or disagrees",
    "client connected": "client, links",
    "client refused": "client, why",
    "client left": "client",
    "program submitted": "client, program, allowed, why",
    "session waiting": "session, program, clients",
    "session started": "session, program, clients, waited_s, memory",
    "session finished": "session, program, seconds, rounds, sent, received",
    "session failed": "session, program, error, phase, round, peer, why",
    "request refused": "client, request, why",
    "upload started": "client, name, bytes",
    "value stored": "name, owner, version, bytes",
    "value deleted": "name, owner",
    "restore started": "peer",
    "value restored": "peer, name",
    "restore refused": "peer, why",
    "result fetched": "name, client",
}


class Nobody:
    """Watches nothing."""

    def event(self, name: str, /, **fields: Field) -> None: ...
