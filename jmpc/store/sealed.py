"""The file of one value: a safetensors file, sealed chunk by chunk.

In: parts, a data key, plain bytes. Out: where each chunk lies, and its sealed bytes, and back. The plain bytes, one
after the other, are a safetensors file. Its header is made here, since that library writes and reads a file only whole;
and it is never parsed: it follows from the parts, and what is found must equal it.

    head         what it is, and the file's id
    chunks       of the header, then of each part: nonce (12 bytes), ciphertext (up to 1 MiB), tag (16)

Each file has its own key. What a chunk is sealed with names store, file, value, version, the sizes of all that the file
holds, and the chunk's number and length: no chunk opens in another place, file or version.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jmpc.store.key import NONCE_BYTES, TAG_BYTES
from jmpc.store.value import Description, Part

CHUNK_BYTES = 1 << 20
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
_PLACE = struct.Struct("<QI")  # the number of a chunk, its length
_SAFETENSORS = {"uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64"}


def safetensors_header(parts: Sequence[Part]) -> bytes:
    """The header of the safetensors file of these arrays, in this order."""
    fields, end = dict[str, object](), 0
    for part in parts:
        begin, end = end, end + part.bytes
        fields[part.name] = {
            "dtype": _SAFETENSORS[part.dtype],
            "shape": part.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


@dataclass(frozen=True, slots=True)
class Chunk:
    """number: in the whole file.  offset: of its sealed bytes in the file.  start, length: of its plain bytes, in its
    section."""

    number: int
    offset: int
    start: int
    length: int

    @property
    def sealed(self) -> int:
        return self.length + OVERHEAD_BYTES


class Layout:
    """Where what lies in a file. A section is the header (0), or a part (from 1 on)."""

    def __init__(self, file: str, parts: Sequence[Part]) -> None:
        self.head = f"jmpc sealed 1 {file}\n".encode()
        self.header = safetensors_header(parts)
        self.sizes = (len(self.header), *(part.bytes for part in parts))
        self._numbers, self._offsets = [0], [len(self.head)]
        for size in self.sizes:
            count = -(-size // CHUNK_BYTES)
            self._numbers.append(self._numbers[-1] + count)
            self._offsets.append(self._offsets[-1] + size + count * OVERHEAD_BYTES)

    @property
    def chunks(self) -> int:
        """How many there are, in all sections."""
        return self._numbers[-1]

    @property
    def largest(self) -> int:
        """Plain bytes of the largest chunk."""
        return min(CHUNK_BYTES, max(self.sizes))

    @property
    def begins(self) -> int:
        """What stands before the first part."""
        return self._offsets[1]

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self._offsets[-1]

    def chunk(self, section: int, start: int) -> Chunk:
        """The chunk of a section that begins at its plain byte `start`."""
        index = start // CHUNK_BYTES
        offset = self._offsets[section] + index * (CHUNK_BYTES + OVERHEAD_BYTES)
        return Chunk(self._numbers[section] + index, offset, start, min(CHUNK_BYTES, self.sizes[section] - start))

    def of(self, section: int) -> list[Chunk]:
        """All chunks of a section."""
        return [self.chunk(section, start) for start in range(0, self.sizes[section], CHUNK_BYTES)]


class Seal:
    """Seals and opens the chunks of one file. Nonces are drawn, so that a chunk that is written again after a fault
    does not meet its own first nonce."""

    def __init__(self, data_key: bytes, store: str, file: str, description: Description, parts: Sequence[Part]) -> None:
        self._cipher = AESGCM(data_key)
        held = [(part.name, part.dtype, part.shape) for part in parts]
        about = json.dumps(["jmpc sealed 1", store, file, description.name, description.version, held])
        self._about = hashlib.sha256(about.encode()).digest()

    def seal(self, chunk: Chunk, plain: memoryview, out: memoryview) -> None:
        """Fill `out`, of `chunk.sealed` bytes."""
        nonce = os.urandom(NONCE_BYTES)
        out[:NONCE_BYTES] = nonce
        self._cipher.encrypt_into(nonce, plain, self._text(chunk), out[NONCE_BYTES:])

    def open(self, chunk: Chunk, sealed: memoryview, out: memoryview) -> bool:
        """Fill `out`, of `chunk.length` bytes; False where it is not what was sealed."""
        try:
            self._cipher.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._text(chunk), out)
        except InvalidTag:
            return False
        return True

    def _text(self, chunk: Chunk) -> bytes:
        return self._about + _PLACE.pack(chunk.number, chunk.length)


def outline(sealed: memoryview) -> bytes:
    """Of a sealed chunk, what the digest of its file is made of: nonce and tag, which go with one content only."""
    return bytes(sealed[:NONCE_BYTES]) + bytes(sealed[-TAG_BYTES:])


def digest(outlines: Sequence[bytes]) -> str:
    """Of all chunks of a file, in their order."""
    return hashlib.sha256(b"".join(outlines)).hexdigest()
