"""Counts of bytes as people write and read them: `1.5 MiB`."""

from __future__ import annotations

import re

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([KMGT]iB|B)", re.ASCII)


def size_text(count: int) -> str:
    """A count in four digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < _UNITS[unit] << 10:
            return f"{count / _UNITS[unit]:.4g} {unit}"
    return f"{count / _UNITS['GiB']:.4g} GiB"


def size_of(text: str) -> int:
    """The count that somebody wrote, such as `64 MiB`. ValueError says why it is none."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"a size is a number and a unit, such as `64 MiB`: {', '.join(_UNITS)}")
    return round(float(found[1]) * _UNITS[found[2]])
