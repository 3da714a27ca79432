"""What clients may do with the values that a party stores: the rules of the store's contents, which the store does not
enforce.

In: a client, a name, a program. Out: arrays, descriptions, or a RefusedError that says who would have to allow it. A
name belongs to whoever put it first. A value depends on the data of its `owners`; a program reads it where each of them
is in the job, or has consented to that program. A result waits for its receiver alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from jmpc import families
from jmpc.errors import ArgumentError, NotStoredError, RefusedError, StoreError
from jmpc.families.family import Family
from jmpc.ir.text import print_type
from jmpc.runtime.contents import Contents, part_name
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.messages import size_of
from jmpc.runtime.requests import MOST_CONSENTS, NEVER, PAGE_BYTES, UNCHANGED
from jmpc.service.cache import Arrays, Cache
from jmpc.service.library import Ready
from jmpc.store import AnyStore, Description, Part, Stored, WriterOf


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value, read as this service wrote it."""

    stored: Stored
    contents: Contents

    @property
    def name(self) -> str:
        return self.stored.description.name

    @property
    def owner(self) -> str:
        return self.stored.description.owner

    @property
    def version(self) -> int:
        return self.stored.description.version

    @property
    def consents(self) -> list[tuple[str, str]]:
        """An owner, and the hash of a program that may read what it owns."""
        pairs = (said.partition(" ") for said in self.stored.description.programs)
        return [(owner, program) for program, _, owner in pairs]

    def fields(self) -> list[object]:
        """As `requests.VALUE_FIELDS` lists them."""
        said = self.stored.description
        expires = NEVER if said.expires is None else said.expires
        consents = [list(pair) for pair in self.consents]
        return [
            said.name,
            said.owner,
            said.version,
            said.created,
            expires,
            self.stored.bytes,
            consents,
            list(said.receivers),
        ]


@dataclass(frozen=True, slots=True)
class Source:
    """An input that is shared already: where it comes from."""

    number: int
    entry: Entry
    leaf: int


