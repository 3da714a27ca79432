"""A party that lost its disk takes back what it held, from the two others: that is what replication is for.

In: the roster, this party's identity, its store, which no service has open. Out: a report of what came back, what was
here already, and what cannot come. Each value is taken back only where the two others describe it alike and hold the
same words of the summand that both have. Each gives summands that this party held before, and nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jmpc import families
from jmpc.cluster import Identity, Roster
from jmpc.cluster.names import index_of
from jmpc.errors import ConfigError, JMPCError, StoreError
from jmpc.runtime.contents import Contents, part_name
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, foreign, from_record, party_name
from jmpc.runtime.tls import Endpoint
from jmpc.service.peers import terms
from jmpc.service.words import RESTORE
from jmpc.store import Description, Part, Store, Survivors
from jmpc.store.value import from_record as read_record

DIAL_S = 10.0
ANSWER_S = 600.0  # for a fingerprint of a large value
_CHUNK_BYTES = 1 << 22
_RESULT = "it is a result that waits for its receiver, and each party has a part of its own: run the program again"


@dataclass
class Report:
    """By name: what was taken back, what was here and sound, and what could not be taken back, with the reason."""

    rebuilt: list[str] = field(default_factory=list[str])
    sound: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class _Survivor:
    party: int
    link: ControlLink

    def ask(self, kind: str, fields: dict[str, Any], answer: str) -> dict[str, Any]:
        self.link.send(kind, fields, time.monotonic() + DIAL_S)
        found, said = self.link.receive((answer, "failed"), time.monotonic() + ANSWER_S)
        if found == "failed":
            raise from_record(said, self.party)
        return said


def rebuild(
    roster: Roster, identity: Identity, store: Store, progress: Callable[[str, int, int], None] | None = None
) -> Report:
    """progress: called with a name, how many are done, and of how many. Raises RefusedError where an operator has not
    consented, PartyError where a party is not reached."""
    party = index_of(identity.name)
    if party is None:
        raise ConfigError(f"{identity.name} is no party", where="identity", todo="use the folder of a party")
    endpoint = Endpoint(identity.credentials, roster.refusal)
    survivors: list[_Survivor] = []
    try:
        for other in range(len(roster.parties)):
            if other != party:
                survivors.append(_Survivor(other, _dial(roster, endpoint, party, other)))
        return _Rebuild(party, store, survivors).run(progress or (lambda name, done, of: None))
    finally:
        for survivor in survivors:
            survivor.link.close()


def _dial(roster: Roster, endpoint: Endpoint, party: int, other: int) -> ControlLink:
    member, deadline = roster.parties[other], time.monotonic() + DIAL_S
    assert member.address is not None
    with foreign(Place(party=party, phase="restore", peer=party_name(other))):
        raw = socket.create_connection(member.address, timeout=DIAL_S)
    link = ControlLink(endpoint.dial(raw, roster.uri(member.name), deadline), party, party_name(other), RESTORE)
    try:
        link.phase = "restore"
        link.send("restore", terms(roster, party), deadline)
        kind, said = link.receive(("welcome", "failed"), deadline)
        if kind == "failed":
            raise from_record(said, other)
    except BaseException:
        link.close()
        raise
    return link


class _Rebuild:
    def __init__(self, party: int, store: Store, survivors: list[_Survivor]) -> None:
        self._party, self._store, self._survivors = party, store, survivors

    def run(self, progress: Callable[[str, int, int], None]) -> Report:
        report = Report()
        asked = [s.ask("inventory", {}, "held") for s in self._survivors]
        here = {stored.description.name for stored in self._store.values()}
        results = {name for held in asked for name in held["results"]} - here
        report.failed |= dict.fromkeys(sorted(results), _RESULT)
        inventories: list[set[str]] = [set(held["names"]) for held in asked]
        names = sorted({name for held in inventories for name in held})
        both = [name for name in names if all(name in held for held in inventories)]
        report.failed |= {name: "only one of the two others has it" for name in names if name not in set(both)}
        expected = [self._described(self._survivors[0], name) for name in both]
        lost = [said.name for said in self._store.missing(expected, deep=True)]
        report.sound += [name for name in both if name not in set(lost)]
        for done, name in enumerate(lost):
            progress(name, done, len(lost))
            try:
                self._rebuild(name)
                report.rebuilt.append(name)
            except JMPCError as exc:
                if not all(survivor.link.alive for survivor in self._survivors):
                    raise
                report.failed[name] = f"{exc.what}: {exc.why}" if exc.why else exc.what
        return report

    @staticmethod
    def _described(survivor: _Survivor, name: str) -> Description:
        return _description(survivor.ask("describe", {"name": name}, "described")["record"])

    def _rebuild(self, name: str) -> None:
        said = {party_name(s.party): self._described(s, name) for s in self._survivors}
        asked = {s.party: s.ask("fingerprint", {"name": name}, "fingerprinted") for s in self._survivors}
        overlap = {party_name(party): answer["overlap"] for party, answer in asked.items()}
        survivors = Survivors(said, overlap)
        description = survivors.agreed()
        contents = Contents.of(description.form)
        family = families.FAMILIES[contents.protocol]
        specs = contents.parts(family, self._party)
        parts = [
            Part(part_name(leaf, n), dtype.name, shape)
            for leaf, found in enumerate(specs)
            for n, (shape, dtype) in enumerate(found)
        ]
        with self._store.rebuilder(survivors, parts) as writer:
            for leaf, entry in enumerate(contents.leaves):
                holds = family.form(entry.type).holds
                for n, summand in enumerate(holds[self._party]):
                    source = next(s for s in self._survivors if summand in holds[s.party])
                    self._copy(source, description, leaf, summand, writer.write, part_name(leaf, n))
            writer.commit()

    @staticmethod
    def _copy(
        source: _Survivor, said: Description, leaf: int, summand: int, write: Callable[[str, bytes], None], part: str
    ) -> None:
        fields = {"name": said.name, "version": said.version, "leaf": leaf, "summand": summand}
        rest: int = source.ask("copy", fields, "words")["bytes"]
        while rest:
            size = min(rest, _CHUNK_BYTES)
            write(part, source.link.receive_bytes(size, time.monotonic() + ANSWER_S))
            rest -= size


def _description(text: str) -> Description:
    try:
        found, _, _ = read_record(text)
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError("another party describes a value in a way that is not understood") from exc
    found.check()
    return found
