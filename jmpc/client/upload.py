"""Storing a value: its shares go to the parties chunk by chunk, and are the value at all of them at once, or at none.

In: a value's forms, where its chunks come from, what its owner says of it. Out: its version. A lost link is opened
again, and the upload goes on with what each party has not written yet; a refusal ends it, and nothing is stored.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import families
from jmpc.client import asking
from jmpc.client.chunks import Arrays, Batches, Chunk
from jmpc.client.forms import Form
from jmpc.client.links import Bundle
from jmpc.client.pool import Pool
from jmpc.client.sharing import Sharer
from jmpc.errors import DeadlineError, PartyError, PeerError
from jmpc.runtime.contents import Contents
from jmpc.runtime.requests import CHUNK_BYTES, UPLOAD_BYTES

COMMIT_S = 600.0  # parties compare all that came, and write it to their disks
STREAM_BYTES = 1 << 25  # of batches that wait for a chunk to fill, over all arrays
_PAUSE_S = 0.2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Terms:
    """name: of the value.  programs: hashes of those that may read it.  expires: as `requests.py` has it.  patience_s:
    for how long a party that is gone is tried again."""

    name: str
    programs: Sequence[str]
    expires: int
    patience_s: float


def unheard(_done: int, _of: int) -> None: ...


@dataclass(eq=False)
class Upload:
    """One value on its way. progress: called with the bytes that are sent, to all parties together, and those to send.
    It may be called again with less, where a link was lost."""

    pool: Pool
    forms: Sequence[Form]
    contents: Contents
    source: Arrays | Batches
    terms: Terms
    progress: Progress = unheard
    _begun: bool = False
    _sent: int = 0
    _id: bytes = field(default_factory=lambda: os.urandom(UPLOAD_BYTES), repr=False)

    def __post_init__(self) -> None:
        most = CHUNK_BYTES if isinstance(self.source, Arrays) else STREAM_BYTES // len(self.forms)
        self._sharers = [Sharer(form, min(most, CHUNK_BYTES)) for form in self.forms]
        family = families.of(self.forms[0].config)
        counts = [[len(family.form(form.type).holds[p]) for form in self.forms] for p in range(family.parties)]
        self._first = [[sum(mine[:n]) for n in range(len(mine))] for mine in counts]  # by party, of each array
        whole = [sum(n * s.bytes for n, s in zip(mine, self._sharers, strict=True)) for mine in counts]
        self._total = sum(whole)

    def run(self) -> int:
        """The version that was stored. Raises what the parties answer, and PeerError once patience is over."""
        self.source.check(self.forms)
        until = 0.0
        while True:
            before = self._sent
            try:
                return self._attempt()
            except _Interrupted as interrupted:
                error, now = interrupted.error, time.monotonic()
                if not self._begun:
                    raise error from None
                if self._sent > before or not until:
                    until = now + self.terms.patience_s
                if now >= until:
                    todo = [*error.todo, "store it again, all of it: nothing is stored yet"]
                    raise type(error)(error.what, where=error.where, why=error.why, todo=todo) from error
                threading.Event().wait(min(_PAUSE_S, until - now))

    def _attempt(self) -> int:
        answered = False
        try:
            with self.pool.bundle() as bundle:
                try:
                    return self._through(bundle)
                finally:
                    answered = bundle.sound
        except (PeerError, DeadlineError) as exc:
            if answered:  # by all parties, and this is what they say
                raise
            raise _Interrupted(exc) from exc

    def _through(self, bundle: Bundle) -> int:
        terms = self.terms
        said = {"upload": self._id, "name": terms.name, "contents": self.contents.text}
        said |= {"programs": list(terms.programs), "expires": terms.expires}
        answers = asking.ask(bundle, "put", said, "writing")
        self._begun = True
        bundle.outstanding += 1  # what a party makes of another request now is nobody's concern
        written = [_Written(party, fields["written"]) for party, fields in enumerate(answers)]
        done = sum(sum(one.bytes) for one in written)
        self.progress(done, self._total)
        for chunk in self.source.chunks(self._sharers):
            sent = self._send(bundle, chunk, written)
            if sent:
                done += sent
                self.progress(done, self._total)
        bundle.outstanding -= 1
        (version, *others) = [
            fields["version"]
            for fields in asking.ask(bundle, "commit", {"upload": self._id}, "stored", wait_s=COMMIT_S)
        ]
        assert isinstance(version, int)
        if any(other != version for other in others):
            raise PartyError(
                f"the parties stored {terms.name!r} under different versions",
                where="phase commit",
                why=f"versions {[version, *others]}",
                todo="store it again; if it happens again, a party has lost what it stored: jmpc doctor",
            )
        return version

    def _send(self, bundle: Bundle, chunk: Chunk, written: Sequence[_Written]) -> int:
        """What the parties have not written yet of a chunk; how many bytes that were."""
        pieces, sharer = self._sharers[chunk.number].share(chunk.start, chunk.values), self._sharers[chunk.number]
        at, sent = chunk.start * sharer.dtype.itemsize, 0
        for party, mine in enumerate(pieces):
            link = bundle.links[party]
            if link.ready():
                asking.hear_refusal(bundle, party)
            for n, array in enumerate(mine):
                part = self._first[party][chunk.number] + n
                rest = written[party].rest(part, at, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
                if rest.size:
                    deadline = time.monotonic() + bundle.deadline_s
                    link.send("chunk", {"part": part, "bytes": rest.size}, deadline, arrays=[rest])
                    sent += rest.size
        self._sent += sent
        return sent


class _Interrupted(Exception):
    """A link was lost; `error` says which."""

    def __init__(self, error: PeerError | DeadlineError) -> None:
        super().__init__()
        self.error = error


class _Written:
    """How much of each part a party has. bytes: by part."""

    def __init__(self, party: int, found: Any) -> None:
        self.party, self.bytes = party, list[int](found)

    def rest(self, part: int, at: int, content: np.ndarray) -> np.ndarray:
        """Of the bytes of a part from `at` on, those that come next. Raises PeerError for a party that has more than
        came before."""
        if part >= len(self.bytes) or self.bytes[part] < at:
            raise PeerError(
                f"party {self.party} says it has written what it was not sent",
                where=f"party {self.party}, phase put",
                todo="store it again, under another name if this one stays unfinished",
            )
        skip = min(self.bytes[part] - at, content.size)
        self.bytes[part] = max(self.bytes[part], at + content.size)
        return content[skip:]
