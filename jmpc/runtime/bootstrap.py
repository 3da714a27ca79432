"""What a launcher hands to a party process over its standard input, and never over the command line.

In: credentials, addresses, deadlines. Out: the same in the child. The pipe stays open: its end is one of the
signs that the launcher is gone (party_boot.py). The name of the engine's factory is not in here: it stands on
the command line, where only the launcher can put it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

import msgpack

from jmpc.runtime.identity import MOST_PARTIES, Credentials, party_identity
from jmpc.runtime.join import Address
from jmpc.runtime.schema import SchemaError, check_fields, integer, many, number, row, text

_LENGTH = struct.Struct(">I")
_LIMIT_BYTES = 1 << 20
_PEM = text(20_000, r"(-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]+-----\n)+")
_SCHEMA = {
    "party": integer(0, MOST_PARTIES - 1),
    "key": _PEM,
    "certificate": _PEM,
    "ca": _PEM,
    "addresses": many(row(text(255), integer(1, 65535)), MOST_PARTIES),
    "deadline_s": number,
    "launch_s": number,
}


@dataclass(frozen=True, repr=False)
class Bootstrap:
    """The start of one party process."""

    party: int
    credentials: Credentials
    addresses: tuple[Address, ...]
    deadline_s: float
    launch_s: float

    def to_bytes(self) -> bytes:
        """What the launcher writes."""
        fields = {
            "party": self.party,
            "key": self.credentials.key.decode("ascii"),
            "certificate": self.credentials.certificate.decode("ascii"),
            "ca": self.credentials.ca.decode("ascii"),
            "addresses": [list(address) for address in self.addresses],
            "deadline_s": float(self.deadline_s),
            "launch_s": float(self.launch_s),
        }
        check_fields(fields, _SCHEMA, "bootstrap")
        payload = msgpack.packb(fields)
        return _LENGTH.pack(len(payload)) + payload


def read_bootstrap(fd: int) -> Bootstrap:
    """What the child reads from its standard input."""
    (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size))
    if length > _LIMIT_BYTES:
        raise SchemaError("the bootstrap is too long")
    sent = msgpack.unpackb(_read(fd, length), strict_map_key=True, max_ext_len=0)
    fields = check_fields(sent, _SCHEMA, "bootstrap")
    pem = (fields[name].encode("ascii") for name in ("key", "certificate", "ca"))
    addresses = tuple((host, port) for host, port in fields["addresses"])
    return Bootstrap(
        fields["party"],
        Credentials(party_identity(fields["party"]), *pem),
        addresses,
        fields["deadline_s"],
        fields["launch_s"],
    )


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            raise EOFError("the launcher went away")
        data += part
    return data
