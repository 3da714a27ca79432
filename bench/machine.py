"""What the figures were measured on: printed above the table and kept in the JSON.

In: nothing. Out: plain facts as text. Versions of the two sides come from the sides themselves.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path


def facts(root: Path) -> dict[str, str]:
    """The machine, the moment and the commit."""
    cpu = _cpu_info()
    flags = cpu.get("flags", "").split()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(root),
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": str(_cores()),
        "avx512": "yes" if "avx512f" in flags else "no",
        "memory": _memory(),
        "system": platform.platform(),
        "load": _load(),
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _cpu_info() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo, empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def commit(root: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
