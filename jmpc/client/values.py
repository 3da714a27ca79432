"""What is stored at the parties of a cluster, as a client sees it: entries, handles on values, results that wait.

In: what all parties answer. Out: one `Entry` a value, with who lacks it; secret handles; a result, opened. Where the
parties disagree, an error says on what, since then no program can use the value.
"""

from __future__ import annotations

import datetime as dt
import re
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc import families
from jmpc.api import decode
from jmpc.backends import Kept
from jmpc.client.trees import rebuilt
from jmpc.config import Config
from jmpc.errors import ArgumentError, PartyError, StoreError
from jmpc.families import sharing
from jmpc.handle import SecretArray
from jmpc.ir.types import BOOL, FIXED, INT
from jmpc.ring.element import Ring
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import party_name
from jmpc.runtime.messages import ARRAYS_BYTES
from jmpc.runtime.requests import NAME_CHARACTERS, NEVER
from jmpc.runtime.schema import SchemaError

TAKE_S, SLOWEST = 60.0, 1e5  # a result comes within this, and with this many bytes a second
_SAME = ("owner", "version", "created", "expires", "receivers")


@dataclass(frozen=True)
class Entry:
    """A stored value. bytes: of each party's file, None where it lacks it.  consents: by owner, the hashes of the
    programs that may read what is theirs.  receivers: of a result that waits, who may fetch it."""

    name: str
    owner: str
    version: int
    created: dt.datetime
    expires: dt.datetime | None
    bytes: tuple[int | None, ...]
    consents: Mapping[str, tuple[str, ...]]
    receivers: tuple[str, ...] = ()
    contents: Contents | None = field(default=None, repr=False)

    @property
    def missing(self) -> tuple[int, ...]:
        """The parties that lack it: they lost their disk, or were down when it was deleted."""
        return tuple(party for party, size in enumerate(self.bytes) if size is None)

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each array, by path. Of what `describe` gave."""
        leaves = self.contents.leaves if self.contents else ()
        return {leaf.path: (leaf.type.shape, leaf.dtype) for leaf in leaves}


class Lease:
    """Held by all handles on one value. life: of the parties, where handles end with it."""

    life: object = None


@dataclass(frozen=True)
class Held:
    """Where the shares of a handle are. name: of the value.  version: that it must still have.  number: of the array.
    owners: whose data it depends on.  lease: of a value that nobody named, what goes with the last handle on it."""

    name: str
    version: int
    number: int
    owners: tuple[str, ...]
    lease: Lease | None = None


def entry_of(found: Sequence[Mapping[str, Any] | None]) -> Entry:
    """From what each party said of one value; None: it has none. Raises PartyError where they disagree."""
    said = [one for one in found if one is not None]
    first = said[0]
    for key in (*_SAME, "contents"):
        if any(one.get(key) != first.get(key) for one in said):
            raise PartyError(
                f"the parties disagree on {first['name']!r}",
                where="phase describe",
                why=f"they have another {key} of it",
                todo="have its owner put it again, or delete it",
            )
    consents = dict[str, list[str]]()
    for owner, program in first["consents"]:
        consents.setdefault(owner, []).append(program)
    return Entry(
        name=first["name"],
        owner=first["owner"],
        version=first["version"],
        created=_moment(first["created"]),
        expires=None if first["expires"] < 0 else _moment(first["expires"]),
        bytes=tuple(None if one is None else one["bytes"] for one in found),
        consents={owner: tuple(programs) for owner, programs in consents.items()},
        receivers=tuple(first["receivers"]),
        contents=contents_of(first["name"], first["contents"]) if "contents" in first else None,
    )


def contents_of(name: str, text: str) -> Contents:
    try:
        return Contents.of(text)
    except SchemaError as exc:
        raise StoreError(
            f"what is stored as {name!r} cannot be read here",
            where=f"stored({name!r})",
            why=str(exc),
            todo="have its owner put it again, with the same version of jmpc",
        ) from exc


def handles(entry: Entry, place: object, like: Any) -> Any:
    """A stored value as a tree of handles. entry: of `describe`.  place: the backend whose handles they are."""
    name, contents = entry.name, entry.contents
    assert contents is not None
    if contents.result:
        raise ArgumentError(
            f"{name!r} is a result that waits for its receiver, and no argument",
            where=f"stored({name!r})",
            why="its shares were masked for the receiver, and no program reads them",
            todo=f"the receiver takes it: cluster.get({name!r})",
        )
    config = config_of(contents)
    found = [
        SecretArray(
            leaf.type.shape,
            _dtype(name, leaf),
            leaf.type,
            Kept(weakref.ref(place), Held(name, entry.version, number, contents.owners)),
            config,
        )
        for number, leaf in enumerate(contents.leaves)
    ]
    return rebuilt(name, contents.tree, [leaf.path for leaf in contents.leaves], found, like)


def config_of(contents: Contents) -> Config:
    """What is said of the number format; the rest a handle does not depend on."""
    return Config(protocol=contents.protocol, k=contents.k, f=contents.f)


def take_result(name: str) -> Any:
    """How `asking.ask` reads what follows `result`: (contents, this party's summands of each array)."""

    def take(party: int, link: ControlLink, fields: Mapping[str, Any]) -> tuple[Contents, list[list[np.ndarray]]]:
        contents = contents_of(name, fields["contents"])
        if not contents.result:
            raise StoreError(f"{name!r} is no result", where=party_name(party), why="it was put, or kept for programs")
        parts = contents.parts(families.of(config_of(contents)), party)
        size = sum(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize for mine in parts for shape, dtype in mine)
        if size > ARRAYS_BYTES:
            raise StoreError(f"{name!r} is too large to take", where=party_name(party), why=f"it has {size} bytes")
        link.phase = "fetch"
        return contents, [list(link.receive_arrays(mine, _soon(size))) for mine in parts]

    return take


def opened_result(name: str, found: Sequence[tuple[Contents, list[list[np.ndarray]]]], like: Any) -> Any:
    """The value of a result, from what all parties had of it."""
    contents = found[0][0]
    if any(other != contents for other, _ in found):
        raise PartyError(f"the parties disagree on {name!r}", where="phase fetch", todo="have it computed again")
    config, leaves, paths = config_of(contents), list[Any](), list[str]()
    pairs = iter(range(len(contents.leaves)))
    for n in pairs:
        leaf, dtype = contents.leaves[n], _dtype(name, contents.leaves[n])
        if jax.numpy.issubdtype(dtype, np.complexfloating):
            real, imaginary = (_decoded(contents, found, m, np.dtype(np.float64), config) for m in (n, next(pairs)))
            leaves.append(jax.lax.complex(real, imaginary).astype(dtype))
        else:
            leaves.append(_decoded(contents, found, n, dtype, config))
        paths.append(leaf.path)
    return rebuilt(name, contents.tree, paths, leaves, like)


def _decoded(contents: Contents, found: Sequence[Any], number: int, dtype: Any, config: Config) -> Any:
    t = contents.leaves[number].type
    summands = [array for _, arrays in found for array in arrays[number]]
    return decode(sharing.opened(summands, t, Ring(config.k)), t, dtype, config)


def check_name(name: str) -> None:
    """Raises ArgumentError for what parties do not take as the name of a value."""
    if type(name) is str and len(name) <= NAME_CHARACTERS and re.fullmatch(".+", name):
        return
    raise ArgumentError(
        "a value cannot be stored under this name",
        where="put(name=...)",
        why=f"a name is a text of 1 to {NAME_CHARACTERS} characters, in one line",
        todo="give another one, such as 'hospital-a/rows'",
    )


def seconds_of(when: dt.datetime | dt.timedelta | float | None, where: str) -> int:
    """A moment as parties count it. when: that moment, in UTC where it has no zone; or how long from now, also in
    seconds; None: never. Raises ArgumentError for the past."""
    now = dt.datetime.now(dt.UTC)
    if when is None:
        return NEVER
    if isinstance(when, dt.datetime):
        moment = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
    else:
        moment = now + (when if isinstance(when, dt.timedelta) else dt.timedelta(seconds=when))
    if moment <= now:
        raise ArgumentError(
            "a value cannot expire in the past",
            where=where,
            why=f"that was on {moment:%Y-%m-%d %H:%M:%S}, and now it is {now:%Y-%m-%d %H:%M:%S} (UTC)",
            todo="give a later moment, or a datetime.timedelta from now; to remove it at once: cluster.delete(name)",
        )
    return int(moment.timestamp())


def _moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(min(seconds, 253_402_300_799), dt.UTC)


def _soon(size: int) -> float:
    return time.monotonic() + TAKE_S + size / SLOWEST


def _dtype(name: str, leaf: Leaf) -> Any:
    """Raises StoreError for a dtype that does not go with how the parties hold the array."""
    kinds = {BOOL: np.bool_, INT: np.integer, FIXED: np.inexact}
    try:
        dtype = jax.numpy.dtype(leaf.dtype)
    except TypeError:
        dtype = None
    if dtype is None or not jax.numpy.issubdtype(dtype, kinds[leaf.type.kind]):
        raise StoreError(
            f"what is stored as {name!r} does not fit together",
            where=f"stored({name!r})",
            why=f"{leaf.path or 'the array'} is said to be {leaf.dtype}, and is held as {leaf.type.kind}",
            todo="have its owner put it again",
        )
    return dtype
