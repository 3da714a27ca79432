"""The roster of a cluster: who is in it, where the parties are, whose certificates count. `cluster.toml` holds it.

It is public, and everybody needs the same: parties compare its hash, which is of what it says and not of how that is
written. In: a text or a path. Out: a Roster, and back, and all that is wrong with the text; whether a certificate that
TLS accepted counts here. The values of single keys are checked in `reading.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography import x509

from jmpc.cluster import files, keys, names, reading
from jmpc.cluster.document import Document, Table
from jmpc.cluster.faults import Fault, refuse
from jmpc.cluster.members import Deadlines, Member, Revoked, member_text, moment_text, revoked_text
from jmpc.errors import ConfigError

FORMAT = 1
FILE = "cluster.toml"
_HEAD = """\
# A jmpc cluster: who is in it, where its parties are, whose certificates count. There is no secret in this file, and
# every party and client needs the same: parties that hold different ones refuse each other. `jmpc cluster` changes it.
# Whoever changes an address or a deadline by hand raises the revision by one, and sends the file to all.
"""


@dataclass(frozen=True, slots=True)
class Roster:
    """What `cluster.toml` says. Parties are in the order of their indices, clients in that of their names."""

    name: str
    id: str
    revision: int
    made: dt.datetime
    changed: dt.datetime
    deadlines: Deadlines
    authority: str
    parties: tuple[Member, ...]
    clients: tuple[Member, ...] = ()
    revoked: tuple[Revoked, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> Roster:
        """Of a file. What is wrong with it is a ConfigError."""
        roster, faults = load(Path(path))
        refuse(faults)
        assert roster is not None
        return roster

    @classmethod
    def of(cls, text: str, where: str = FILE) -> Roster:
        """Of a text. where: how messages call it."""
        roster, faults = read_roster(text, where)
        refuse(faults)
        assert roster is not None
        return roster

    @property
    def text(self) -> str:
        """What the file holds."""
        members = [member_text(member, self.uri(member.name)) for member in self.members]
        return "\n".join([_HEAD, *_top(self), *members, *map(revoked_text, self.revoked), ""])

    @property
    def hash(self) -> str:
        """What all must have the same, in hex."""
        return _hash("cluster", asdict(self))

    @property
    def parties_hash(self) -> str:
        """What a client must have the same, in hex: the cluster, its authority and its parties. Another client that
        comes or goes is no affair of it."""
        said = asdict(self)
        return _hash("parties", {key: said[key] for key in ("name", "id", "authority", "parties")})

    @property
    def members(self) -> tuple[Member, ...]:
        """All parties, then all clients."""
        return self.parties + self.clients

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's."""
        return x509.load_pem_x509_certificate(self.authority.encode())

    def member(self, name: str) -> Member:
        """The one of a name such as `party/0`."""
        for member in self.members:
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self.members)
        raise ConfigError(
            f"{name} is not in the cluster {self.name}",
            where=FILE,
            why=f"it has {known}",
            todo="use one of these names, or ask those who made the cluster to add it: jmpc cluster add-client",
        )

    def uri(self, name: str) -> str:
        """What the certificate of a member says."""
        return names.uri(self.name, name)

    def named(self, uri: str) -> str | None:
        """The member whose certificate has this URI, if there is one."""
        return next((member.name for member in self.members if self.uri(member.name) == uri), None)

    def refusal(self, uri: str, certificate: bytes) -> str:
        """Why a certificate (DER) that the authority signed, and that has this URI, does not count, or "".

        This is what `jmpc.runtime.tls.Endpoint` asks of a peer.
        """
        fault = self.fault_of(uri, x509.load_der_x509_certificate(certificate), "")
        return fault.what if fault else ""

    def fault_of(self, uri: str, certificate: x509.Certificate, where: str) -> Fault | None:
        """As `refusal`, with its name and what to do."""
        key, serial, name = keys.fingerprint(certificate), f"{certificate.serial_number:x}", self.named(uri)
        if any(key == row.key or serial == row.serial for row in self.revoked):
            todo = f"make a new one: jmpc cluster rotate {name or 'NAME'} DIR"
            return Fault("revoked", "the certificate or its key was revoked", where, "the cluster's file says so", todo)
        if name is None:
            why = "either is of another cluster, or of another revision of this one"
            return Fault("not-in-cluster", "the certificate is nobody's of this cluster", where, why, _SAME_FILE)
        known = self.member(name).key
        if known != key:
            what = "the certificate's key is not the one in the cluster's file"
            what = what if known else "the cluster's file has no key for who holds the certificate"
            return Fault("other-key", what, where, f"the file has {known or 'none'} for {name}", _SAME_FILE)
        return None


