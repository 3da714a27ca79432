"""What a party's service tells whoever watches it: logs and metrics are made of this, and of nothing else.

In: the name of an event and plain public fields: names, hashes, counts, seconds. No value, share or key is a field,
and no text of a foreign exception.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

Field = str | int | float | bool | None


class Observer(Protocol):
    """One for a service; called from any of its threads, and it does not raise."""

    def event(self, name: str, /, **fields: Field) -> None:
        """Something happened. name: one of `EVENTS`, with fields of that event."""
        ...


# The fields of each event. A party is named as `party/0` in them, a client as programs name it.
EVENTS: dict[str, tuple[str, ...]] = {
    "service started": ("address", "party", "cluster", "revision"),
    "service stopping": ("sessions",),  # how many are let to finish
    "service stopped": (),
    "peer connected": ("peer", "post_quantum"),
    "peer lost": ("peer", "why"),
    "peer refused": ("peer", "why"),  # it proved to be nobody of this cluster, or disagrees
    "connection refused": ("address", "why", "count"),  # at the door, with those of the same cause since the last one
    "client connected": ("client", "links"),  # of this client, with this one
    "client refused": ("client", "why"),
    "client left": ("client",),  # one for each `client connected`
    "program submitted": ("client", "program", "allowed", "why"),
    "session waiting": ("session", "program", "clients"),
    "session started": ("session", "program", "clients", "waited_s", "memory"),
    "session finished": ("session", "program", "seconds", "rounds", "sent", "received"),
    "session failed": ("session", "program", "error", "phase", "round", "peer", "why"),  # also one that never started
    "request refused": ("client", "request", "why"),
    "upload started": ("client", "name", "bytes"),
    "value stored": ("name", "owner", "version", "bytes"),
    "value deleted": ("name", "owner"),
    "restore started": ("peer",),  # it lost values, and gets them back from here
    "value restored": ("peer", "name"),
    "restore refused": ("peer", "why"),
    "result fetched": ("name", "client"),
    # Of the process around the service.
    "devices found": ("devices",),  # on which it computes
    "waiting for hosts": ("host", "hosts", "address", "seconds"),  # of this party itself: until all are there, so long
    "hosts met": ("host", "hosts"),
    "head stopped": ("host",),  # and so does this host, which follows it
    "party refused": ("fault", "what", "where", "why", "todo"),  # it does not start, for this among others
    "calls refused": ("calls", "programs"),  # system calls, by the kernel, from now on; programs: it may start others
    "told to stop": ("signal",),
    "told to read": ("signal",),  # the cluster's file again
    "stopped at once": ("signal",),  # it was told twice
    "cluster read": ("revision", "hash", "changed"),  # anew; changed: since it was read last
    "cluster refused": ("fault", "what", "where", "why", "todo"),  # the one before stays
    "warning": ("fault", "what", "where", "why", "todo"),  # it works today, and will not for long
    "fault": ("fault", "what", "where", "why", "todo"),  # an error of jmpc that nobody handled
    "foreign fault": ("kind", "where"),  # an exception that no code of jmpc raised: its type, and the line
    "foreign words": ("kind", "where"),  # a library wanted to say something: its level, and the line
}


class Nobody:
    """Watches nothing."""

    def event(self, name: str, /, **fields: Field) -> None: ...


class Several:
    """All of them. They hear of parties as `party/0`, whatever the code calls them: by number, or `party 0` as messages
    do. Where one breaks its promise and raises, the others are told, and of that too."""

    def __init__(self, *observers: Observer) -> None:
        self._observers: Sequence[Observer] = observers

    def event(self, name: str, /, **fields: Field) -> None:
        fields |= {key: _party(fields[key]) for key in ("peer", "party") if key in fields}
        broken = [observer for observer in self._observers if not _told(observer, name, fields)]
        for observer in self._observers:
            if broken and observer not in broken:
                _told(observer, "foreign fault", {"kind": "observer", "where": type(broken[0]).__name__})


def _party(value: Field) -> Field:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    found = re.fullmatch(r"(?:party[ /])?([0-9]{1,2})", str(value))
    return f"party/{found[1]}" if found else value


def _told(observer: Observer, name: str, fields: dict[str, Field]) -> bool:
    try:
        observer.event(name, **fields)
    except Exception:
        return False
    return True
