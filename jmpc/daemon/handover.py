"""What a driver hands to the process of each of its parties: over standard input, never over the command line.

In: who the process is, who the others are, deadlines. Out: the same in the process, as the roster and the identity that
a service is made of. The pipe stays open: its end is one of the signs that the driver is gone (party_boot.py). What the
process answers, once, comes over a pipe of its own: that it is ready, or why it is not.
"""

from __future__ import annotations

import datetime as dt
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import msgpack
from cryptography import x509

from jmpc.cluster import Identity, Member, Roster, keys
from jmpc.cluster.members import Deadlines
from jmpc.cluster.names import CLIENT, Address, party_name, uri
from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.identity import MOST_PARTIES, Credentials
from jmpc.runtime.messages import FAILURE, Vocabulary
from jmpc.runtime.schema import SchemaError, check_fields, integer, many, number, row, text

CLUSTER, DRIVER = "processes", "driver"
ANSWERS = Vocabulary({"ready": {}, "failed": FAILURE})
_LENGTH = struct.Struct(">I")
_LIMIT_BYTES = 1 << 20
_PEM = text(20_000, r"(-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]+-----\n)+")
_KEY = text(100, "sha256:[0-9a-f]{64}")
_SCHEMA = {
    "party": integer(0, MOST_PARTIES - 1),
    "id": text(32, "[0-9a-f]{32}"),
    "made": integer(0, 2**40),
    "key": _PEM,
    "certificate": _PEM,
    "ca": _PEM,
    "parties": many(row(_KEY, text(255), integer(1, 65535)), MOST_PARTIES),
    "driver": _KEY,
    "deadline_s": number,
    "launch_s": number,
}


@dataclass(frozen=True)
class Everybody:
    """What all have the same. parties: the key of each, and where it is reached.  driver: its key."""

    id: str
    made: int
    ca: str
    parties: tuple[tuple[str, str, int], ...]
    driver: str
    deadline_s: float
    launch_s: float

    @property
    def roster(self) -> Roster:
        made = dt.datetime.fromtimestamp(self.made, dt.UTC)
        return Roster(
            name=CLUSTER,
            id=self.id,
            revision=1,
            made=made,
            changed=made,
            deadlines=Deadlines(self.deadline_s, self.launch_s),
            authority=self.ca,
            parties=tuple(
                Member(party_name(index), key, (host, port)) for index, (key, host, port) in enumerate(self.parties)
            ),
            clients=(Member(CLIENT + DRIVER, self.driver),),
        )

    def identity(self, name: str, credentials: Credentials) -> Identity:
        """Of a member."""
        leaf = x509.load_pem_x509_certificate(credentials.certificate)
        return Identity(name, credentials, keys.fingerprint(leaf), leaf.not_valid_after_utc)


@dataclass(frozen=True, repr=False)
class Handover:
    """What one party's process is told. party: which it is."""

    party: int
    credentials: Credentials
    everybody: Everybody

    @property
    def identity(self) -> Identity:
        return self.everybody.identity(party_name(self.party), self.credentials)

    def to_bytes(self) -> bytes:
        """What the driver writes."""
        everybody = self.everybody
        fields = {
            "party": self.party,
            "id": everybody.id,
            "made": everybody.made,
            "key": self.credentials.key.decode("ascii"),
            "certificate": self.credentials.certificate.decode("ascii"),
            "ca": everybody.ca,
            "parties": [list(party) for party in everybody.parties],
            "driver": everybody.driver,
            "deadline_s": everybody.deadline_s,
            "launch_s": everybody.launch_s,
        }
        check_fields(fields, _SCHEMA, "handover")
        payload = msgpack.packb(fields)
        return _LENGTH.pack(len(payload)) + payload


def handovers(
    addresses: Sequence[Address], deadline_s: float, launch_s: float, moment: dt.datetime
) -> tuple[list[Handover], Identity]:
    """For each party, and the driver's own identity. All keys are made here, and the authority's goes at once."""
    authority = CertificateAuthority()
    parties = [authority.issue(uri(CLUSTER, party_name(index))) for index in range(len(addresses))]
    driver = authority.issue(uri(CLUSTER, CLIENT + DRIVER))
    everybody = Everybody(
        os.urandom(16).hex(),
        int(moment.timestamp()),
        authority.pem.decode(),
        tuple((_key(mine), host, port) for mine, (host, port) in zip(parties, addresses, strict=True)),
        _key(driver),
        float(deadline_s),
        float(launch_s),
    )
    given = [Handover(party, mine, everybody) for party, mine in enumerate(parties)]
    return given, everybody.identity(CLIENT + DRIVER, driver)


def _key(credentials: Credentials) -> str:
    return keys.fingerprint(x509.load_pem_x509_certificate(credentials.certificate))


def read_handover(fd: int) -> Handover:
    """What the process reads from its standard input."""
    (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size))
    if length > _LIMIT_BYTES:
        raise SchemaError("the handover is too long")
    sent = msgpack.unpackb(_read(fd, length), strict_map_key=True, max_ext_len=0)
    fields = check_fields(sent, _SCHEMA, "handover")
    party: int = fields["party"]
    pem = (fields[name].encode("ascii") for name in ("key", "certificate", "ca"))
    return Handover(
        party,
        Credentials(uri(CLUSTER, party_name(party)), *pem),
        Everybody(
            fields["id"],
            fields["made"],
            fields["ca"],
            tuple((key, host, port) for key, host, port in fields["parties"]),
            fields["driver"],
            fields["deadline_s"],
            fields["launch_s"],
        ),
    )


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            raise EOFError("the driver went away")
        data += part
    return data
