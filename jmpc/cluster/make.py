"""A new cluster in a folder: its roster, its authority, and a key and certificate for each member.

In: hosts, names of clients, how long. Out: the folder, all of it or nothing, and the roster.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from jmpc.cluster import files, identity, keys, names, reading, roster
from jmpc.cluster.authority import DAYS, Authority, check_days
from jmpc.cluster.faults import files_of
from jmpc.cluster.files import Entry
from jmpc.cluster.members import Deadlines, Member
from jmpc.cluster.roster import Roster
from jmpc.errors import ConfigError
from jmpc.runtime.certificates import key_pem, new_key
from jmpc.runtime.identity import MOST_PARTIES

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """What a new cluster shall be.

    hosts: `host:port` of each party.  name: that of the folder, if empty.  with_keys: make a key for each member here;
    else each makes its own.  authority_certificate: PEM of an existing authority, which signs instead of one of ours.
    passphrase: seals the authority's key.
    """

    hosts: Sequence[str]
    clients: Sequence[str] = ()
    name: str = ""
    days: int = DAYS
    with_keys: bool = True
    authority_certificate: str = ""
    passphrase: bytes | None = None


def create(folder: Path, order: Order, now: dt.datetime) -> Roster:
    """Make a cluster in a folder that does not exist or is empty."""
    check_days(order.days)
    name = _cluster_name(folder, order.name)
    authority = None if order.authority_certificate else Authority.new(name, now, order.days)
    made = Roster(
        name=name,
        id=secrets.token_hex(16),
        revision=1,
        made=now,
        changed=now,
        deadlines=Deadlines(),
        authority=_authority(order, authority),
        parties=_parties(order.hosts),
        clients=_clients(order.clients),
    )
    entries = list[Entry]()
    if authority:
        entries.append(authority.entry(order.passphrase))
        if order.with_keys:
            made, entries = _with_keys(made, authority, order.days, now, entries)
    _require_empty(folder)
    with files_of(folder, "the cluster's folder cannot be made"):
        folder.mkdir(mode=0o755, exist_ok=True)
    with files.locked(folder):
        _require_empty(folder)
        files.commit(folder, [*entries, roster_entry(made)])
    return made


def roster_entry(made: Roster) -> Entry:
    """The file of a roster, once a reader has found it right."""
    assert Roster.of(made.text) == made
    return Entry(roster.FILE, made.text.encode())


def key_entries(made: Roster, authority: Authority, name: str, days: int, now: dt.datetime) -> tuple[str, list[Entry]]:
    """A fresh key of a member and its certificate, as files, and the key's fingerprint."""
    key, folder = new_key(), names.folder_of(name)
    certificate = authority.sign(made, name, key.public_key(), days, now)
    return keys.fingerprint(key), [
        Entry(f"{folder}/{identity.KEY}", key_pem(key), files.PRIVATE),
        Entry(f"{folder}/{identity.CERTIFICATE}", certificate.encode()),
    ]


def with_key(made: Roster, name: str, key: str) -> Roster:
    """The roster in which a member has this key."""

    def changed(members: tuple[Member, ...]) -> tuple[Member, ...]:
        return tuple(replace(member, key=key) if member.name == name else member for member in members)

    return replace(made, parties=changed(made.parties), clients=changed(made.clients))


def _with_keys(
    made: Roster, authority: Authority, days: int, now: dt.datetime, entries: list[Entry]
) -> tuple[Roster, list[Entry]]:
    for member in made.members:
        key, more = key_entries(made, authority, member.name, days, now)
        made, entries = with_key(made, member.name, key), entries + more
    return made, entries


def _authority(order: Order, authority: Authority | None) -> str:
    if authority:
        return keys.certificate_pem(authority.certificate)
    return given(order.authority_certificate, reading.authority_pem, "--authority-certificate")


def given(text: str, parse: Callable[[str], T], option: str) -> T:
    """What was typed, as `parse` reads it; an error names the option."""
    try:
        return parse(text)
    except ValueError as exc:
        shown = f"{text!r} does not do" if len(text) < 100 and text.isprintable() else "that does not do"
        raise ConfigError(shown, where=option, why=str(exc), todo="`--help` after the command has an example") from None


def _cluster_name(folder: Path, name: str) -> str:
    if name:
        return given(name, names.cluster_name, "--name")
    try:
        return names.cluster_name(folder.resolve().name)
    except ValueError as exc:
        raise ConfigError(
            "the folder's name does not do for the cluster", where="--name", why=str(exc), todo="give --name NAME"
        ) from None


def _parties(hosts: Sequence[str]) -> tuple[Member, ...]:
    if not names.LEAST_PARTIES <= len(hosts) <= MOST_PARTIES:
        raise ConfigError(
            f"a cluster does not have {len(hosts)} parties",
            where="--hosts",
            why=f"it has {names.LEAST_PARTIES} or more, each on a machine of its own, and at most {MOST_PARTIES}",
            todo="give one address a party: --hosts a:7001,b:7001,c:7001",
        )
    addresses = [given(host, names.address, "--hosts") for host in hosts]
    for place in addresses:
        if addresses.count(place) > 1:
            raise ConfigError(
                f"two parties have the address {names.address_text(place)}",
                where="--hosts",
                why="each listens at its own",
                todo="give parties on one machine different ports: --hosts a:7001,a:7002,a:7003",
            )
    return tuple(Member(names.party_name(index), "", place) for index, place in enumerate(addresses))


def _clients(clients: Sequence[str]) -> tuple[Member, ...]:
    found = sorted(given(client, names.client_name, "--clients") for client in clients)
    folded = [client.lower() for client in found]
    for client in found:
        if folded.count(client.lower()) > 1:
            raise ConfigError(
                "two clients have one name",
                where="--clients",
                why=f"{client.removeprefix(names.CLIENT)} stands there twice; small and capital letters count as equal",
                todo="give each its own",
            )
    return tuple(map(Member, found))


def _require_empty(folder: Path) -> None:
    with files_of(folder, "the cluster's folder cannot be made"):
        found = sorted({path.name for path in folder.iterdir()} - set(files.OWN)) if folder.exists() else []
    if found:
        raise ConfigError(
            "the folder is not empty",
            where=str(folder),
            why=f"it has {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}, and nothing is written over",
            todo="name a folder that does not exist yet",
        )
