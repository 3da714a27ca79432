"""Bytes of the inputs of calls that wait or run, by client: what a party takes in, and for whom.

In: who is about to send how much. Out: whether there is room. Half of it is never one call's: a call of more than half
is large, counts for half, and there is one at a time, so that with it inputs are up to one and a half times the room.
One that is larger than all the room comes only where nothing else is, and keeps others out. Of several calls, those of
one client may hold as much as they leave to others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class Holding:
    """size: what it counts for.  here: its client's link waits for the call.  after: whether the call is over, once it
    does not.  until: when it must have been sent, once it is in another's way."""

    client: str
    size: int
    large: bool = False
    here: bool = True
    after: Callable[[], bool] = lambda: True
    until: float = math.inf

    @property
    def over(self) -> bool:
        return not self.here and self.after()


class Room:
    """Whose it is keeps threads apart. patience_s: for what a large call has yet to send when another is refused for
    it."""

    def __init__(self, most: int, patience_s: float) -> None:
        self._most, self._patience_s = most, patience_s
        self._held: list[Holding] = []

    def used(self, client: str | None = None) -> int:
        """Bytes that count, of all or of one client. What is over is forgotten, with all that it holds."""
        self._held = [holding for holding in self._held if not holding.over]
        return sum(holding.size for holding in self._held if client in (None, holding.client))

    def take(self, client: str, size: int) -> Holding | str:
        """Room for a call, or why there is none."""
        total, mine = self.used(), self.used(client)
        large, counts = size > self._most // 2, size if size > self._most else min(size, self._most // 2)
        others = [holding for holding in self._held if holding.large]
        fits = total + counts <= self._most and (not mine or mine + counts <= self._most - total)
        if total and (not fits or (large and others)):
            for holding in others:
                if holding.client != client:
                    holding.until = min(holding.until, time.monotonic() + self._patience_s)
            return f"the inputs of other calls are {total:,} bytes, {mine:,} of them of this client"
        holding = Holding(client, counts, large)
        self._held.append(holding)
        return holding
