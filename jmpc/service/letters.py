"""What peers said of sessions that do not run here yet: kept until they do, or are over.

In: messages of peers. Out: who has a call, who gave it up, and all that was said once the session begins. It is
bounded: the sessions that were spoken of first go first, and of one session no more is kept than its peers have to say.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

HAS = ("offer", "ready")  # the words by which a peer says that it has all of a call
_MOST_SESSIONS = 10_000  # that peers spoke of before any client did here
_MOST_WORDS = 8  # of one session

Letter = tuple[int, str, dict[str, Any]]


@dataclass
class _Said:
    until: float
    words: list[Letter] = field(default_factory=list[Letter], repr=False)


class Letters:
    """Whose it is keeps threads apart."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._said: OrderedDict[bytes, _Said] = OrderedDict()

    def keep(self, session: bytes, peer: int, kind: str, fields: dict[str, Any]) -> None:
        """One more word."""
        now = time.monotonic()
        while self._said and (next(iter(self._said.values())).until < now or len(self._said) > _MOST_SESSIONS):
            self._said.popitem(last=False)
        said = self._said.setdefault(session, _Said(now + self._keep_s))
        if len(said.words) < _MOST_WORDS:
            said.words.append((peer, kind, fields))

    def take(self, session: bytes) -> list[Letter]:
        """All that was said of a session, which is forgotten here."""
        said = self._said.pop(session, None)
        return said.words if said else []

    def who(self, session: bytes, kinds: Iterable[str]) -> set[int]:
        """The peers that said one of these words."""
        said = self._said.get(session)
        return {peer for peer, kind, _ in said.words if kind in kinds} if said else set()

    def aborted(self, session: bytes) -> Letter | None:
        """The first word by which a peer gave a session up."""
        said = self._said.get(session)
        return next((letter for letter in said.words if letter[1] == "abort"), None) if said else None
