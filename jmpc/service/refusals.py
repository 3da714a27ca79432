"""What the door of a party refused, as its operator reads it: each cause at once, and then no more often than so.

In: where a connection came from, and why it was refused. Out: events. Who knocks a thousand times a second fills no
log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from jmpc.recent import Recent
from jmpc.service.events import Observer

EVERY_S = 10.0  # for one cause
_MOST_CAUSES = 256


@dataclass
class _Said:
    at: float
    since: int = 0  # how many there were after it


class Refusals:
    """One thread uses it."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._said: Recent[str, _Said] = Recent(_MOST_CAUSES)

    def add(self, source: str, why: str) -> None:
        """One connection. The event counts those of the same cause that were left out before it."""
        now, said = time.monotonic(), self._said.get(why)
        if said is not None and now - said.at < EVERY_S:
            said.since += 1
            return
        self._said.put(why, _Said(now))
        self._observer.event("connection refused", address=source, why=why, count=1 + (said.since if said else 0))
