"""Masks: the stream of each pairwise key, by AES-128 in counter mode or by ChaCha20, as the program's config says.

What goes in: a party's keys, one for each peer. What comes out: words of the streams at any offset. A key serves one
session; word n of its stream is bytes 8n to 8n + 7 of the key stream from counter zero, so a (key, counter) is drawn
for one purpose only: the place of every mask is fixed by the plan.

Where they are drawn is a party's own choice, with the same bits: on the host, as arrays that XLA reads without a copy
(the way of a CPU); or inside the compiled segment, which then gets the key and the place (ChaCha20 on an accelerator).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from jmpc.config import AES, CHACHA20
from jmpc.ir.plan import WHOLE_WORDS, Plan
from jmpc.ring import chacha
from jmpc.ring.aligned import aligned
from jmpc.ring.keys import MaskKeys

BLOCK_WORDS = {AES: 2, CHACHA20: chacha.BLOCK_WORDS}
COUNTER_WORDS = (1 << 32) * chacha.BLOCK_WORDS  # the host's ChaCha20 counts to 2^32 in one go


def chacha_key(key: bytes) -> bytes:
    """The ChaCha20 key of a session's 16-byte mask key. The mask key is uniform (it comes out of HKDF), so the expand
    step alone is enough; 128 bits of strength stay 128 bits, and the handshake does not depend on the PRF."""
    return HKDFExpand(SHA256(), chacha.KEY_BYTES, info=b"jmpc 1|mask|chacha20").derive(key)


_ZEROS = np.zeros(1 << 16, np.uint8)


class Stream:
    """The key stream of one pairwise key, drawn on the host. Short ones are drawn at once, long ones as they go."""

    def __init__(self, key: bytes, total_words: int, prf: str = AES) -> None:
        self.prf = prf
        self._key = key if prf == AES else chacha_key(key)
        self._whole = self._draw(0, total_words) if total_words <= WHOLE_WORDS else None

    def words(self, start: int, count: int) -> np.ndarray:
        """`count` words from word `start`."""
        if self._whole is not None:
            return self._whole[start : start + count]
        return self._draw(start, count)

    def arguments(self, start: int, count: int) -> tuple[Any, ...]:
        """What a compiled segment takes for a range of masks."""
        return (self.words(start, count),)

    def _draw(self, start: int, count: int) -> np.ndarray:
        skip = start % BLOCK_WORDS[self.prf]
        out = aligned(count + skip)
        at, end = start - skip, start + count
        while at < end:
            stop = end if self.prf == AES else min(end, (at // COUNTER_WORDS + 1) * COUNTER_WORDS)
            encryptor = self._cipher(at).encryptor()
            _fill(encryptor, out[at - start + skip : stop - start + skip].view(np.uint8).data)
            at = stop
        return out[skip:]

    def _cipher(self, start: int) -> Cipher[Any]:
        """From word `start`, which begins a block."""
        counter = start // BLOCK_WORDS[self.prf]
        if self.prf == AES:
            return Cipher(algorithms.AES128(self._key), modes.CTR(counter.to_bytes(16, "big")))
        return Cipher(algorithms.ChaCha20(self._key, counter.to_bytes(8, "little") + bytes(8)), None)

    def __repr__(self) -> str:
        return "Stream(...)"


def _fill(encryptor: Any, view: memoryview) -> None:
    zeros = _ZEROS.data
    for at in range(0, len(view), len(zeros)):
        size = min(len(zeros), len(view) - at)
        encryptor.update_into(zeros[:size], view[at : at + size])


class InsideStream:
    """The ChaCha20 stream of one pairwise key, drawn inside the segments that use it."""

    def __init__(self, key: bytes) -> None:
        self.key = chacha.key_words(chacha_key(key))

    def arguments(self, start: int, count: int) -> tuple[Any, ...]:
        return self.key, np.uint64(start)

    def __repr__(self) -> str:
        return "InsideStream(...)"


Masks = Stream | InsideStream


def streams(plan: Plan, keys: MaskKeys, prf: str = AES, inside: bool = False) -> dict[int, Masks]:
    """A party's streams for one run of a plan, by peer. inside: they are drawn in compiled code."""
    if inside:
        return {peer: InsideStream(keys[peer]) for peer in plan.mask_words}
    return {peer: Stream(keys[peer], words, prf) for peer, words in plan.mask_words.items()}
