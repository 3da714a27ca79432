"""What is compared before a party that lost a value takes it back from the others.

In: what the two others say of it. Out: the description that they agree on, or an error. A fingerprint lets two parties
find out whether they hold the same words, and tells a third nothing, as long as it does not have the key of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from jmpc.errors import ArgumentError, DamagedError
from jmpc.store.value import Description, Part, Words, record

LEAST_KEY_BYTES = 32


class Fingerprint:
    """HMAC-SHA256 of a description and the words of one part. key: of 32 bytes or more, drawn for this one comparison
    by those who hold the part, and known to them alone: with a digest that anybody can compute, the third party, which
    holds the other summands, could try what the value is."""

    def __init__(self, key: bytes, description: Description, part: Part) -> None:
        if len(key) < LEAST_KEY_BYTES:
            raise ArgumentError("a fingerprint needs a key of 32 bytes", where="key", why=f"this has {len(key)}")
        about = record(description, [Part("", part.dtype, part.shape)])  # each party has names of its own for parts
        self._mac = hmac.new(key, about.encode() + b"\0", "sha256")

    def update(self, data: Words | bytes) -> None:
        """The next words; as bytes they are little-endian."""
        if isinstance(data, np.ndarray):
            data = data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
        self._mac.update(data)

    def digest(self) -> bytes:
        return self._mac.digest()


@dataclass(frozen=True, slots=True)
class Survivors:
    """What the two other parties say. said: by party, the description of the value.  overlap: by party, the fingerprint
    of the summand that both hold, under a key that the two agreed on."""

    said: Mapping[str, Description]
    overlap: Mapping[str, bytes] = field(repr=False)

    def agreed(self) -> Description:
        """The description. Raises ArgumentError where two are not named, DamagedError where they do not agree."""
        if len(self.said) != 2 or set(self.said) != set(self.overlap):
            why = "it needs the description and the fingerprint of each of the two other parties"
            raise ArgumentError("a value cannot be rebuilt so", where="survivors", why=why)
        (one, said), (other, also) = self.said.items()
        said.check()
        if said != also:
            raise _differ(said.name, one, other, "they describe it differently")
        if len(self.overlap[one]) != 32 or not hmac.compare_digest(self.overlap[one], self.overlap[other]):
            raise _differ(said.name, one, other, "they do not hold the same words of the summand that both have")
        return said


def _differ(name: str, one: str, other: str, why: str) -> DamagedError:
    return DamagedError(
        f"{name!r} cannot be rebuilt from {one} and {other}",
        where=f"{one} and {other}",
        why=why,
        todo=["find out with both operators which of them is right", "else have its owner put it again"],
    )
