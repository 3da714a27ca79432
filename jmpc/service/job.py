"""A job: one program, with inputs of one or several clients, and what becomes of its results.

In: what clients said when they joined, and the stored values that it reads. Out: whom it still waits for; once it is
whole, its session's id, this party's arrays, digests of all that the parties must agree on, and whose each result is.
This file talks to nobody.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jmpc.errors import ArgumentError, HandshakeError, JMPCError
from jmpc.ir.types import PUBLIC
from jmpc.roles import Role
from jmpc.runtime.channel import flat_bytes
from jmpc.runtime.contents import Contents
from jmpc.service.cache import Arrays
from jmpc.service.library import Ready
from jmpc.service.values import Source, Values
from jmpc.store.value import label_fault

_SESSION = b"jmpc session 1"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Outputs of a program that are stored together under a name."""

    name: str
    contents: Contents
    outputs: tuple[int, ...]
    expires: int

    @property
    def terms(self) -> list[Any]:
        return [self.name, self.contents.text, self.outputs, self.expires]


@dataclass(frozen=True, eq=False)
class Join:
    """What one client said. arrays: by input of the program, its own and public ones."""

    client: str
    ticket: bytes
    label: str
    ready: Ready
    arrays: Mapping[int, Arrays] = field(repr=False)
    stored: tuple[tuple[int, str, int, int], ...] = ()
    keep: tuple[Keeping, ...] = ()
    leave: tuple[Keeping, ...] = ()
    detached: bool = False

    @property
    def terms(self) -> tuple[Any, ...]:
        """What all who join say alike."""
        return self.stored, [k.terms for k in self.keep], [k.terms for k in self.leave]

    def check(self) -> None:
        """Raises ArgumentError for inputs that are not this client's, and for results that are not as the program
        has them."""
        others = _with_a_part(self.ready, self)
        if others and self.client not in others and not has_caller(self.ready):
            raise ArgumentError(
                f"{self.client} has no part in this call",
                where="join",
                why=f"{' and '.join(sorted(others))} supply its inputs and learn its results, and make it together",
            )
        mine = set(supplied(self.ready, self.client)) | set(self.ready.public)
        if set(self.arrays) != mine:
            wrong = sorted(set(self.arrays) ^ mine)
            raise ArgumentError(
                "the inputs of this call are not those of the client",
                where="sent",
                why=f"input {wrong[0]} is {'missing' if wrong[0] in mine else 'not ' + self.client + chr(39) + 's'}",
            )
        for keeping in self.keep:
            _check_keeping(self.ready, keeping, is_result=False)
        for keeping in self.leave:
            _check_keeping(self.ready, keeping, is_result=True)
        names = [keeping.name for keeping in (*self.keep, *self.leave)]
        if len(set(names)) != len(names):
            raise ArgumentError("results of one call are stored under one name twice", where="keep, leave")
        named = [n for keeping in (*self.keep, *self.leave) for n in keeping.outputs]
        if len(set(named)) != len(named) or {*named} < {*_staying(self.ready)}:
            raise ArgumentError("each result that stays shared is kept under one name", where="keep")


def supplied(ready: Ready, client: str) -> list[int]:
    """The inputs that a client sends who joins: its own, and those of the caller, who is that client then."""
    return [*ready.supplied_by(client), *ready.supplied_by(Role.CALLER)]


def _staying(ready: Ready) -> list[int]:
    return [n for n, output in enumerate(ready.program.outputs) if output.receiver == Role.SECRET]


def has_caller(ready: Ready) -> bool:
    """Whether the program speaks of a caller: then one client joins, alone."""
    program = ready.program
    return Role.CALLER in {*(e.owner for e in program.inputs), *(o.receiver for o in program.outputs)}


def awaited(ready: Ready, join: Join) -> set[str]:
    """All who must join: who joined, and who has a part."""
    return {join.client, *_with_a_part(ready, join)}


def _with_a_part(ready: Ready, join: Join) -> set[str]:
    """Owners of inputs, receivers of what is not left for them, by name."""
    left = {n for keeping in join.leave for n in keeping.outputs}
    program = ready.program
    public = set(ready.public)
    owners = {e.owner for n, e in enumerate(program.inputs) if n not in public}
    receivers = {o.receiver for n, o in enumerate(program.outputs) if n not in left}
    return {*owners, *receivers} - {Role.CALLER, Role.SECRET, Role.PUBLIC}


