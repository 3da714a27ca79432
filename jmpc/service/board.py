"""A small public board: what clients tell each other of their arrays' shapes while one script runs at each of them.

In: texts of clients, who are proven. Out: the text that a client has put up under a label, once it has. A text goes
with the link that it came over, so with the run of its script; nothing is written anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

from jmpc.errors import DeadlineError, RefusedError
from jmpc.runtime.failure import Place

MOST_OF_ONE = 256  # texts of one client


@dataclass(frozen=True, slots=True)
class _Post:
    holder: Hashable
    text: str


class Board:
    """Threads share it."""

    def __init__(self, party: int) -> None:
        self.party = party
        self._posts: dict[tuple[str, str], _Post] = {}  # by client and label
        self._changed = threading.Condition()

    def post(self, holder: Hashable, client: str, label: str, text: str) -> None:
        """holder: the link. Raises RefusedError where the client has put up too much."""
        with self._changed:
            count = sum(owner == client for owner, _ in self._posts)
            if (client, label) not in self._posts and count >= MOST_OF_ONE:
                raise RefusedError(
                    "there is no room for more on the board",
                    where=Place(party=self.party, phase="post"),
                    why=f"{client} has put up {count} texts, and the scripts that did still run",
                    todo="end them, or load what they load in fewer parts",
                )
            self._posts[client, label] = _Post(holder, text)
            self._changed.notify_all()

    def look(self, client: str, label: str, wait_s: float) -> str:
        """What a client has put up. Raises DeadlineError where it has not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: (client, label) in self._posts, wait_s):
                raise DeadlineError(
                    f"{client} has not said what it brings",
                    where=Place(party=self.party, phase="look", peer=f"client {client}"),
                    why=f"nothing came in {wait_s:g} s",
                    todo=f"run the same script there: jmpc run SCRIPT --as {client}",
                )
            return self._posts[client, label].text

    def forget(self, holder: Hashable) -> None:
        """A link has ended."""
        with self._changed:
            self._posts = {key: post for key, post in self._posts.items() if post.holder != holder}
