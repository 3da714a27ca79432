"""The secret of one standing link between two parties, on which the keys of its sessions and lines rest.

In: what each side says once, inside TLS: 32 fresh bytes, an X25519 key, and where both have it ML-KEM-768. Out: a
`PairSecret`. Whoever records the traffic and breaks the key exchange of TLS later, by a quantum computer too, must
break ML-KEM as well. Who wants to weaken that must break TLS while the link is made: what each side can do is said
inside it. A secret is never used as it is: for each purpose another key is derived. It ends with its link. This file
sends nothing.

Source: the hybrid of X25519 and ML-KEM-768 as in draft-ietf-tls-ecdhe-mlkem (concatenation, then HKDF); ML-KEM is FIPS
203.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

NONCE_BYTES, X25519_BYTES = 32, 32
ENCAPSULATION_KEY_BYTES, CIPHERTEXT_BYTES = 1184, 1088
SECRET_BYTES = 32
TAG_BYTES = 16
_PREFIX = b"jmpc link 1"


def has_mlkem() -> bool:
    """Whether this machine's cryptography library has ML-KEM-768."""
    try:
        MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        return False
    return True


@dataclass(frozen=True, slots=True, repr=False)
class Half:
    """What one side says. kem: of who dials its encapsulation key, of who answers the ciphertext; empty without it."""

    nonce: bytes
    x25519: bytes
    kem: bytes


class PairSecret:
    """Known to the two ends of a link. It hides itself, and is not copied."""

    __slots__ = ("_secret", "post_quantum")

    def __init__(self, secret: bytes, post_quantum: bool) -> None:
        self._secret, self.post_quantum = secret, post_quantum

    def key(self, purpose: bytes, length: int = SECRET_BYTES) -> bytes:
        """A key for one purpose."""
        return HKDFExpand(SHA256(), length, info=_PREFIX + b"|" + purpose).derive(self._secret)

    def tag(self, purpose: bytes, *parts: bytes) -> bytes:
        """Proves that its maker has the secret, and said this; tells nothing of `parts` to who has it not."""
        mac = hmac.new(self.key(b"tag|" + purpose), digestmod="sha256")
        for part in parts:
            mac.update(len(part).to_bytes(8, "big") + part)
        return mac.digest()

    def __repr__(self) -> str:
        return "PairSecret(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a link's secret is not pickled or copied: it ends with its link")


class Dialer:
    """The side that dials speaks first."""

    def __init__(self, post_quantum: bool | None = None) -> None:
        """post_quantum: whether to offer ML-KEM; where it is there, by default."""
        offers = has_mlkem() if post_quantum is None else post_quantum
        self._x25519 = X25519PrivateKey.generate()
        self._kem = MLKEM768PrivateKey.generate() if offers else None
        kem = self._kem.public_key().public_bytes_raw() if self._kem else b""
        self.half = Half(os.urandom(NONCE_BYTES), self._x25519.public_key().public_bytes_raw(), kem)

    def secret(self, theirs: Half, about: bytes) -> PairSecret:
        """about: what both ends agree on besides. Raises ValueError where the answer does not fit the question."""
        if len(theirs.kem) != (CIPHERTEXT_BYTES if self._kem else 0):
            raise ValueError("the answer to ML-KEM has a wrong length")
        shared = self._kem.decapsulate(theirs.kem) if self._kem else b""
        classic = self._x25519.exchange(X25519PublicKey.from_public_bytes(theirs.x25519))
        return _secret(self.half, theirs, classic, shared, about)


def answer(theirs: Half, about: bytes) -> tuple[Half, PairSecret]:
    """The side that is dialed. ML-KEM is used where the dialer offers it. Raises ValueError where this side has none:
    then the link is refused, and never made without."""
    if theirs.kem and (not has_mlkem() or len(theirs.kem) != ENCAPSULATION_KEY_BYTES):
        raise ValueError("it offers ML-KEM-768, which is not here: update `cryptography`")
    own = X25519PrivateKey.generate()
    shared, kem = MLKEM768PublicKey.from_public_bytes(theirs.kem).encapsulate() if theirs.kem else (b"", b"")
    mine = Half(os.urandom(NONCE_BYTES), own.public_key().public_bytes_raw(), kem)
    classic = own.exchange(X25519PublicKey.from_public_bytes(theirs.x25519))
    return mine, _secret(theirs, mine, classic, shared, about)


def _secret(dialer: Half, answerer: Half, classic: bytes, shared: bytes, about: bytes) -> PairSecret:
    said = b"".join(part for half in (dialer, answerer) for part in (half.nonce, half.x25519, half.kem))
    made = HKDF(SHA256(), SECRET_BYTES, salt=about, info=_PREFIX + said).derive(
        dialer.nonce + answerer.nonce + classic + shared
    )
    return PairSecret(made, bool(shared))