class Job:
    """Whole: nobody is awaited any more. `done` is set when there is an outcome or an error."""

    def __init__(self, ready: Ready, joins: Sequence[Join], values: Values) -> None:
        """Raises HandshakeError where the clients want different things, and what `Values.sources` raises."""
        self.ready, self.joins = ready, sorted(joins, key=lambda join: join.client)
        first = self.joins[0]
        if any(join.terms != first.terms for join in self.joins):
            raise HandshakeError(
                "the clients of this call do not ask for the same",
                why="all who join name the same stored inputs, and keep the same results under the same names",
                todo="run the same script, of the same version, at each",
            )
        self.clients = [join.client for join in self.joins]
        self._values = values
        self.sources: list[Source] = values.sources(ready, first.stored, self.clients)
        self.kept, self.left = first.keep, first.leave
        for keeping in (*self.kept, *self.left):
            values.check_owner(keeping.name, self.clients)
        tickets = b"".join(hashlib.sha256(j.client.encode()).digest() + j.ticket for j in self.joins)
        self.session = hashlib.sha256(_SESSION + bytes.fromhex(ready.hash) + tickets).digest()
        self.done = threading.Event()
        self.error: JMPCError | None = None
        self.given_up: JMPCError | None = None  # by a client, while its session begins
        self.outcome: Any = None
        self.until = math.inf  # when it is given up if its turn has not come

    @property
    def short(self) -> str:
        """The session in logs."""
        return self.session.hex()[:16]

    @property
    def keeps(self) -> bool:
        return bool(self.kept or self.left)

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose data the results depend on."""
        public = set(self.ready.public)
        given = {e.owner for n, e in enumerate(self.ready.program.inputs) if n not in public} - {Role.SECRET}
        named = {self.clients[0] if owner == Role.CALLER else owner for owner in given}
        return tuple(sorted(named.union(*(source.entry.contents.owners for source in self.sources))))

    def inputs(self) -> list[np.ndarray]:
        """This party's arrays of all inputs, in order. Stored ones are read here."""
        sources = {source.number: source for source in self.sources}
        found: list[np.ndarray] = []
        for number in range(len(self.ready.inputs)):
            source = sources.get(number)
            found += self._values.load(source) if source else self._sent(number)
        return found

    def _sent(self, number: int) -> Arrays:
        return next(join.arrays[number] for join in self.joins if number in join.arrays)

    def terms(self) -> dict[str, bytes]:
        """What the parties compare, by name; see words.py."""
        stored = [[s.number, s.entry.name, s.entry.version, s.leaf] for s in self.sources]
        public = [[_digest(join.arrays[n]).hex() for n in self.ready.public] for join in self.joins]
        results = [[k.terms for k in self.kept], [k.terms for k in self.left]]
        return {
            "program": bytes.fromhex(self.ready.hash),
            "stored": _said(stored),
            "public": _said(public),
            "results": _said(results),
        }

    def check_public(self) -> None:
        """Raises HandshakeError where clients sent different public inputs."""
        for number in self.ready.public:
            if len({_digest(join.arrays[number]) for join in self.joins}) > 1:
                path = self.ready.program.inputs[number].path
                raise HandshakeError(f"the clients of this call sent different values of the public input {path}")

    def digests(self, peers: Iterable[int]) -> dict[int, list[bytes]]:
        """By peer, a digest of each summand that both hold of what owners sent, in an order that both have."""
        found: dict[int, list[bytes]] = {peer: [] for peer in peers}
        for number, value in enumerate(self.ready.program.body.params):
            if value.type.visibility == PUBLIC or value.type.secret:
                continue
            ready = self.ready
            mine = dict(zip(ready.summands(number, ready.party), self._sent(number), strict=True))
            made = {summand: _digest([array]) for summand, array in mine.items()}
            for peer, digests in found.items():
                theirs = ready.summands(number, peer)
                digests += [made[summand] for summand in sorted(set(made) & set(theirs))]
        return found

    def next_version(self) -> int:
        """For what is kept; 0 where nothing is."""
        names = [keeping.name for keeping in (*self.kept, *self.left)]
        return self._values.next_version(names) if names else 0

    def outputs_for(self, client: str) -> list[int]:
        """The outputs that a client learns now, and those that everybody may know."""
        left = {n for keeping in self.left for n in keeping.outputs}
        own = {client, Role.PUBLIC, *([Role.CALLER] if client == self.clients[0] else [])}
        return [n for n, output in enumerate(self.ready.program.outputs) if output.receiver in own and n not in left]

    def fail(self, error: JMPCError) -> None:
        self.error, self.joins = error, []
        self.done.set()

    def finish(self, outcome: Any) -> None:
        self.outcome, self.joins = outcome, []  # its inputs go, also where nobody takes the result
        self.done.set()

    def stored_as(self, keeping: Keeping) -> Contents:
        """What is stored under a name: what the client said, with the owners that this party knows."""
        return replace(keeping.contents, owners=self.owners)

    def receivers_of(self, keeping: Keeping) -> list[str]:
        """Who may fetch what is left under a name."""
        return sorted({self.ready.program.outputs[n].receiver for n in keeping.outputs} - {Role.SECRET})


def _check_keeping(ready: Ready, keeping: Keeping, is_result: bool) -> None:
    where = "leave" if is_result else "keep"
    if why := label_fault(keeping.name):
        raise ArgumentError(f"{keeping.name!r} is no name for a value", where=where, why=why)
    program, contents = ready.program, keeping.contents
    config = program.config
    fits = len(keeping.outputs) == len(contents.leaves) and all(n < len(program.outputs) for n in keeping.outputs)
    fits = fits and (contents.protocol, contents.k, contents.f) == (config.protocol, config.k, config.f)
    fits = fits and contents.result == is_result
    if fits:
        types = [program.body.results[n].type for n in keeping.outputs]
        receivers = {program.outputs[n].receiver for n in keeping.outputs}
        fits = types == [leaf.type for leaf in contents.leaves]
        fits = fits and (Role.SECRET not in receivers if is_result else receivers == {Role.SECRET})
        fits = fits and len(receivers) == 1 and not receivers & {Role.CALLER, Role.PUBLIC}
    if not fits:
        raise ArgumentError(
            f"{keeping.name!r} cannot hold these results",
            where=where,
            why="they are not as the program has them, or not for one receiver who has a name",
        )


def _digest(arrays: Sequence[np.ndarray]) -> bytes:
    found = hashlib.sha256()
    for view in flat_bytes(arrays)[0]:
        found.update(view.data)
    return found.digest()


def _said(terms: Any) -> bytes:
    return hashlib.sha256(json.dumps(terms, separators=(",", ":")).encode()).digest()
