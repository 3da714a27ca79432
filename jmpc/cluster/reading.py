"""What the tables of `cluster.toml` may say, key by key, and what is wrong where they say something else.

In: tables of a document. Out: what a roster is made of; the document has the faults. This file opens no file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from cryptography import x509

from jmpc.cluster import keys, names
from jmpc.cluster.document import Document, Table
from jmpc.cluster.members import Deadlines, Member, Revoked
from jmpc.runtime.identity import MOST_PARTIES

_DAY_S = 86400.0
_NOWHERE = ("", 0)


def deadlines(table: Table) -> Deadlines:
    """How long parties wait."""
    read = Deadlines(table.number("round_s", 0.001, _DAY_S), table.number("launch_s", 0.001, _DAY_S))
    table.done()
    return read


def authority(table: Table) -> str:
    """The authority's certificate, as PEM."""
    read = table.text("certificate", authority_pem, "")
    table.done()
    return read


def authority_pem(text: str) -> str:
    """The one certificate of an authority, as PEM in the usual form. ValueError says why it is none."""
    try:
        (certificate,) = x509.load_pem_x509_certificates(text.encode())
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.verify_directly_issued_by(certificate)
    except x509.ExtensionNotFound:
        raise ValueError("it does not say that it may sign certificates") from None
    except Exception:  # of cryptography, of many kinds, or that there is not one alone
        raise ValueError("it is not one certificate as PEM that its own key signed") from None
    if not basic.ca or not usage.key_cert_sign:
        raise ValueError("it says that it may not sign certificates")
    return keys.certificate_pem(certificate)


def parties(top: Table, cluster: str) -> tuple[Member, ...]:
    """In the order of their indices."""
    tables = top.tables("party")
    if len(tables) > MOST_PARTIES:
        top.fault("too-many-parties", "party", f"the cluster has more than {MOST_PARTIES} parties")
        return ()
    read = [_member(table, cluster, names.PARTY) for table in tables]
    found = sorted(party.index for party in read if party.index is not None)
    if len(read) < names.LEAST_PARTIES:
        why = f"it has {len(read)}, and shares are held by {names.LEAST_PARTIES} or more"
        top.fault("too-few-parties", "party", "the cluster has too few parties", why, "name three, each with its host")
    elif len(found) == len(set(found)) == len(read) and found != list(range(len(read))):
        top.fault("bad-value", "party", "parties are numbered from 0, with none left out", f"it has {found}")
    return tuple(sorted(read, key=lambda party: party.index or 0))


def clients(top: Table, cluster: str) -> tuple[Member, ...]:
    """In the order of their names."""
    read = [_member(table, cluster, names.CLIENT) for table in top.tables("client", optional=True)]
    return tuple(sorted(read, key=lambda client: client.name))


def _member(table: Table, cluster: str, kind: str) -> Member:
    def named(text: str) -> str:
        if not text.startswith(kind):
            raise ValueError(f"it begins with `{kind}`")
        return names.member_name(text)

    name = table.text("name", named, "")

    def own(text: str) -> str:
        if name and cluster and text != names.uri(cluster, name):
            raise ValueError(f"the identity of {name} in the cluster {cluster} is {names.uri(cluster, name)}")
        return text

    table.text("identity", own, "", "wrong-uri")
    place = table.text("address", names.address, _NOWHERE, "bad-address") if kind == names.PARTY else None
    member = Member(name, table.text("key", _fingerprint, ""), place)
    table.done()
    return member


def _fingerprint(text: str) -> str:
    if text and not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise ValueError("it is `sha256:` and 64 hex digits, or empty as long as there is no key")
    return text


def hex_digits(digits: int) -> Callable[[str], str]:
    """A parser of so many hex digits."""

    def parse(text: str) -> str:
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
            raise ValueError(f"it has {digits} hex digits, in small letters")
        return text

    return parse


def _serial(text: str) -> str:
    if not re.fullmatch("|[1-9a-f][0-9a-f]{0,39}", text):
        raise ValueError("it is a certificate's serial number in hex, or empty")
    return text


def revoked(top: Table) -> tuple[Revoked, ...]:
    """All that was revoked."""
    return tuple(sorted(_revoked(table) for table in top.tables("revoked", optional=True)))


def _revoked(table: Table) -> Revoked:
    name, key, serial = (
        table.text("name", names.member_name, ""),
        table.text("key", _fingerprint, ""),
        table.text("serial", _serial, ""),
    )
    if bool(key) == bool(serial):
        table.fault("bad-value", "", "a key or a serial number is revoked", "here it is both, or neither")
    row = Revoked(name, key, serial, table.moment("on"))
    table.done()
    return row


def find_doubles(
    document: Document, parties: Sequence[Member], clients: Sequence[Member], revoked: Sequence[Revoked]
) -> None:
    """Two members of one name, key or address; keys that are revoked."""
    members = [*parties, *clients]
    for word, values in (
        ("name", [member.name.lower() for member in members]),  # by which folders are named
        ("key", [member.key for member in members]),
        ("address", [names.address_text(party.address or _NOWHERE) for party in parties]),
    ):
        for value in _doubled(values):
            what = f"two members have one {word}"
            document.fault(f"same-{word}", "party", what, f"it is {value}", "give each its own")
    gone = {row.key for row in revoked if row.key}
    for member in members:
        if member.key in gone:
            todo = f"jmpc cluster rotate {member.name} DIR"
            document.fault("revoked", "revoked", f"the key of {member.name} is revoked", todo=todo)


def _doubled(values: Sequence[str]) -> list[str]:
    harmless = ("", names.address_text(_NOWHERE))  # of a fault that is known already, or of no key yet
    return [value for value, count in Counter(values).items() if count > 1 and value not in harmless]
