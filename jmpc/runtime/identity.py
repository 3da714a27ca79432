"""Who is who: the URI in each certificate, and the key material of one process.

In: a party index. Out: its identity, its name in messages, and back. This file makes no certificate
(certificates.py, which only the driver imports) and checks none (tls.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

DRIVER = "jmpc://driver"
MOST_PARTIES = 16  # of one cluster


def party_identity(index: int) -> str:
    """The URI that a party's certificate carries."""
    return f"jmpc://party/{index}"


_NAMES = {DRIVER: "driver", **{party_identity(index): f"party {index}" for index in range(MOST_PARTIES)}}


def name_of(identity: str) -> str:
    """How messages call the holder of a certificate: `party 0` or `driver`."""
    return _NAMES.get(identity, "a stranger")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What one process needs for mutual TLS: its key, its certificate, and the CA it trusts, as PEM."""

    identity: str
    key: bytes
    certificate: bytes
    ca: bytes

    def __repr__(self) -> str:
        return f"Credentials({self.identity}, hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled or copied")
