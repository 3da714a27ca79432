"""Authenticated frames for bulk data.

In: pieces of a message, a transport key of one direction. Out: header | ciphertext | tag, and back.
The header travels in the clear but is authenticated, and the receiver knows from the plan every byte that
it must hold: it compares before it reads on, so a peer's length never decides an allocation. The nonce
is the sequence number under a key of one direction and one session, so it never repeats.
This file opens no socket and derives no key.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jmpc.errors import FrameError
from jmpc.runtime.failure import Place, from_foreign, party_name

# Payload limit of a frame. Both ends on one busy core, 8 MiB messages: 64 KiB frames 0.8-0.9 GB/s, 128 KiB
# 0.95-0.98, 256 KiB 0.98-1.02, 512 KiB 1.4: larger is faster there, but holds more before it is authentic.
FRAME_BYTES = 256 * 1024
TAG_BYTES = 16
_VERSION = 1
_HEADER = struct.Struct("<16sBBBBIIQ")
_NONCE = struct.Struct("<4xQ")
_FIELDS = ("session", "version", "sender", "receiver", "final", "length", "round", "sequence")
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
_MAX_SEQUENCE = 2**32

Piece = tuple[int, int, int]


def session_tag(session: bytes) -> bytes:
    """What stands for a session in a frame's header."""
    return hashlib.sha256(b"jmpc frame" + session).digest()[:16]


class Claim(NamedTuple):
    """What a header says of its frame; nothing of it is proven."""

    session: bytes
    sender: int
    receiver: int
    length: int
    round_no: int


def claimed(header: bytes) -> Claim:
    """Read a header as it is: for tools that pass frames on and open none."""
    session, _, sender, receiver, _, length, round_no, _ = _HEADER.unpack(header)
    return Claim(session, sender, receiver, length, round_no)


class _Direction:
    """The state that both ends of one direction keep: cipher, names, sequence number."""

    def __init__(self, key: bytes, session: bytes, sender: int, receiver: int) -> None:
        self._cipher = AESGCM(key)
        self._tag = session_tag(session)
        self.sender, self.receiver = sender, receiver
        self.sequence: int = 0

    def _header(self, round_no: int, final: bool, length: int) -> bytes:
        if self.sequence >= _MAX_SEQUENCE:
            raise FrameError("a session is too long for one key", why=f"{_MAX_SEQUENCE} frames were sent")
        return _HEADER.pack(self._tag, _VERSION, self.sender, self.receiver, final, length, round_no, self.sequence)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sender} to {self.receiver})"


class FrameWriter(_Direction):
    """Seals the frames of one direction, in order."""

    def seal(self, round_no: int, final: bool, data: memoryview | bytes, out: memoryview) -> int:
        """Write one frame into `out`; returns its size, len(data) + OVERHEAD_BYTES."""
        length = len(data)
        header = self._header(round_no, final, length)
        end = length + OVERHEAD_BYTES
        out[:HEADER_BYTES] = header
        self._cipher.encrypt_into(_NONCE.pack(self.sequence), data, header, out[HEADER_BYTES:end])
        self.sequence += 1
        return end


class FrameReader(_Direction):
    """Opens the frames of one direction; only the one that the plan expects next is accepted."""

    def expect(self, round_no: int, final: bool, length: int) -> bytes:
        """The header that the next frame must have."""
        return self._header(round_no, final, length)

    def check(self, header: bytes | memoryview, expected: bytes) -> None:
        """Refuse a header that differs, naming the fields."""
        if header == expected:
            return
        pairs = zip(_FIELDS, _HEADER.unpack(header), _HEADER.unpack(expected), strict=True)
        wrong = [name for name, found, wanted in pairs if found != wanted]
        round_no = _HEADER.unpack(expected)[6]
        raise FrameError(f"a frame has a wrong {' and '.join(wrong)}", where=self._place(round_no))

    def open(self, header: bytes, sealed: memoryview, out: memoryview) -> None:
        """Decrypt ciphertext and tag into `out`, whose size is the length in the (checked) header."""
        try:
            self._cipher.decrypt_into(_NONCE.pack(self.sequence), sealed, header, out)
        except InvalidTag as exc:
            raise from_foreign(exc, self._place(_HEADER.unpack(header)[6])) from exc
        self.sequence += 1

    def _place(self, round_no: int) -> Place:
        return Place(party=self.receiver, phase="run", round_no=round_no, peer=party_name(self.sender))


def cut(sizes: Sequence[int], limit: int = FRAME_BYTES) -> list[list[Piece]]:
    """Cut a message of arrays of `sizes` bytes into frames, each a list of (array, start, stop).

    Small neighbours share a frame; a large array has its own, so that it is encrypted and decrypted in
    place. Both ends compute the same cut from the plan.
    """
    frames: list[list[Piece]] = []
    current: list[Piece] = []
    room = limit
    for index, size in enumerate(sizes):
        if size > room and current:
            frames.append(current)
            current, room = [], limit
        start = 0
        while size - start > limit:
            frames.append([(index, start, start + limit)])
            start += limit
        if size > start:
            current.append((index, start, size))
            room -= size - start
    return [*frames, current] if current else frames
