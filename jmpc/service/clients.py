"""What a party does for its clients: one request at a time on each link, each answered, or refused with a reason.

In: the TLS socket of a client that proved who it is. Out: what `runtime/requests.py` says, until the link ends. A
client may open several links; what it may do is decided by its name alone.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from jmpc import __version__
from jmpc.errors import ArgumentError, HandshakeError, JMPCError, NotStoredError, PartyError, RefusedError, StoreError
from jmpc.ring.aligned import aligned_array
from jmpc.runtime.contents import Contents
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, completed, foreign, from_engine, party_name, to_record
from jmpc.runtime.requests import CHUNK_BYTES, PROTOCOL, REQUESTS, VALUE_FIELDS
from jmpc.runtime.schema import SchemaError
from jmpc.service.board import Board
from jmpc.service.events import Observer
from jmpc.service.inputs import Inputs
from jmpc.service.job import Job, Join, Keeping
from jmpc.service.jobs import Attempt, Jobs
from jmpc.service.library import Library, Ready
from jmpc.service.limits import Limits
from jmpc.service.room import Holding
from jmpc.service.uploads import Upload, Uploads
from jmpc.service.values import Values

PROGRESS_S = 0.5
ANSWER_S = 60.0  # for a client to take an answer, or to send what it announced
SILENT_S = 10.0  # for the next piece of what holds room
SLOWEST = 1 << 18  # bytes a second of what is large
_REQUESTS = ("load", "join", "put", "commit", "values", "describe", "delete", "amend", "fetch", "status")
_ON_BOARD = ("post", "look")
_LOOK_UP = "cluster.list(), or jmpc client list, says what is stored"


class Programs(Protocol):
    """The programs that this party's operator knows, and which of them may run."""

    def submit(self, text: str, client: str) -> str: ...
    def refusal(self, program: str, client: str) -> str: ...
    def text(self, program: str) -> str | None: ...
    def started(self, program: str, client: str) -> None:
        """A run is about to begin. Raises RefusedError where it may not any more."""
        ...


class Clients:
    """All links of all clients. roster: the hash of what clients must have the same.  state: what `status` says."""

    def __init__(
        self,
        party: int,
        roster: str,
        library: Library,
        programs: Programs,
        jobs: Jobs,
        values: Values,
        uploads: Uploads,
        limits: Limits,
        state: Callable[[], dict[str, Any]],
        observer: Observer,
    ) -> None:
        self.party, self.roster = party, roster
        self.library, self.programs, self.jobs, self.values, self.uploads = library, programs, jobs, values, uploads
        self.limits, self.state, self.observer = limits, state, observer
        self.board = Board(party)
        self._lock = threading.Lock()
        self._links: dict[ControlLink, str] = {}
        self._certificates: dict[ControlLink, bytes] = {}
        self._open = True

    def accept(self, sock: ssl.SSLSocket, client: str) -> None:
        """Serve a client that proved to be `client`, in a thread of its own."""
        link = ControlLink(sock, self.party, f"client {client}", REQUESTS)
        with self._lock:
            count = Counter(self._links.values())[client]
            if not self._open or count >= self.limits.links:
                link.close()
                self.observer.event("client refused", client=client, why=f"it has {count} links")
                return
            self._links[link] = client
            self._certificates[link] = sock.getpeercert(binary_form=True) or b""
        self.observer.event("client connected", client=client, links=count + 1)
        try:
            threading.Thread(target=self._serve, args=(link, client), name=f"jmpc client {client}", daemon=True).start()
        except RuntimeError:  # no thread to be had
            self._forget(link, client)
            raise

    def _serve(self, link: ControlLink, client: str) -> None:
        try:
            Conversation(self, link, client).hold()
        except Exception as exc:
            error = exc if isinstance(exc, PartyError) else from_engine(exc, Place(party=self.party))
            self.observer.event("client refused", client=client, why=error.what)
        finally:
            self._forget(link, client)

    def _forget(self, link: ControlLink, client: str) -> None:
        link.close()
        self.board.forget(link)
        with self._lock:
            del self._links[link], self._certificates[link]
        self.observer.event("client left", client=client)

    def look(self, gone: Callable[[str, bytes], str]) -> None:
        """End the links of clients whose certificate does not count any more. gone: why not, of a client and its
        certificate, or ""."""
        with self._lock:
            links = [(link, client, self._certificates[link]) for link, client in self._links.items()]
        for link, client, certificate in links:
            if why := gone(client, certificate):
                self.observer.event("client refused", client=client, why=why)
                link.hang_up()

    def close(self) -> None:
        with self._lock:
            self._open = False
            links = list(self._links)
        for link in links:
            link.hang_up()

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._links)


