"""What a roster is made of: its members, what was revoked, its deadlines; and how each is written as TOML.

In: values that `reading.py` has checked. Out: themselves, and text. Every text in them is of a grammar without quotes,
backslashes and control characters, so that none is escaped.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from jmpc.cluster import names
from jmpc.cluster.names import Address


@dataclass(frozen=True, slots=True)
class Member:
    """A party or a client.

    name: `party/0` or `client/hospital-a`.  key: the fingerprint of its public key, empty until it has one.
    address: where a party listens.
    """

    name: str
    key: str = ""
    address: Address | None = None

    @property
    def index(self) -> int | None:
        """Of a party."""
        return names.index_of(self.name)

    @property
    def place(self) -> str:
        """The address as text; empty for a client."""
        return names.address_text(self.address) if self.address else ""


@dataclass(frozen=True, slots=True, order=True)
class Revoked:
    """What never counts again: a key by its fingerprint, or one certificate of a key by its serial number in hex."""

    name: str
    key: str
    serial: str
    on: dt.datetime


@dataclass(frozen=True, slots=True)
class Deadlines:
    """round_s: for a peer within one round.  launch_s: for all parties to find each other."""

    round_s: float = 60.0
    launch_s: float = 120.0


def moment_text(moment: dt.datetime) -> str:
    """As TOML has it, in UTC."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def member_text(member: Member, uri: str) -> str:
    """The table of a party or client."""
    kind = "party" if member.address else "client"
    rows = [f"\n[[{kind}]]", f'name = "{member.name}"', f'identity = "{uri}"']
    rows += [f'address = "{member.place}"'] if member.address else []
    return "\n".join([*rows, f'key = "{member.key}"'])


def revoked_text(row: Revoked) -> str:
    """The table of what was revoked."""
    rows = ["\n[[revoked]]", f'name = "{row.name}"', f'key = "{row.key}"', f'serial = "{row.serial}"']
    return "\n".join([*rows, f"on = {moment_text(row.on)}"])
