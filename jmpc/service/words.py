"""What parties say to each other: once when a link is made, and then of sessions and uploads.

In: nothing. Out: the vocabularies of `runtime/control.py` (the greeting) and `runtime/duplex.py` (all that follows).
"""

from __future__ import annotations

from jmpc.runtime.duplex import PING
from jmpc.runtime.keys import CONTRIBUTION_BYTES
from jmpc.runtime.messages import FAILURE, SESSION_BYTES, Vocabulary
from jmpc.runtime.pairing import ENCAPSULATION_KEY_BYTES, NONCE_BYTES, X25519_BYTES
from jmpc.runtime.requests import UPLOAD_BYTES
from jmpc.runtime.schema import Check, binary, boolean, integer, many, octets, text

PROTOCOL = 1
DIGEST_BYTES = 32
NO_LINE = -1

_DIGEST = binary(DIGEST_BYTES)
_COUNT = integer(0, 2**62)
_SESSION: dict[str, Check] = {"session": binary(SESSION_BYTES)}

_TERMS: dict[str, Check] = {
    "protocol": integer(0, 2**31),
    "version": text(64),
    "roster": text(64, "[0-9a-f]{64}"),
    "party": integer(0, 255),
}
_NAME = text(200, ".+")

GREETING = Vocabulary(
    {
        "restore": _TERMS,  # what follows is of RESTORE
        "hello": {
            **_TERMS,
            "nonce": binary(NONCE_BYTES),
            "x25519": binary(X25519_BYTES),
            "kem": octets(ENCAPSULATION_KEY_BYTES),
            "sessions": integer(1, 2**20),  # how many this party runs at once
        },
    },
    most_bytes=1 << 14,
)
PEERS = Vocabulary(
    {
        PING: {},
        "ready": _SESSION,  # to the party that admits: all of a call is here, and waits for its turn
        "offer": {
            **_SESSION,
            "roster": _DIGEST,  # links outlive a change of the cluster's file, and sessions do not begin across one
            "program": _DIGEST,
            "stored": _DIGEST,  # of what the stored inputs are: name, version, array
            "public": _DIGEST,  # of the public inputs
            "results": _DIGEST,  # of what becomes of the results
            "overlap": _DIGEST,  # under the pair's secret: of the summands that both hold
            "contribution": binary(CONTRIBUTION_BYTES),
            "line": integer(NO_LINE, 2**62),  # of who dials lines; the other end says NO_LINE
            "version": _COUNT,  # the next one for what is kept
            "created": _COUNT,  # seconds since 1970, by this party's clock
        },
        "abort": {
            **_SESSION,
            "error": text(64, r"\w+"),
            "phase": text(64),
            "round": integer(-1, 2**32),
            "peer": text(64),
        },
        "finished": _SESSION,
        "over": _SESSION,  # to the party that admits, of one that runs a session at a time: the next may begin
        "upload": {"upload": binary(UPLOAD_BYTES), "about": _DIGEST, "version": _COUNT, "created": _COUNT},
        "prepared": {"upload": binary(UPLOAD_BYTES), "overlap": _DIGEST},
        "verdict": {"upload": binary(UPLOAD_BYTES), "accepted": boolean},
    },
    most_bytes=1 << 14,
)
# A party that lost its disk asks the two others, on a link of its own, one thing at a time.
RESTORE = Vocabulary(
    {
        "restore": _TERMS,
        "welcome": {},
        "inventory": {},
        "held": {"names": many(_NAME, 1_000_000), "results": many(_NAME, 1_000_000)},  # results cannot be restored
        "describe": {"name": _NAME},
        "described": {"record": text(1 << 23)},  # as the store writes it
        "fingerprint": {"name": _NAME},
        "fingerprinted": {"overlap": _DIGEST},  # of what both others hold, under the secret of their link
        "copy": {"name": _NAME, "version": _COUNT, "leaf": _COUNT, "summand": _COUNT},
        "words": {"bytes": _COUNT},  # they follow
        "failed": FAILURE,
    },
    most_bytes=1 << 25,
)