class Values:
    """Threads share it."""

    def __init__(self, store: AnyStore, party: int) -> None:
        self.store, self.party = store, party
        self.cache = Cache()
        self._amending = threading.Lock()
        self._naming = threading.Lock()

    def entry(self, name: str) -> Entry:
        """Raises NotStoredError."""
        return _entry(self.store.describe(name))

    def entries(self) -> list[Entry]:
        return [_entry(stored) for stored in self.store.values()]

    def page(self, after: str) -> tuple[list[list[object]], bool]:
        """By name, the fields of the values after one: as many as a page has, and at least one. Whether more follow."""
        rows, size = list[list[object]](), 0
        for stored in self.store.values():
            if stored.description.name <= after:
                continue
            fields = _entry(stored).fields()
            size += size_of(fields)
            if rows and size > PAGE_BYTES:
                return rows, True
            rows.append(fields)
        return rows, False

    # Reading.

    def sources(
        self, ready: Ready, stored: Sequence[tuple[int, str, int, int]], clients: Collection[str]
    ) -> list[Source]:
        """The stored inputs of a job of `clients`, by number. Raises RefusedError, ArgumentError, NotStoredError."""
        named = {number: (name, leaf) for number, name, leaf, _ in stored}
        if sorted(named) != ready.stored or len(named) != len(stored):
            raise ArgumentError(
                "the stored inputs of this call are not those of its program",
                where="stored",
                why=f"the program has {len(ready.stored)} inputs that are shared already, each to be named once",
            )
        found = [Source(number, self.entry(name), leaf) for number, (name, leaf) in sorted(named.items())]
        for source in found:
            self._check_source(ready, source)
        for _, name, _, version in stored:
            if version and self.entry(name).version != version:
                raise ArgumentError(
                    f"{name!r} was replaced since the client took hold of it",
                    where="stored",
                    why=f"it is of version {self.entry(name).version}, and the call names version {version}",
                    todo="take it anew: jmpc.stored(NAME); to keep both, store them under different names",
                )
        for entry in {source.entry.name: source.entry for source in found}.values():
            self.check_consent(entry, ready.hash, clients)
        return found

    def check_consent(self, entry: Entry, program: str, clients: Collection[str]) -> None:
        """Whether a program may read a value in a job of `clients`."""
        consents = set(entry.consents)
        missing = [o for o in entry.contents.owners if o not in clients and (o, program) not in consents]
        if missing:
            raise self._refused(
                f"{entry.name!r} may not be read by this program",
                f"{' and '.join(missing)} did not consent to {program}, and is not in the call",
                [f"{owner} consents: cluster.consent({entry.name!r}, {program!r})" for owner in missing],
            )

    def load(self, source: Source) -> Arrays:
        """This party's arrays of a stored input."""
        entry, leaf = source.entry, source.leaf
        arrays = self.cache.get(entry.name, entry.version, leaf)
        if arrays is None:
            arrays = self._loaded(entry, leaf)
            self.cache.put(entry.name, entry.version, leaf, arrays)
            if not self._is_stored(entry.name, entry.version):  # not any more
                self.cache.forget(entry.name)
        return arrays

    def expire(self) -> None:
        """Drop what is over from the disk, and from memory what is not stored any more."""
        with suppress(StoreError):  # its turn comes again; it is given to nobody
            self.store.expire()
        self.cache.keep(self._is_stored)

    def _is_stored(self, name: str, version: int) -> bool:
        try:
            return self.store.describe(name).description.version == version
        except StoreError:
            return False

    def fetch(self, name: str, client: str) -> tuple[Entry, list[Arrays]]:
        """A result, for its receiver. Raises RefusedError for anybody else, and for what is no result."""
        entry = self.entry(name)
        if not entry.contents.result:
            raise self._refused(
                f"{name!r} is no result: it stays shared",
                "nobody was named to learn it",
                [f"learn it by a program that names a receiver: outputs={client!r}, and jmpc.stored({name!r})"],
            )
        if client not in entry.stored.description.receivers:
            learns = " and ".join(entry.stored.description.receivers)
            raise self._refused(f"{name!r} is not for {client}", f"its program says that {learns} learns it", [])
        return entry, [self._loaded(entry, leaf) for leaf in range(len(entry.contents.leaves))]

    def _loaded(self, entry: Entry, leaf: int) -> Arrays:
        counts = [len(specs) for specs in self._parts(entry.contents)]
        with self.store.reader(entry.name) as reader:
            if reader.description.version != entry.version:
                raise NotStoredError(f"{entry.name!r} was replaced meanwhile", where=str(self.store.folder))
            return [reader.array(part_name(leaf, n)) for n in range(counts[leaf])]

    def _check_source(self, ready: Ready, source: Source) -> None:
        contents, config = source.entry.contents, ready.program.config
        if contents.result:
            raise self._refused(
                f"{source.entry.name!r} is a result, which no program reads", "it is its receiver's", []
            )
        if source.leaf >= len(contents.leaves):
            raise ArgumentError(f"{source.entry.name!r} has no array {source.leaf}", where="stored")
        wanted, leaf = ready.program.body.params[source.number].type, contents.leaves[source.leaf]
        same = (contents.protocol, contents.k, contents.f) == (config.protocol, config.k, config.f)
        if not same or not wanted.contains(leaf.type):
            raise ArgumentError(
                f"the program does not read {source.entry.name!r}{leaf.path} as it was shared",
                where="stored",
                why=f"it was shared as {print_type(leaf.type)}, and the program takes {print_type(wanted)}",
                todo="compile the program for the value as it is now: call the function again",
            )

    # Writing.

    def next_version(self, names: Collection[str]) -> int:
        """Greater than that of each of `names`."""
        held = [stored.description.version for stored in self.store.values() if stored.description.name in names]
        return max([self.store.generation, *held]) + 1

    def check_owner(self, name: str, clients: Collection[str], also: Collection[str] = ()) -> None:
        """Whether some client may replace or delete a value."""
        try:
            entry = self.entry(name)
        except NotStoredError:
            return
        if not {entry.owner, *also} & set(clients):
            raise self._refused(
                f"{name!r} is another client's",
                f"{entry.owner} put it first",
                [f"to store a value of yours, choose another name; to change or delete this one, ask {entry.owner}"],
            )

    def commit(self, writer: WriterOf, clients: Collection[str]) -> Stored:
        """Make a value last. Whose its name is was asked before, and is asked again: another's may have come meanwhile.
        Raises RefusedError, StoreError."""
        with self._naming:
            self.check_owner(writer.description.name, clients)
            try:
                return writer.commit()
            finally:
                self.cache.forget(writer.description.name)

    def described(
        self, name: str, contents: Contents, owner: str, *, programs: Sequence[str] = (), receivers: Sequence[str] = (),
        expires: int, version: int, created: int,
    ) -> Description:  # fmt: skip
        """As all parties say it. programs: to which the owner consents."""
        return Description(
            name,
            owner,
            contents.text,
            (len(contents.leaves),),
            contents.k,
            tuple(sorted(f"{program} {owner}" for program in programs)),
            tuple(receivers),
            created=created,
            expires=None if expires == NEVER else expires,
            version=version,
        )

    def writer(self, description: Description, contents: Contents) -> WriterOf:
        """For the arrays of a value."""
        parts = [
            Part(part_name(leaf, n), dtype.name, shape)
            for leaf, specs in enumerate(self._parts(contents))
            for n, (shape, dtype) in enumerate(specs)
        ]
        return self.store.writer(description, parts)

    def _parts(self, contents: Contents) -> list[list[tuple[tuple[int, ...], np.dtype]]]:
        return contents.parts(self._family(contents), self.party)

    @staticmethod
    def _family(contents: Contents) -> Family:
        return families.FAMILIES[contents.protocol]

    def delete(self, name: str, client: str) -> Entry:
        """By who put it, or by any of those whose data it depends on. Raises RefusedError, NotStoredError."""
        entry = self.entry(name)
        self.check_owner(name, [client], entry.contents.owners)
        try:
            self.store.delete(name)
        finally:
            self.cache.forget(name)
        return entry

    def amend(self, name: str, client: str, allow: Sequence[str], forbid: Sequence[str], expires: int) -> None:
        """What a client consents to, and when the value expires. Raises RefusedError, NotStoredError."""
        with self._amending:
            entry = self.entry(name)
            said = entry.stored.description
            if client not in entry.contents.owners and client != entry.owner:
                owners = " and ".join(entry.contents.owners)
                raise self._refused(f"{name!r} is not of {client}", f"its owners are {owners}", [])
            kept = {text for text in said.programs if text not in {f"{program} {client}" for program in forbid}}
            programs = tuple(sorted(kept | {f"{program} {client}" for program in allow}))
            if len(programs) > MOST_CONSENTS:
                raise self._refused(
                    f"too many programs may read {name!r}",
                    f"they would be {len(programs):,}, and {MOST_CONSENTS:,} is the most",
                    ["withdraw the consent to those that are not run any more"],
                )
            until = said.expires if expires == UNCHANGED else None if expires == NEVER else expires
            self.store.amend(replace(said, programs=programs, expires=until))

    def _refused(self, what: str, why: str, todo: list[str]) -> RefusedError:
        return RefusedError(
            what, where=Place(party=self.party, phase="input"), why=f"{party_name(self.party)}: {why}", todo=todo
        )


def _entry(stored: Stored) -> Entry:
    return Entry(stored, Contents.of(stored.description.form))
