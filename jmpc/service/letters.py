"""What peers said of sessions that do not run here yet: kept until they do, are over, or the link has ended.

In: messages of peers, each over a link. Out: who has a call, who gave it up, and all that was said once the session
begins. It is bounded for each link, so that what one peer says takes no room from what others do: the sessions that it
spoke of first go first, and of one session each kind of word is kept once. What came over a link counts as long as that
link stands: the peer gives up all that it said over one that has ended, and its secret is another one then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jmpc.service.peers import PeerLink

HAS = ("offer", "ready")  # the words by which a peer says that it has all of a call
_MOST_SESSIONS = 10_000  # that a peer spoke of before any client did here

Letter = tuple[PeerLink, str, dict[str, Any]]


@dataclass
class _Said:
    until: float
    words: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]], repr=False)  # by kind


class Letters:
    """Whose it is keeps threads apart."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._said: dict[PeerLink, OrderedDict[bytes, _Said]] = {}

    def keep(self, session: bytes, link: PeerLink, kind: str, fields: dict[str, Any]) -> None:
        """One more word."""
        now, said = time.monotonic(), self._said.setdefault(link, OrderedDict())
        while said and (next(iter(said.values())).until < now or len(said) > _MOST_SESSIONS):
            said.popitem(last=False)
        said.setdefault(session, _Said(now + self._keep_s)).words.setdefault(kind, fields)

    def take(self, session: bytes) -> list[Letter]:
        """All that was said of a session, which is forgotten here."""
        found = self._of(session)
        for said in self._said.values():
            said.pop(session, None)
        return found

    def who(self, session: bytes, kinds: Iterable[str]) -> set[int]:
        """The peers that said one of these words."""
        return {link.peer for link, kind, _ in self._of(session) if kind in kinds}

    def aborted(self, session: bytes) -> Letter | None:
        """The first word by which a peer gave a session up."""
        return next((letter for letter in self._of(session) if letter[1] == "abort"), None)

    def lost(self, link: PeerLink) -> set[bytes]:
        """It has ended. The sessions of which its peer said over it that it has them."""
        gone = self._said.pop(link, OrderedDict[bytes, _Said]())
        return {session for session, said in gone.items() if not said.words.keys().isdisjoint(HAS)}

    def _of(self, session: bytes) -> list[Letter]:
        each = ((link, said[session].words) for link, said in self._said.items() if session in said)
        return [(link, kind, fields) for link, words in each for kind, fields in words.items()]
