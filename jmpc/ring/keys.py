"""The pairwise mask keys of one party.

In: a 16-byte key for each peer, made by a session (runtime/keys.py) or by a local run. Out: an object that carries
them to the mask generator. This file derives no key and draws no mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

MASK_KEY_BYTES = 16


class MaskKeys:
    """The AES-128 keys that this party shares with each of its peers, by party.

    Both ends of a pair have the same key. The object hides its content and cannot be pickled or copied: a key has one
    home, and it ends with its session.
    """

    __slots__ = ("_by_peer",)

    def __init__(self, by_peer: Mapping[int, object]) -> None:
        self._by_peer = {peer: _checked(key) for peer, key in by_peer.items()}

    def __getitem__(self, peer: int) -> bytes:
        return self._by_peer[peer]

    @property
    def peers(self) -> tuple[int, ...]:
        return tuple(self._by_peer)

    def __repr__(self) -> str:
        return "MaskKeys(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("mask keys are not pickled or copied: they end with their session")


def _checked(key: object) -> bytes:
    if not isinstance(key, bytes) or len(key) != MASK_KEY_BYTES:
        raise TypeError(f"a mask key is {MASK_KEY_BYTES} bytes")
    return key
