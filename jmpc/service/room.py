"""Bytes of the inputs of calls that wait or run, by client: what a party takes in, and for whom.

In: who is about to send how much. Out: whether there is room. Of several calls, those of one client may hold as much as
they leave to others; its first may hold all that is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class Holding:
    """here: its client's link waits for the call.  after: whether the call is over, once it does not."""

    client: str
    size: int
    here: bool = True
    after: Callable[[], bool] = lambda: True

    @property
    def over(self) -> bool:
        return not self.here and self.after()


class Room:
    """Whose it is keeps threads apart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[Holding] = []

    def used(self, client: str | None = None) -> int:
        """Bytes, of all or of one client."""
        self._held = [holding for holding in self._held if not holding.over]
        return sum(holding.size for holding in self._held if client in (None, holding.client))

    def refusal(self, client: str, size: int) -> str:
        """Why there is no room, or nothing. One call may be larger than all the room, where nothing else is there."""
        total, mine = self.used(), self.used(client)
        fits = total + size <= self._most and (not mine or mine + size <= self._most - total)
        if not total or fits:
            return ""
        return f"the inputs of other calls are {total:,} bytes, {mine:,} of them of this client"

    def take(self, client: str, size: int) -> Holding:
        holding = Holding(client, size)
        self._held.append(holding)
        return holding
