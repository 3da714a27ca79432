"""Who is who: the URI in each certificate, and the key material of one process.

In: an identity. Out: its name in messages. This file makes no certificate (certificates.py) and checks none (tls.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

MOST_PARTIES = 16  # of one cluster


# The grammar of the names of clusters and of clients, which stand in URIs, in file names and in messages.
CLUSTER_NAME = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
CLIENT_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"

_OF_A_CLUSTER = re.compile(f"jmpc://{CLUSTER_NAME}/(party/[0-9]{{1,2}}|client/{CLIENT_NAME})")


def name_of(identity: str) -> str:
    """How messages call the holder of a certificate: `party 0` or `client hospital-a`."""
    of_a_cluster = _OF_A_CLUSTER.fullmatch(identity)
    return of_a_cluster[1].replace("/", " ") if of_a_cluster else "a stranger"


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