def _hash(what: str, said: dict[str, object]) -> str:
    meaning = json.dumps(said, sort_keys=True, separators=(",", ":"), default=dt.datetime.isoformat)
    return hashlib.sha256(f"jmpc {what} {FORMAT}\0{meaning}".encode()).hexdigest()


_SAME_FILE = (
    "take the newest cluster.toml from who runs the cluster; there, `jmpc cluster sign` puts a key into it, or "
    "`accept --record` where another authority signs"
)
_WHERE_IT_IS = (
    "give the path of the cluster's file (of a command: --cluster; of a party: cluster in party.toml), or take it from "
    "who runs the cluster"
)


def load(path: Path) -> tuple[Roster | None, list[Fault]]:
    """The roster of a file, or None, and what is wrong with the file."""
    if path.parent.is_dir():
        files.finish(path.parent)
    content, faults = files.read(path)
    if any(not fault.warning for fault in faults):
        return None, [replace(f, todo=_WHERE_IT_IS) if f.name == "missing-file" else f for f in faults]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        why = f"byte {exc.start} is no UTF-8"
        return None, [
            Fault("not-toml", "the file is not TOML", str(path), why, "take it anew from who runs the cluster")
        ]
    roster, more = read_roster(text, str(path))
    return roster, faults + more


def read_roster(text: str, where: str) -> tuple[Roster | None, list[Fault]]:
    """The roster that a text holds, or None, and what is wrong."""
    document = Document(text, where)
    if document.faults:
        return None, document.faults
    top = document.top
    if _newer(top):
        return None, document.faults
    name = top.text("name", names.cluster_name, "")
    read = Roster(
        name=name,
        id=top.text("id", reading.hex_digits(32), ""),
        revision=top.count("revision"),
        made=top.moment("made"),
        changed=top.moment("changed"),
        deadlines=reading.deadlines(top.table("deadlines")),
        authority=reading.authority(top.table("authority")),
        parties=reading.parties(top, name),
        clients=reading.clients(top, name),
        revoked=reading.revoked(top),
    )
    if read.changed < read.made:
        top.fault("bad-value", "changed", "the cluster was changed before it was made", todo="correct the date")
    top.done()
    reading.find_doubles(document, read.parties, read.clients, read.revoked)
    return (None if document.faults else read), document.faults


def _newer(top: Table) -> bool:
    found = top.count("format")
    if found > FORMAT:
        why = f"it has format {found}, and this jmpc knows {FORMAT}"
        top.fault("newer-format", "format", "the file is of a newer jmpc", why, "run the newest jmpc everywhere")
    return found > FORMAT


def _top(roster: Roster) -> list[str]:
    return [
        f"format = {FORMAT}",
        f'name = "{roster.name}"',
        f'id = "{roster.id}"',
        f"revision = {roster.revision}",
        f"made = {moment_text(roster.made)}",
        f"changed = {moment_text(roster.changed)}",
        "\n[deadlines]",
        f"round_s = {roster.deadlines.round_s!r}",
        f"launch_s = {roster.deadlines.launch_s!r}",
        "\n[authority]",
        f'certificate = """\n{roster.authority}"""',
    ]