class Conversation:
    """One link, from its greeting to its end."""

    def __init__(self, house: Clients, link: ControlLink, client: str) -> None:
        self._house, self._link, self._client, self._party = house, link, client, house.party
        self._upload: Upload | None = None
        self._turn = 0
        self._unread = 0  # bytes of the arrays of a `join` that are still to come
        self._faulty = False  # a chunk was refused: that is the answer to all of this upload, `commit` included

    def hold(self) -> None:
        """Answer requests until the client is gone; raises PartyError if it breaks the protocol."""
        self._greet()
        while self._link.alive:
            self._link.phase = "idle"
            if not self._link.ready(self._house.limits.idle_s):
                return
            try:
                kind, fields = self._link.receive((*_REQUESTS, *_ON_BOARD, "chunk"), self._soon())
            except PartyError:
                if self._link.alive:
                    raise
                return
            self._link.phase = kind
            self._answer(kind, fields)

    def _greet(self) -> None:
        _, theirs = self._link.receive(("hello",), self._soon())
        mine = {"protocol": PROTOCOL, "version": __version__, "roster": self._house.roster}
        self._link.send("hello", {**mine, "party": self._party}, self._soon())
        wrong = [name for name, value in mine.items() if theirs[name] != value]
        if wrong:
            place = Place(party=self._party, phase="handshake", peer=self._link.peer)
            raise HandshakeError(f"{self._link.peer} disagrees on {' and '.join(wrong)}", where=place)

    def _answer(self, kind: str, fields: dict[str, Any]) -> None:
        """What goes wrong with a request is told to the client, and the link goes on; what goes wrong with the link
        ends it."""
        try:
            body = self._body(kind, fields)
            getattr(self, f"_{kind}")(fields, body)
        except JMPCError as exc:
            if not self._link.alive:
                raise
            self._refuse(kind, exc)
        except Exception as exc:
            self._refuse(kind, from_engine(exc, Place(party=self._party, phase=kind)))

    def _body(self, kind: str, fields: dict[str, Any]) -> bytes:
        """What follows a message whatever becomes of it, so that the link stays in step."""
        if kind == "load" and fields["bytes"] > self._house.limits.text:
            self._pass_over(fields["bytes"])
            raise RefusedError(
                "the program's text is too long for this party",
                where=Place(party=self._party, phase=kind, peer=party_name(self._party)),
                why=f"it has {fields['bytes']:,} bytes, and the limit is {self._house.limits.text:,}",
                todo="put loops in it (jax.lax.scan), or ask the operator for more: limits.text in party.toml",
            )
        if kind in ("load", "chunk"):
            return self._link.receive_bytes(fields["bytes"], self._soon(fields["bytes"]))
        return b""

    def _refuse(self, kind: str, exc: JMPCError) -> None:
        told = self._without_folders(exc, kind) if isinstance(exc, StoreError) else exc
        error = completed(told, self._party, kind, None)
        self._house.observer.event("request refused", client=self._client, request=kind, why=error.what)
        self._link.send("failed", to_record(error), self._soon())

    def _without_folders(self, exc: StoreError, kind: str) -> StoreError:
        """Where a party keeps its store is no affair of its clients."""
        todo = exc.todo or ([_LOOK_UP] if isinstance(exc, NotStoredError) else [])
        return type(exc)(exc.what, where=Place(party=self._party, phase=kind), why=exc.why, todo=todo)

    # Programs and jobs.

    def _load(self, _: dict[str, Any], body: bytes) -> None:
        try:
            content = body.decode("ascii")
        except UnicodeDecodeError as exc:
            raise ArgumentError("a program is a text of ASCII", where="load") from exc
        house = self._house
        program = house.programs.submit(content, self._client)
        why = house.programs.refusal(program, self._client)
        if not why:
            house.library.load(content)
        house.observer.event("program submitted", client=self._client, program=program, allowed=not why, why=why)
        self._link.send("loaded", {"program": program, "allowed": not why, "why": why[:2000]}, self._soon())

    def _join(self, fields: dict[str, Any], _: bytes) -> None:
        self._unread = fields["bytes"]
        try:
            ready = self._allowed(fields["program"])
            inputs = Inputs(ready, fields["sent"], fields["keys"], self._unread)
            with self._house.jobs.holding(self._client, ready, inputs.bytes) as holding:
                job = self._joined(fields, ready, inputs, holding)
        except JMPCError:
            self._pass_over(self._unread)  # what it held is free by now
            raise
        if job is not None:  # however long its client takes for that: no room is held
            self._deliver(job)

    def _joined(self, fields: dict[str, Any], ready: Ready, inputs: Inputs, holding: Holding) -> Job | None:
        """The job once it is done; None where the client has left."""
        join = Join(
            self._client,
            fields["ticket"],
            fields["label"],
            ready,
            {n: list[np.ndarray]() for n in fields["sent"]},
            tuple((number, name, leaf, version) for number, name, leaf, version in fields["stored"]),
            tuple(map(_keeping, fields["keep"])),
            tuple(map(_keeping, fields["leave"])),
            fields["detached"],
        )
        join.check()  # before its inputs are drawn and taken in: a few bytes may ask for much
        join = replace(join, arrays=inputs.take(partial(self._array, holding=holding)))
        self._house.programs.started(ready.hash, self._client)
        attempt = self._house.jobs.join(join)
        if join.detached:  # it stays when its client goes
            holding.after = lambda: attempt.over
        return self._await(attempt)

    def _allowed(self, program: str) -> Ready:
        house = self._house
        if why := house.programs.refusal(program, self._client):
            raise RefusedError(
                "this party does not run the program",
                where=Place(party=self._party, phase="join", peer=party_name(self._party)),
                why=why,
            )
        ready = house.library.get(program)
        if ready is None:
            raise RefusedError(
                "this party does not have the program",
                where=Place(party=self._party, phase="join", peer=party_name(self._party)),
                why=f"nothing of the hash {program} is loaded",
                todo="load it again: call the function, which does so",
            )
        return ready

    def _pass_over(self, size: int) -> None:
        """Arrays that are not wanted: the link goes on after them."""
        while size:
            size -= len(self._link.receive_bytes(min(size, CHUNK_BYTES), self._soon()))

    def _array(self, shape: tuple[int, ...], dtype: np.dtype, holding: Holding) -> np.ndarray:
        """It holds room until it is there, so it must come without a pause: piece after piece."""
        out = aligned_array(shape, dtype)
        words = out.reshape(-1).view(np.uint8)
        for at in range(0, words.size, CHUNK_BYTES):
            now, piece = time.monotonic(), words[at : at + CHUNK_BYTES]
            if now > holding.until:
                raise self._too_slow()
            rest, self._unread = self._unread, 0  # amid a piece it is not known how much more will come
            self._link.receive_into(piece, now + SILENT_S + piece.nbytes / SLOWEST)
            self._unread = rest - piece.nbytes
        return out

    def _too_slow(self) -> RefusedError:
        return RefusedError(
            "the inputs of this call come too slowly",
            where=Place(party=self._party, phase="join", peer=party_name(self._party)),
            why=f"they take more than half of the room that a party has for inputs, others have waited for it, and "
            f"{self._house.limits.waiting_s:g} s later they were not there",
            todo=[
                "store them first, which takes no such room: cluster.put(...), and jmpc.stored(NAME) as argument",
                "send fewer rows at once, or ask the operator for more: limits.held in party.toml",
            ],
        )

    def _await(self, attempt: Attempt) -> Job | None:
        """The job once it is done, with signs of life to the client meanwhile; None where the client has left."""
        until = time.monotonic() + PROGRESS_S
        while True:
            job = attempt.job
            if (job.done if job else attempt.changed).wait(max(0.0, until - time.monotonic())):
                if error := attempt.error or (attempt.job.error if attempt.job else None):
                    raise error
                if attempt.job and attempt.job.done.is_set():
                    return attempt.job
                continue
            until = time.monotonic() + PROGRESS_S
            if not self._tell_progress(attempt):
                self._house.jobs.leave(attempt, "its connection ended")
                return None

    def _tell_progress(self, attempt: Attempt) -> bool:
        """Whether the client is still there. It says nothing while it waits: what can be read is the end."""
        jobs, ready = self._house.jobs, attempt.join.ready
        fields = {"rounds": jobs.progress(attempt), "of": ready.rounds, "waits": jobs.waits_for(attempt)[:200]}
        try:
            if self._link.ready():
                self._link.close()
                return False
            self._link.send("progress", fields, self._soon())
        except PartyError:
            return False
        return True

    def _deliver(self, job: Job) -> None:
        numbers, outcome = job.outputs_for(self._client), job.outcome
        done = {
            "session": job.session,
            "seconds": outcome.seconds,
            "rounds": outcome.traffic.rounds,
            "sent": outcome.traffic.sent,
            "received": outcome.traffic.received_from.total(),
            "version": outcome.version,
            "outputs": numbers,
        }
        arrays = [array for n in numbers for array in outcome.outputs[n]]
        self._link.send("done", done, self._soon(sum(array.nbytes for array in arrays)), arrays=arrays)

    # Stored values.

    def _put(self, fields: dict[str, Any], _: bytes) -> None:
        with foreign(Place(party=self._party, phase="put", peer=self._link.peer)):
            contents = Contents.of(fields["contents"])
        self._upload, self._faulty = None, False
        self._upload = self._house.uploads.begin(
            self._client, fields["upload"], fields["name"], contents, fields["programs"], fields["expires"]
        )
        self._turn = self._upload.turn
        size = sum(part.bytes for part in self._upload.writer.parts)
        self._house.observer.event("upload started", client=self._client, name=fields["name"], bytes=size)
        self._link.send("writing", {"written": self._upload.written}, self._soon())

    def _chunk(self, fields: dict[str, Any], body: bytes) -> None:
        if self._faulty:
            return
        self._faulty = True
        if self._upload is None:
            raise ArgumentError("a chunk belongs to an upload", where="chunk", todo="put the value first")
        self._house.uploads.write(self._upload, self._turn, fields["part"], body)
        self._faulty = False

    def _commit(self, fields: dict[str, Any], _: bytes) -> None:
        if self._faulty:
            return
        version = self._house.uploads.commit(self._client, fields["upload"])
        upload, self._upload = self._upload, None
        if upload:
            said = upload.writer.description
            size = sum(part.bytes for part in upload.writer.parts)
            self._house.observer.event("value stored", name=said.name, owner=said.owner, version=version, bytes=size)
        self._link.send("stored", {"version": version}, self._soon())

    def _values(self, fields: dict[str, Any], _: bytes) -> None:
        rows, more = self._house.values.page(fields["after"])
        self._link.send("listed", {"entries": rows, "more": more}, self._soon())

    def _describe(self, fields: dict[str, Any], _: bytes) -> None:
        entry = self._house.values.entry(fields["name"])
        said = dict(zip(VALUE_FIELDS, entry.fields(), strict=True))
        self._link.send("described", {**said, "contents": entry.contents.text}, self._soon())

    def _delete(self, fields: dict[str, Any], _: bytes) -> None:
        entry = self._house.values.delete(fields["name"], self._client)
        self._house.observer.event("value deleted", name=entry.name, owner=entry.owner)
        self._link.send("deleted", {}, self._soon())

    def _amend(self, fields: dict[str, Any], _: bytes) -> None:
        house = self._house
        house.values.amend(fields["name"], self._client, fields["allow"], fields["forbid"], fields["expires"])
        self._link.send("amended", {}, self._soon())

    def _fetch(self, fields: dict[str, Any], _: bytes) -> None:
        entry, arrays = self._house.values.fetch(fields["name"], self._client)
        said = dict(zip(VALUE_FIELDS, entry.fields(), strict=True))
        flat = [array for leaf in arrays for array in leaf]
        self._house.observer.event("result fetched", name=entry.name, client=self._client)
        until = self._soon(sum(array.nbytes for array in flat))
        self._link.send("result", {**said, "contents": entry.contents.text}, until, arrays=flat)

    def _status(self, _: dict[str, Any], __: bytes) -> None:
        self._link.send("state", {"text": json.dumps(self._house.state())}, self._soon())

    def _post(self, fields: dict[str, Any], _: bytes) -> None:
        self._house.board.post(self._link, self._client, fields["label"], fields["text"])
        self._link.send("posted", {}, self._soon())

    def _look(self, fields: dict[str, Any], _: bytes) -> None:
        found = self._house.board.look(fields["owner"], fields["label"], fields["wait_s"])
        self._link.send("seen", {"text": found}, self._soon())

    def _soon(self, size: int = 0) -> float:
        return time.monotonic() + ANSWER_S + size / SLOWEST


def _keeping(row: Sequence[Any]) -> Keeping:
    name, content, outputs, expires = row
    try:
        return Keeping(name, Contents.of(content), tuple(outputs), expires)
    except SchemaError as exc:
        raise ArgumentError("what is to be kept is not described", where="keep", why=str(exc)) from exc
