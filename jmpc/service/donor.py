"""What a party gives to another that lost its disk: the summands that both held, and what it knows of them.

In: a link that a party opened to be restored, and whether this party's operator consents. Out: descriptions, a
fingerprint of what the two others hold both, and words. Whoever restores gets nothing that it did not hold before; but
who has stolen its identity would get it too, so that an operator says first that it may be: by telephone, and for a
while.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from typing import Any, Protocol

from jmpc import families
from jmpc.errors import JMPCError, NotStoredError, PartyError, RefusedError
from jmpc.runtime.contents import part_name
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place, completed, from_engine, party_name, to_record
from jmpc.service.events import Observer
from jmpc.service.peers import Peers
from jmpc.service.values import Entry, Values
from jmpc.service.words import RESTORE
from jmpc.store.value import record

_OVERLAP = b"restore"
ANSWER_S = 60.0
IDLE_S = 3600.0  # the other donor may take long over a large value
_ASKED = ("inventory", "describe", "fingerprint", "copy")


class Allowed(Protocol):
    """What the operator has said."""

    def refusal(self, party: int) -> str:
        """Why a party may not be given what it lost, or ""."""
        ...


class Nothing:
    """No party may."""

    def refusal(self, party: int) -> str:
        return f"the operator has not said that {party_name(party)} may be given what it lost"


class Donor:
    """Threads share it."""

    def __init__(self, party: int, values: Values, allowed: Allowed, observer: Observer) -> None:
        self.party, self._values, self._allowed, self._observer = party, values, allowed, observer
        self._peers: Peers | None = None

    def meet(self, peers: Peers) -> None:
        """The other parties; once."""
        self._peers = peers

    def serve(self, sock: ssl.SSLSocket, peer: int) -> None:
        """Answer a party that proved who it is, until it hangs up."""
        link = ControlLink(sock, self.party, party_name(peer), RESTORE)
        try:
            if why := self._allowed.refusal(peer):
                self._observer.event("restore refused", peer=party_name(peer), why=why)
                self._fail(link, self._refused(peer, why))
                return
            self._observer.event("restore started", peer=party_name(peer))
            link.send("welcome", {}, _soon())
            while link.ready(IDLE_S):
                self._answer(link, peer, *link.receive(_ASKED, _soon()))
        except PartyError:
            return  # It is gone.
        finally:
            link.close()

    def _answer(self, link: ControlLink, peer: int, kind: str, fields: dict[str, Any]) -> None:
        try:
            if kind == "inventory":
                link.send("held", self._inventory(), _soon())
            elif kind == "describe":
                entry = self._values.entry(fields["name"])
                link.send("described", {"record": record(entry.stored.description, [])}, _soon())
            elif kind == "fingerprint":
                overlap = self._overlap(self._values.entry(fields["name"]), peer)
                link.send("fingerprinted", {"overlap": overlap}, _soon())
            else:
                self._copy(link, peer, fields)
        except JMPCError as exc:
            if not link.alive:
                raise
            self._fail(link, exc)
        except Exception as exc:
            self._fail(link, from_engine(exc, Place(party=self.party, phase=kind)))

    def _inventory(self) -> dict[str, list[str]]:
        """A result is each party's own, masked for its receiver: no other party has it."""
        entries = self._values.entries()
        return {
            "names": [entry.name for entry in entries if not entry.contents.result],
            "results": [entry.name for entry in entries if entry.contents.result],
        }

    def _overlap(self, entry: Entry, lost: int) -> bytes:
        """Of all that this party and the other survivor hold both, under the secret of their link, which the party that
        lost it does not have."""
        assert self._peers is not None
        (other,) = [peer for peer in self._peers.others if peer != lost]
        digests: list[bytes] = []
        holds = [families.FAMILIES[entry.contents.protocol].form(leaf.type).holds for leaf in entry.contents.leaves]
        with self._values.store.reader(entry.name) as reader:
            for leaf, held in enumerate(holds):
                for summand in sorted(set(held[self.party]) & set(held[other])):
                    found = hashlib.sha256()
                    for block in reader.blocks(part_name(leaf, held[self.party].index(summand))):
                        found.update(block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes())
                    digests.append(found.digest())
        about = record(entry.stored.description, []).encode()
        return self._peers.link(other).secret.tag(_OVERLAP, about, *digests)

    def _copy(self, link: ControlLink, peer: int, fields: dict[str, Any]) -> None:
        entry = self._values.entry(fields["name"])
        family = families.FAMILIES[entry.contents.protocol]
        leaf: int = fields["leaf"]
        summand: int = fields["summand"]
        known = entry.version == fields["version"] and leaf < len(entry.contents.leaves)
        holds = family.form(entry.contents.leaves[leaf].type).holds if known else ()
        if entry.contents.result or not known or summand not in holds[self.party] or summand not in holds[peer]:
            raise NotStoredError(f"{fields['name']!r} has nothing here that {party_name(peer)} held")
        with self._values.store.reader(entry.name) as reader:
            part = reader.part(part_name(leaf, holds[self.party].index(summand)))
            link.send("words", {"bytes": part.bytes}, _soon())
            for block in reader.blocks(part.name):
                link.send_arrays([block.astype(block.dtype.newbyteorder("<"), copy=False)], _soon())
        self._observer.event("value restored", peer=party_name(peer), name=entry.name)

    def _fail(self, link: ControlLink, exc: JMPCError) -> None:
        link.send("failed", to_record(completed(exc, self.party, "restore", None)), _soon())

    def _refused(self, peer: int, why: str) -> RefusedError:
        name = party_name(self.party)
        return RefusedError(
            f"{name} gives nothing back",
            where=Place(party=self.party, phase="restore", peer=party_name(peer)),
            why=why,
            todo=f"ask the operator of {name}, who says: jmpc party allow-rebuild party/{peer} --config party.toml",
        )


def _soon() -> float:
    return time.monotonic() + ANSWER_S
