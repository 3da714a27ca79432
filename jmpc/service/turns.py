"""Sessions one at a time, where a party can do no more: party 0 begins the next once such parties are done with the
last.

In: at party 0, which sessions begin, what peers say of theirs ("over", "abort"), which links end. Out: whether another
may begin.

A party on several hosts runs one session at a time: a run has all of them from its first segment to its last. Were two
such parties to take two sessions in different orders, each would wait in its run for the other, until a deadline ended
both. They cannot:

- Such a party says in its greeting that it runs one session (`sessions`), so that party 0 begins one at a time
  (`Peers.most_sessions`), and a run begins nowhere before party 0's offer of it has come.
- Party 0 begins one only when every such party has said of each that was begun before that it is over there: "over"
  once its run has ended and its hosts are free, or "abort". So at no such party are two sessions that were offered.
- Who says neither has lost its link to party 0. All sessions over that link have failed at both ends, and one that has
  failed waits for no peer any more: it ends at its next round, and what was begun since waits for that alone. What was
  said over a link is forgotten with it (`letters.py`), so that a call that a peer gave up then is not begun; and an
  offer of one that is over where it comes is answered with an "abort".

The order is the one in which party 0 admits, of each client in turn, so that nobody's calls wait for ever. Other
parties need say nothing: their runs do not wait for one another.
"""

from __future__ import annotations

from collections.abc import Iterable

from jmpc.service.peers import PeerLink

OVER = ("over", "abort")  # the words by which a peer says that a session does not run there (any more)


class Turns:
    """Whose it is keeps threads apart."""

    def __init__(self) -> None:
        self._begun: dict[bytes, set[PeerLink]] = {}  # over which it runs to who runs it alone, and is not done with it

    @property
    def free(self) -> bool:
        """Whether no session is awaited anywhere."""
        return not self._begun

    @property
    def awaited(self) -> set[int]:
        """The peers that are not done with a session."""
        return {link.peer for links in self._begun.values() for link in links}

    def begin(self, session: bytes, alone: Iterable[PeerLink]) -> None:
        """alone: the links over which it runs to peers that run one session at a time."""
        if links := set(alone):
            self._begun[session] = links

    def over(self, session: bytes, link: PeerLink) -> None:
        """A peer is done with a session, as it says over this link."""
        if (links := self._begun.get(session)) is not None:
            links.discard(link)
            if not links:
                del self._begun[session]

    def lost(self, link: PeerLink) -> None:
        """A link has ended, and the sessions over it."""
        for session in list(self._begun):
            self.over(session, link)
