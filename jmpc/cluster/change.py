"""Changes of a cluster that exists: new clients, new keys and certificates, revocations, other revisions.

In: the cluster's folder. Out: the next roster, written with all that belongs to it, or nothing. Each holds the folder's
lock from reading to writing, so that two at once do not lose one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from jmpc.cluster import chains, files, identity, keys, names, roster
from jmpc.cluster.authority import DAYS, Authority
from jmpc.cluster.faults import Fault, refuse
from jmpc.cluster.files import Entry
from jmpc.cluster.keys import Passphrase
from jmpc.cluster.make import given, key_entries, roster_entry, with_key
from jmpc.cluster.members import Member, Revoked
from jmpc.cluster.roster import Roster
from jmpc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Signing:
    """How to sign. days: for which the certificate is valid.  passphrase: asked if the authority's key is sealed."""

    passphrase: Passphrase
    now: dt.datetime
    days: int = DAYS


@contextmanager
def editing(folder: Path) -> Generator[Roster]:
    """The roster of a folder that nobody else changes meanwhile."""
    with files.locked(folder):
        yield Roster.read(folder / roster.FILE)


def save(folder: Path, new: Roster, entries: Sequence[Entry], now: dt.datetime) -> Roster:
    """Write the next revision with the files that belong to it."""
    new = replace(new, revision=new.revision + 1, changed=max(now, new.changed))
    files.commit(folder, [*entries, roster_entry(new)])
    return new


def add_client(folder: Path, name: str, how: Signing, *, with_key_here: bool = True) -> Roster:
    """A client more, with its key and certificate if they are made here."""
    member = Member(given(name.removeprefix(names.CLIENT), names.client_name, "NAME"))
    with editing(folder) as old:
        if any(known.name.lower() == member.name.lower() for known in old.members):
            raise ConfigError(
                f"{member.name} is in the cluster already",
                where=str(folder / roster.FILE),
                todo=f"for a new key of it: jmpc cluster rotate {member.name} {folder}",
            )
        new = replace(old, clients=tuple(sorted([*old.clients, member], key=lambda client: client.name)))
        entries = list[Entry]()
        if with_key_here:
            authority = Authority.open(folder, old, how.passphrase)
            key, entries = key_entries(new, authority, member.name, how.days, how.now)
            new = with_key(new, member.name, key)
        return save(folder, new, entries, how.now)


def rotate(folder: Path, name: str, how: Signing, *, same_key: bool = False) -> Roster:
    """A new key and certificate of a member, or a new certificate of the same key. The old one does not count again."""
    with editing(folder) as old:
        member, own = old.member(name), folder / names.folder_of(name)
        if not own.is_dir():
            raise ConfigError(
                f"the key of {name} is not here",
                where=str(own),
                why="it was made elsewhere, or given away",
                todo=f"there: jmpc cluster keygen DIR --as {name} --renew; here: jmpc cluster sign REQUEST --replace",
            )
        authority = Authority.open(folder, old, how.passphrase)
        if same_key:
            gone, entries = _renewed(old, member, own, authority, how)
            return save(folder, replace(old, revoked=_and(old, gone)), entries, how.now)
        key, entries = key_entries(old, authority, name, how.days, how.now)
        entries += [Entry(f"{own.name}/{rest}", None) for rest in (identity.NEXT_KEY, identity.REQUEST)]
        return save(folder, _rekeyed(old, member, key, how.now), entries, how.now)


def revoke(folder: Path, name: str, now: dt.datetime) -> Roster:
    """The key of a member does not count again; it needs a new one."""
    with editing(folder) as old:
        member = old.member(name)
        if not member.key:
            raise ConfigError(
                f"{name} has no key to revoke",
                where=str(folder / roster.FILE),
                why="it was revoked already, or there was none yet",
                todo=f"for a new one: jmpc cluster rotate {name} {folder}",
            )
        return save(folder, _rekeyed(old, member, "", now), [], now)


