"""Which process of this machine is at the other end of a connection, by the kernel's tables (Linux).

In: the address that an accepted connection came from. Out: the id of a process, among those below one of ours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def process_at(address: tuple[str, int], root: int) -> int | None:
    """The process that has the socket of this local IPv4 address: `root` or one that it started; None for others."""
    inode = _inode(address)
    if inode is not None:
        for pid in _descendants(root):
            if _holds(pid, f"socket:[{inode}]"):
                return pid
    return None


def party_of(pid: int) -> int | None:
    """The number of a party that jmpc's launcher started, which stands in its command line."""
    words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    return int(words[words.index(b"--party") + 1]) if b"--party" in words else None


def _inode(address: tuple[str, int]) -> str | None:
    host = "".join(f"{int(part):02X}" for part in reversed(address[0].split(".")))
    wanted = f"{host}:{address[1]:04X}"
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted:
            return fields[9]
    return None


def _descendants(root: int) -> Iterator[int]:
    """`root` first: until it runs a program of its own, a child has its parent's sockets too."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    open_ends = [root]
    while open_ends:
        pid = open_ends.pop()
        open_ends += children.get(pid, [])
        yield pid


def _holds(pid: int, name: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return False  # it has ended, or is another user's
    for number in numbers:
        with contextlib.suppress(OSError):
            if os.readlink(f"{folder}/{number}") == name:
                return True
    return False
