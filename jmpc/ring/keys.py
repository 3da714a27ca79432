"""The pairwise mask keys of one party.

In: two 16-byte keys made by a session (runtime/keys.py) or by a local run. Out: an object that carries
them to the mask generator. This file derives no key and draws no mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

MASK_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, repr=False)
class MaskKeys:
    """The AES-128 keys that this party shares with its next and with its previous party.

    `to_nxt` of party p equals `to_prv` of party p + 1. The object hides its content and cannot be pickled
    or copied: a key has one home, and it ends with its session.
    """

    to_nxt: bytes
    to_prv: bytes

    def __post_init__(self) -> None:
        for key in (self.to_nxt, self.to_prv):
            if not isinstance(key, bytes) or len(key) != MASK_KEY_BYTES:
                raise TypeError(f"a mask key is {MASK_KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return "MaskKeys(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("mask keys are not pickled or copied: they end with their session")
