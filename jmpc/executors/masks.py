"""Masks: the stream of each pairwise key, AES-128 in counter mode.

What goes in: a party's two keys. What comes out: words of the streams at any offset, as arrays that XLA reads without
a copy. A key serves one session; word n of its stream is bytes 8n to 8n + 7 of the key stream from counter zero, so a
(key, counter) is drawn for one purpose only: the place of every mask is fixed by the plan.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from jmpc.ir.plan import Plan
from jmpc.ring.keys import MaskKeys

BLOCK_WORDS = 2
ALIGN_BYTES = 64


def aligned(words: int) -> np.ndarray:
    """Uninitialised words that start on a cache line, as XLA wants its arguments."""
    raw = np.empty(words * 8 + ALIGN_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGN_BYTES
    return raw[start : start + words * 8].view(np.uint64)


_ZEROS = np.zeros(1 << 16, np.uint8)


class Stream:
    """The key stream of one pairwise key. Small plans are drawn at once, large ones as they go."""

    AHEAD_WORDS = 1 << 17

    def __init__(self, key: bytes, total_words: int) -> None:
        self._cipher = algorithms.AES128(key)
        self._whole = self._draw(0, total_words) if total_words <= self.AHEAD_WORDS else None

    def words(self, start: int, count: int) -> np.ndarray:
        """`count` words from word `start`, which is even."""
        if self._whole is not None:
            return self._whole[start : start + count]
        return self._draw(start, count)

    def _draw(self, start: int, count: int) -> np.ndarray:
        skip = start % BLOCK_WORDS
        counter = (start // BLOCK_WORDS).to_bytes(16, "big")
        encryptor = Cipher(self._cipher, modes.CTR(counter)).encryptor()
        out = aligned(count + skip)
        view, zeros = memoryview(out).cast("B"), memoryview(_ZEROS)
        for at in range(0, len(view), len(zeros)):
            size = min(len(zeros), len(view) - at)
            encryptor.update_into(zeros[:size], view[at : at + size])
        return out[skip:]

    def __repr__(self) -> str:
        return "Stream(...)"


def streams(plan: Plan, keys: MaskKeys) -> dict[str, Stream]:
    """A party's two streams for one run of a plan."""
    return {
        "nxt": Stream(keys.to_nxt, plan.mask_words["nxt"]),
        "prv": Stream(keys.to_prv, plan.mask_words["prv"]),
    }
