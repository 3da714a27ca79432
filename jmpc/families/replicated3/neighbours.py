"""A party as the protocols of this family see it: in a ring of three, with a next and a previous neighbour.

What goes in: the party whose program is traced, which knows its peers by number. What comes out: masks drawn with a
neighbour, and exchanges with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jmpc._types import Array
from jmpc.families.family import Party, Spec

PARTIES = 3
SIDES = ("nxt", "prv")


class Me:
    """Party `index` of three; "nxt" is the party after it, "prv" the one before."""

    def __init__(self, party: Party) -> None:
        self.party, self.index, self.ring = party, party.index, party.ring
        self.product_form = party.product_form

    def mask(self, neighbour: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Words that this party and its neighbour draw, and nobody else."""
        return self.party.mask(self._peer(neighbour), shape, dtype)

    def exchange(
        self,
        *,
        to_nxt: Array | None = None,
        to_prv: Array | None = None,
        from_nxt: Spec | None = None,
        from_prv: Spec | None = None,
    ) -> Any:
        """One round, which all three take part in. Returns nothing, an array, or (from next, from previous)."""
        sends = {s: a for s, a in (("nxt", to_nxt), ("prv", to_prv)) if a is not None}
        receives = {s: spec for s, spec in (("nxt", from_nxt), ("prv", from_prv)) if spec is not None}
        return self.exchange_with(sends, receives)

    def exchange_with(self, sends: Mapping[str, Array], receives: Mapping[str, Spec]) -> Any:
        """The same, where what is said of a neighbour is by its name."""
        messages = {self._peer(s): sends[s] for s in SIDES if s in sends}
        specs = {self._peer(s): receives[s] for s in SIDES if s in receives}
        got = list(self.party.exchange(messages, specs).values())
        return None if not got else got[0] if len(got) == 1 else tuple(got)

    def staged(self, array: Array) -> Array:
        return self.party.staged(array)

    def verify(self, bits: Array) -> Array:
        """Have all parties stop unless every one of these bits is set; they come back as they are."""
        return self.party.verify(bits)

    def _peer(self, neighbour: str) -> int:
        return (self.index + (1 if neighbour == "nxt" else -1)) % PARTIES
