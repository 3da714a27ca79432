"""The keys of one session of one pair of parties.

In: 32 fresh bytes from each side, exchanged inside TLS, with the session and program that they are for.
Out: one mask key for the pair and one transport key a direction. Nothing is kept: the next session makes
its own. This file sends nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CONTRIBUTION_BYTES = 32
KEY_BYTES = 16
_PREFIX = b"jmpc 1"


def contribution() -> bytes:
    """This side's share of a pair's secret, from the operating system; used once."""
    return os.urandom(CONTRIBUTION_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class PairKeys:
    """What one party holds for one peer: its `send` key is the peer's `receive` key."""

    mask: bytes
    send: bytes
    receive: bytes

    def __repr__(self) -> str:
        return "PairKeys(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("session keys are not pickled or copied: they end with their session")


def pair_keys(
    me: int, peer: int, mine: bytes, theirs: bytes, session: bytes, program_hash: str, link: bytes = b""
) -> PairKeys:
    """HKDF-SHA256 over both contributions, bound to session, program, pair and use. link: a secret of the pair besides
    (pairing.py): whoever learns the contributions later, from recorded traffic, still lacks it."""
    if me == peer or len(mine) != CONTRIBUTION_BYTES or len(theirs) != CONTRIBUTION_BYTES or mine == theirs:
        raise ValueError("a pair's key needs two parties and a contribution from each")
    secret = (mine + theirs if me < peer else theirs + mine) + link
    low, high = sorted((me, peer))

    def derive(label: str) -> bytes:
        info = b"|".join((_PREFIX, program_hash.encode(), f"pair {low} {high}".encode(), label.encode()))
        return HKDF(SHA256(), KEY_BYTES, salt=session, info=info).derive(secret)

    return PairKeys(
        mask=derive("mask"),
        send=derive(f"frames {me} to {peer}"),
        receive=derive(f"frames {peer} to {me}"),
    )