def sign(
    folder: Path, content: bytes, how: Signing, *, where: str, replaces: bool = False, expected: str = ""
) -> tuple[Roster, str, Path]:
    """Sign a request of a member: the roster, the member's name, and where the certificate is."""
    with editing(folder) as old:
        name, request = _asked(old, content, where)
        member, key = old.member(name), keys.fingerprint(request)
        _may_have(old, member, request, where, replaces, expected)
        authority = Authority.open(folder, old, how.passphrase)
        certificate = authority.sign(old, name, chains.request_key(request), how.days, how.now)
        path = Path("signed") / f"{names.folder_of(name)}.pem"
        new = old if member.key == key else _rekeyed(old, member, key, how.now)
        if member.key == key and (folder / path).exists():
            before = _chain(files.read(folder / path)[0], str(folder / path))[0]
            new = replace(old, revoked=_and(old, _of_serial(member, before, how.now)))
        return save(folder, new, [Entry(str(path), certificate.encode())], how.now), name, folder / path


def _asked(old: Roster, content: bytes, where: str) -> tuple[str, x509.CertificateSigningRequest]:
    try:
        request = chains.read_request(content)
        chains.request_key(request)
        if name := old.named(chains.subject(request)):
            return name, request
        why = "it names nobody of this cluster"
    except ValueError as exc:
        why = str(exc)
    todo = "have it made anew, with this cluster's file: jmpc cluster keygen DIR --as NAME"
    raise ConfigError("the request is refused", where=where, why=why, todo=todo)


def _may_have(
    old: Roster, member: Member, request: x509.CertificateSigningRequest, where: str, replaces: bool, expected: str
) -> None:
    """Refuse a request whose key this member must not get."""
    key = keys.fingerprint(request)
    why = todo = ""
    if expected and expected.lower().removeprefix("sha256:") != key.removeprefix("sha256:"):
        why, todo = f"its key is {key}", f"ask {member.name} which key it made: somebody may have put another one there"
    elif any(row.key == key for row in old.revoked):
        why, todo = "its key was revoked", f"make a new one: jmpc cluster keygen DIR --as {member.name} --renew"
    elif any(other.key == key for other in old.members if other.name != member.name):
        why, todo = "its key is another member's", "make a key for each member"
    elif member.key and member.key != key and not replaces:
        why = f"{member.name} has another key, {member.key}"
        todo = "if it made a new one, as it will tell you, give --replace: the old one does not count from then on"
    if why:
        raise ConfigError(f"the request of {member.name} is refused", where=where, why=why, todo=todo)


def accept(
    folder: Path, content: bytes, now: dt.datetime, *, where: str, record: bool = False, replaces: bool = False
) -> tuple[Roster, str]:
    """Take a member's certificate in: beside its key, if that is here; with `record`, its key into the roster."""
    with editing(folder) as old:
        chain = _chain(content, where)
        refuse(chains.chain_faults(chain, old, now, where))
        key, new = keys.fingerprint(chain[0]), old
        name = old.named(chains.subject(chain[0]))
        known = old.member(name).key if name else ""
        if name and record and (not known or replaces) and known != key:
            new = _rekeyed(old, old.member(name), key, now)
        name, faults = identity.whose(chain, new, where, None)
        refuse(faults)
        assert name is not None
        entries = _beside_its_key(folder / names.folder_of(name), key, content)
        if not entries and not record:
            raise ConfigError(
                f"no key of {name} here is that of the certificate",
                where=str(folder / names.folder_of(name)),
                why=f"the certificate is for {key}",
                todo="run this where the key was made: jmpc cluster keygen",
            )
        if new != old:
            return save(folder, new, entries, now), name
        files.commit(folder, entries)
        return old, name


def _chain(content: bytes, where: str) -> chains.Chain:
    try:
        return chains.read_chain(content)
    except ValueError as exc:
        todo = "take the file anew from who signed it"
        raise ConfigError("the certificate cannot be read", where=where, why=str(exc), todo=todo) from None


