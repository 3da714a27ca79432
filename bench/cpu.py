"""CPU seconds in user mode of a process and everything it started.

In: nothing, it looks at the calling process. Out: seconds, for differences around a piece of work. On systems without
/proc the processes it started cannot be seen, and the figure is left out rather than wrong.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_PROC = Path("/proc")


def tree_user_seconds() -> float | None:
    """User seconds so far: exact for this process, to a hundredth of a second for its descendants."""
    if not (_PROC / "self" / "stat").exists():
        return None
    own = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    return own + sum(_ticks_of_descendants(os.getpid())) / os.sysconf("SC_CLK_TCK")


def _ticks_of_descendants(root: int) -> list[int]:
    children: dict[int, list[tuple[int, int]]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(entry)
            if fields is not None:
                parent, ticks = fields
                children.setdefault(parent, []).append((int(entry.name), ticks))
    found, open_ends = [], [root]
    while open_ends:
        for child, ticks in children.get(open_ends.pop(), []):
            found.append(ticks)
            open_ends.append(child)
    return found


def _stat(entry: Path) -> tuple[int, int] | None:
    """(parent, user ticks), or None if the process ended while we looked."""
    try:
        text = (entry / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name, in brackets, may hold blanks
    return int(fields[1]), int(fields[11])
