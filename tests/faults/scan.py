"""Looks for marker values, and for shares of them, in whatever files parties write.

What goes in: numbers, words of shares, folders. What comes out: where any of them stands, as bytes of either order, as
digits, in hexadecimal or in base 64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

_LEAST = 6  # bytes of a needle: shorter ones are found in any file


def of_number(x: float, f: int) -> set[bytes]:
    """What a number looks like, as floats and as a ring element of f bits of fraction."""
    word = round(x * 2**f) % 2**64
    raw = {np.float64(x).tobytes(), np.float64(x).byteswap().tobytes(), *of_word(word)}
    digits = {repr(x), repr(float(np.float32(x))), str(round(x * 2**f))}
    return raw | {text.encode() for text in digits} | _written(np.float64(x).tobytes())


def of_word(word: int) -> set[bytes]:
    little = word.to_bytes(8, "little")
    return {little, little[::-1], str(word).encode(), *_written(little), *_written(little[::-1])}


def _written(raw: bytes) -> set[bytes]:
    """As text; in base 64 the middle of it, wherever in a longer text it begins."""
    found = {raw.hex().encode(), raw.hex().upper().encode(), b"\\x" + raw.hex("-").replace("-", "\\x").encode()}
    for before in range(3):
        whole = bytes(before) + raw
        text = base64.b64encode(whole[: len(whole) // 3 * 3])
        found.add(text[4 if before else 0 :])
    return found


def needles(numbers: Iterable[float], shares: Iterable[np.ndarray], f: int) -> set[bytes]:
    found = set[bytes]()
    for x in numbers:
        found |= of_number(x, f)
    for share in shares:
        for word in np.asarray(share).astype(np.uint64).reshape(-1).tolist():
            found |= of_word(word)
    return {needle for needle in found if len(needle) >= _LEAST}


def hits(content: bytes, wanted: set[bytes]) -> Iterator[bytes]:
    return (needle for needle in wanted if needle in content)


def scan(folders: Iterable[Path], wanted: set[bytes]) -> tuple[int, list[str]]:
    """How many files there are, and each that holds one of them."""
    files = [path for folder in folders for path in [folder, *folder.rglob("*")] if path.is_file()]
    found = [f"{path}: {needle!r}" for path in files for needle in hits(path.read_bytes(), wanted)]
    return len(files), found