def _beside_its_key(own: Path, key: str, content: bytes) -> list[Entry]:
    for file in (identity.KEY, identity.NEXT_KEY):
        pem, faults = files.read(own / file, private=True)
        if any(fault.name == "missing-file" for fault in faults):
            continue
        refuse(faults)
        if keys.fingerprint(keys.open_key(pem, str(own / file))) == key:
            entries = [Entry(f"{own.name}/{identity.CERTIFICATE}", content)]
            if file == identity.NEXT_KEY:
                entries += [Entry(f"{own.name}/{identity.KEY}", pem, files.PRIVATE), Entry(f"{own.name}/{file}", None)]
            return [*entries, Entry(f"{own.name}/{identity.REQUEST}", None)]
    return []


def update(folder: Path, new: Roster, where: str) -> tuple[Roster, Roster]:
    """Put a newer revision of the cluster's file in place of the one here: both, the old one first."""
    with editing(folder) as old:
        refuse(follows(old, new, where))
        files.commit(folder, [roster_entry(new)])
        return old, new


def follows(old: Roster, new: Roster, where: str) -> list[Fault]:
    """Why one roster cannot come after another one, if it cannot."""
    why = ""
    if (new.id, new.authority) != (old.id, old.authority):
        why = "it is of another cluster"
    elif new.revision < old.revision:
        why = f"it is older: revision {new.revision}, and here is {old.revision}"
    elif new.revision == old.revision and new.hash != old.hash:
        why = f"it says something else as the same revision {old.revision}: the cluster was changed at two places"
    todo = "take the newest from who runs the cluster"
    return [Fault("not-the-next", "the cluster's file is refused", where, why, todo)] if why else []


_KEY_NOW = {(True, True): "another key", (False, True): "a key now", (True, False): "no key any more"}


def differences(old: Roster, new: Roster) -> list[str]:
    """What another revision says of members, in words."""
    before, after = ({member.name: member for member in one.members} for one in (old, new))
    found = [f"{name} is no longer in it" for name in before if name not in after]
    for name, member in after.items():
        was = before.get(name)
        if was is None:
            found.append(f"{name} is new")
        elif was.key != member.key:
            found.append(f"{name} has {_KEY_NOW[bool(was.key), bool(member.key)]}")
        if was and was.place != member.place:
            found.append(f"{name} is at {member.place}")
    return found


def _renewed(old: Roster, member: Member, own: Path, authority: Authority, how: Signing) -> tuple[Revoked, list[Entry]]:
    pem, faults = files.read(own / identity.KEY, private=True)
    content, more = files.read(own / identity.CERTIFICATE)
    refuse([*faults, *more])
    key = keys.open_key(pem, str(own / identity.KEY))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or keys.fingerprint(key) != member.key:
        raise ConfigError(
            f"the key of {member.name} stays not the same",
            where=str(own / identity.KEY),
            why="it is not the one that the cluster's file has",
            todo="leave out --same-key for a new one",
        )
    certificate = authority.sign(old, member.name, key.public_key(), how.days, how.now)
    gone = _of_serial(member, _chain(content, str(own / identity.CERTIFICATE))[0], how.now)
    return gone, [Entry(f"{own.name}/{identity.CERTIFICATE}", certificate.encode())]


def _rekeyed(old: Roster, member: Member, key: str, now: dt.datetime) -> Roster:
    new = with_key(old, member.name, key)
    return replace(new, revoked=_and(old, Revoked(member.name, member.key, "", now))) if member.key else new


def _of_serial(member: Member, certificate: x509.Certificate, now: dt.datetime) -> Revoked:
    return Revoked(member.name, "", f"{certificate.serial_number:x}", now)


def _and(old: Roster, row: Revoked) -> tuple[Revoked, ...]:
    return tuple(sorted([*old.revoked, row]))
