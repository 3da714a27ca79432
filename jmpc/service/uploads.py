"""Values on their way into a party's store from a client.

In: what a value is, its words piece by piece. Out: a stored value, once all parties have all of it and know that they
were given the same words of each summand that two of them hold. A client that lost its link goes on where it was, as
long as the party runs; what its owner does not come back to is dropped.

Each part is hashed as it comes; what two parties compare is an HMAC of their common parts' hashes under the secret of
their link, which tells the third nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from jmpc import families
from jmpc.errors import ArgumentError, DeadlineError, HandshakeError, JMPCError, PartyError, RefusedError, StoreError
from jmpc.recent import Recent
from jmpc.runtime.contents import Contents, part_name
from jmpc.runtime.failure import Place, Relayed, party_name
from jmpc.service.limits import Limits
from jmpc.service.peers import PeerLink, Peers
from jmpc.service.values import Values
from jmpc.store import WriterOf

_OVERLAP = b"upload"
_MOST_UNKNOWN = 10_000


@dataclass(eq=False)
class Upload:
    """One value of one client, while it comes. lock: one request about it at a time.  turn: counts the links over which
    it came: what an earlier one still holds in its buffers is not written any more."""

    id: bytes
    client: str
    about: bytes
    contents: Contents
    writer: WriterOf
    used: float
    hashes: list[Any] = field(repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    turn: int = 0

    @property
    def written(self) -> list[int]:
        done = self.writer.written
        return [done[part.name] for part in self.writer.parts]


@dataclass
class _Said:
    """What peers said of an upload."""

    began: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]], repr=False)
    prepared: dict[int, bytes] = field(default_factory=dict[int, bytes], repr=False)
    verdicts: dict[int, bool] = field(default_factory=dict[int, bool])


class Uploads:
    """Threads share it."""

    def __init__(self, party: int, values: Values, limits: Limits, deadline_s: float) -> None:
        self.party, self._values, self._limits, self._deadline_s = party, values, limits, deadline_s
        self._peers: Peers | None = None
        self._changed = threading.Condition()
        self._open: dict[bytes, Upload] = {}
        self._beginning: dict[bytes, str] = {}  # by upload, its client
        self._said: Recent[bytes, _Said] = Recent(_MOST_UNKNOWN)
        self._gone: Recent[bytes, PartyError] = Recent(_MOST_UNKNOWN)  # that a peer gave up
        self._stored: Recent[bytes, int] = Recent(_MOST_UNKNOWN)  # versions of what was committed, for who asks again

    def meet(self, peers: Peers) -> None:
        """The other parties; once, before anything comes."""
        self._peers = peers

    def begin(
        self, client: str, upload: bytes, name: str, contents: Contents, programs: Sequence[str], expires: int
    ) -> Upload:
        """A new one, or one that goes on. Raises RefusedError, ArgumentError, StoreError, DeadlineError."""
        if contents.result:
            raise ArgumentError(f"{name!r} cannot be put", where="contents", why="a result is made by a program")
        contents = Contents(contents.protocol, contents.k, contents.f, contents.leaves, contents.tree, (client,))
        self._values.check_owner(name, [client])
        about = _about(client, name, contents, programs, expires)
        known = self._known(client, upload, about)
        version = known.writer.description.version if known else self._values.next_version([name])
        agreed, created = self._agree(upload, about, version)
        if known and known.writer.description.version == agreed:
            return known
        if known:
            self._drop(known)
        try:
            with self._room(client, upload):
                made = self._begun(client, upload, about, name, contents, programs, expires, agreed, created)
        except (StoreError, RefusedError):
            self._refuse(upload)
            raise
        self._look(made)
        return made

    def _begun(
        self,
        client: str,
        upload: bytes,
        about: bytes,
        name: str,
        contents: Contents,
        programs: Sequence[str],
        expires: int,
        agreed: int,
        created: int,
    ) -> Upload:
        description = self._values.described(
            name, contents, client, programs=programs, expires=expires, version=agreed, created=created
        )
        writer = self._values.writer(description, contents)
        hashes = [hashlib.sha256() for _ in writer.parts]
        made = Upload(upload, client, about, contents, writer, time.monotonic(), hashes)
        with self._changed:
            self._open[upload] = made
        return made

    def _known(self, client: str, upload: bytes, about: bytes) -> Upload | None:
        with self._changed:
            known = self._open.get(upload)
            if known is None:
                return None
            if known.client != client or known.about != about:
                raise ArgumentError("an upload goes on with another value", where="upload")
            if not known.writer.open:
                del self._open[upload]
                return None
            known.used = time.monotonic()
        with known.lock:
            known.turn += 1
        return known

    @contextmanager
    def _room(self, client: str, upload: bytes) -> Generator[None]:
        """For one more, until it is open: links of one client that begin at once count one another."""
        self.expire()
        with self._changed:
            if upload in self._open or upload in self._beginning:
                raise ArgumentError(
                    "this upload begins on another link too", where="upload", todo="use one link for it"
                )
            count = sum(open.client == client for open in self._open.values())
            count += sum(beginner == client for beginner in self._beginning.values())
            if count >= self._limits.uploads:
                raise RefusedError(
                    "too many values of this client are being written",
                    where=Place(party=self.party, phase="input", peer=party_name(self.party)),
                    why=f"{count} are, and were not finished",
                    todo="finish or drop one first",
                )
            self._beginning[upload] = client
        try:
            yield
        finally:
            with self._changed:
                del self._beginning[upload]

    def _agree(self, upload: bytes, about: bytes, version: int) -> tuple[int, int]:
        """One version and one time for all parties."""
        created = int(time.time())
        with self._changed:
            said = self._about(upload)
            said.prepared, said.verdicts = {}, {}  # of an earlier try
            self._gone.pop(upload)
        self._tell("upload", {"upload": upload, "about": about, "version": version, "created": created})
        began = self._wait(lambda: self._about(upload).began, "did not hear of this value")
        for peer, theirs in began.items():
            if theirs["about"] != about:
                raise self._differ(peer, "was told of another value", "the client told the parties different things")
        with self._changed:
            self._about(upload).began = {}  # for the next try
        versions = [version, *(theirs["version"] for theirs in began.values())]
        return max(versions), max([created, *(theirs["created"] for theirs in began.values())])

    def write(self, upload: Upload, turn: int, part: int, data: bytes) -> None:
        """The next words of a part."""
        if part >= len(upload.writer.parts):
            raise ArgumentError("the value has no such part", where="chunk")
        with upload.lock:
            if upload.turn != turn:
                raise ArgumentError("the value comes over another link now", where="chunk")
            self._look(upload)
            with self._or_give_up(upload):
                upload.writer.write(upload.writer.parts[part].name, data)
            upload.hashes[part].update(data)
            upload.used = time.monotonic()

    def commit(self, client: str, upload: bytes) -> int:
        """Make a value last, once all parties have it; its version. Asked again, it says so again."""
        with self._changed:
            found = self._open.get(upload)
            stored, gone = self._stored.get(upload), self._gone.get(upload)
        if found is None:
            return self._over(stored, gone)
        if found.client != client:
            raise self._unknown()
        with found.lock:
            with self._changed:  # another link may have been faster
                now, stored, gone = self._open.get(upload), self._stored.get(upload), self._gone.get(upload)
            if now is not found:
                return self._over(stored, gone)
            if any(done != part.bytes for done, part in zip(found.written, found.writer.parts, strict=True)):
                raise ArgumentError("words of the value are missing yet", where="commit", todo="put it again")
            with self._or_give_up(found):
                found.writer.prepare()  # so that nothing of it takes room once all parties have agreed
            self._compare(found)
            version = self._values.commit(found.writer, [client]).description.version
            with self._changed:
                self._open.pop(upload, None)
                self._stored.put(upload, version)
                self._said.pop(upload)
        return version

    def _over(self, stored: int | None, gone: PartyError | None) -> int:
        """The version of an upload that is not open any more, or why it has none."""
        if stored is not None:
            return stored
        raise gone or self._unknown()

    def _unknown(self) -> ArgumentError:
        return ArgumentError("there is no such upload", where="commit", todo="put the value again")

    def _compare(self, upload: Upload) -> None:
        mine = {peer: self._overlap(self.peers.link(peer), upload) for peer in self.peers.others}
        for peer, overlap in mine.items():
            self.peers.link(peer).duplex.send("prepared", {"upload": upload.id, "overlap": overlap})
        prepared = self._wait(lambda: self._about(upload.id).prepared, "did not get all of this value", upload)
        wrong = [peer for peer, overlap in prepared.items() if overlap != mine[peer]]
        self._tell("verdict", {"upload": upload.id, "accepted": not wrong})
        of = self._about(upload.id)
        verdicts = {} if wrong else self._wait(lambda: of.verdicts, "did not accept this value")
        wrong += [peer for peer, accepted in verdicts.items() if not accepted]
        if wrong:
            self._drop(upload)
            why = "two parties hold the same summand of a value, and what they were given differs"
            raise self._differ(wrong[0], "was given other shares of this value", why)

    def _overlap(self, link: PeerLink, upload: Upload) -> bytes:
        """Under the pair's secret: of the parts that this party and a peer hold both, by leaf and summand."""
        family = families.FAMILIES[upload.contents.protocol]
        made = {part.name: digest.digest() for part, digest in zip(upload.writer.parts, upload.hashes, strict=True)}
        common: list[bytes] = []
        for leaf, entry in enumerate(upload.contents.leaves):
            holds = family.form(entry.type).holds
            mine = {summand: part_name(leaf, n) for n, summand in enumerate(holds[self.party])}
            common += [made[mine[summand]] for summand in sorted(set(mine) & set(holds[link.peer]))]
        said = upload.writer.description
        agreed = said.version.to_bytes(8, "big") + said.created.to_bytes(8, "big")
        return link.secret.tag(_OVERLAP, upload.id, upload.about, agreed, *common)

    # What peers say.

    def heard(self, link: PeerLink, kind: str, fields: dict[str, Any]) -> None:
        """A message of a peer about an upload."""
        with self._changed:
            said = self._about(fields["upload"])
            if kind == "upload":
                said.began[link.peer] = fields
            elif kind == "prepared":
                said.prepared[link.peer] = fields["overlap"]
            else:
                said.verdicts.setdefault(link.peer, fields["accepted"])  # nobody takes one back
            found = self._open.get(fields["upload"])
            self._changed.notify_all()
        if found and kind == "verdict" and not fields["accepted"] and link.peer not in said.prepared:
            self._give_up(found, self._left(link.peer))

    def _about(self, upload: bytes) -> _Said:
        found = self._said.get(upload)
        if found is None:
            found = _Said()
            self._said.put(upload, found)
        return found

    def _wait(self, of: Callable[[], dict[int, Any]], what: str, upload: Upload | None = None) -> dict[int, Any]:
        """What all peers say; less where one gives the upload up."""
        others = self.peers.others
        with self._changed:
            self._changed.wait_for(
                lambda: len(of()) == len(others) or (upload is not None and upload.id in self._gone), self._deadline_s
            )
            found = dict(of())
        if upload is not None:
            self._look(upload)
        missing = [peer for peer in others if peer not in found]
        if missing:
            name = party_name(missing[0])
            raise DeadlineError(
                f"{name} {what} in time",
                where=Place(party=self.party, phase="input", peer=name),
                why="the client did not reach it, or it is not connected to this party",
                todo="put the value again; what is there of it is kept",
            )
        return found

    def _tell(self, kind: str, fields: dict[str, Any]) -> None:
        for peer in self.peers.others:
            self.peers.link(peer).duplex.send(kind, fields)

    @property
    def peers(self) -> Peers:
        assert self._peers is not None
        return self._peers

    def _differ(self, peer: int, what: str, why: str) -> JMPCError:
        place = Place(party=self.party, phase="input", peer=party_name(peer))
        todo = "put the value again, with the same version of jmpc"
        return HandshakeError(f"{party_name(peer)} {what}", where=place, why=why, todo=todo)

    # Dropping.

    def _look(self, upload: Upload) -> None:
        """Raises PartyError where a peer gave it up."""
        with self._changed:
            said, gone = self._about(upload.id), self._gone.get(upload.id)
            left = [peer for peer, accepted in said.verdicts.items() if not accepted and peer not in said.prepared]
        if gone is None and left:
            gone = self._left(left[0])
            self._give_up(upload, gone)
        if gone is not None:
            raise gone

    def _left(self, peer: int) -> Relayed:
        place = Place(party=self.party, phase="input", peer=party_name(peer))
        return Relayed(f"{party_name(peer)} gave this value up", where=place, todo="it says why")

    @contextmanager
    def _or_give_up(self, upload: Upload) -> Generator[None]:
        """What this party cannot store, none stores."""
        try:
            yield
        except StoreError:
            self._drop(upload)
            self._refuse(upload.id)
            raise

    def _give_up(self, upload: Upload, why: PartyError) -> None:
        self._gone.put(upload.id, why)
        with suppress(StoreError):  # Its file is swept away later.
            self._drop(upload)

    def _refuse(self, upload: bytes) -> None:
        with suppress(PartyError):  # who is not connected hears nothing, and has its own deadline
            self._tell("verdict", {"upload": upload, "accepted": False})

    def expire(self) -> None:
        """Drop what nobody comes back to."""
        limit = time.monotonic() - self._limits.upload_s
        with self._changed:
            late = [upload for upload in self._open.values() if upload.used < limit]
        for upload in late:
            with suppress(StoreError):  # Its file is swept away later.
                self._drop(upload)

    def _drop(self, upload: Upload) -> None:
        with self._changed:
            if self._open.get(upload.id) is upload:
                del self._open[upload.id]
            self._said.pop(upload.id)
        upload.writer.abort()


def _about(client: str, name: str, contents: Contents, programs: Sequence[str], expires: int) -> bytes:
    said = "\0".join((client, name, contents.text, *sorted(programs), str(expires)))
    return hashlib.sha256(said.encode()).digest()
