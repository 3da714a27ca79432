"""Compiled code, each distinct piece once: kept as long as its store, up to a number of pieces, and on disk.

What goes in: plans at a placement. What comes out: for each group of segments an executable. Compiles run side by side
in threads. A store belongs to who runs plans (a backend, the engine of a party process) and is dropped with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from jmpc import _jax, _typed
from jmpc.executors.cache import CodeFolder, OpenCache, cache_folder, opened
from jmpc.executors.placement import Placement
from jmpc.executors.segment import Group, Names, Placed, Work, compiler_options, options_text
from jmpc.executors.spread import OverHosts, Spread, laid_out, whole
from jmpc.recent import Recent

Executable = Any
Code = Mapping[Names, Executable]

# Each takes about 6 of the 65,530 memory mappings that Linux gives a process.
KEPT = 4096


class CodeStore:
    """Executables by segments, placement and where masks are drawn. kept: how many at most; those used longest ago go
    first, and come back off the disk. folder: where on disk, asked at each compile. Threads may share a store."""

    def __init__(self, kept: int = KEPT, folder: Callable[[], CodeFolder | None] = cache_folder) -> None:
        self._kept: Recent[str, Executable] = Recent(kept)
        self._folder = folder
        self._compiling = threading.Lock()

    def code(self, placed: Placed) -> Code:
        """The executables of plans, whatever else the store keeps. Each takes the mask arguments of its segments in
        turn, then their arrays; it returns the results of each.

        Raises whatever XLA raises, and ConfigError for a folder that cannot be used."""
        found = self._found(placed)
        if len(found) < len(placed.groups):
            with self._compiling:
                found |= self._found(placed)  # another thread may have been faster
                todo = {names: g for names, g in placed.groups.items() if names not in found}
                found |= self._compiled(todo, placed) if todo else {}
        return found

    def _found(self, placed: Placed) -> dict[Names, Executable]:
        got = zip(placed.groups, self._kept.get_all(placed.keys), strict=True)
        return {names: code for names, code in got if code is not None}

    def _compiled(self, todo: Mapping[Names, Group], placed: Placed) -> dict[Names, Executable]:
        placement, inside = placed.placement, placed.inside
        with opened(self._folder()) as disk, ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
            about = common_text(placement) if disk else ""

            def make(names: Names) -> Executable:
                name = hashlib.sha256(f"{about}\n{names}, inside {inside}".encode()).hexdigest()
                return _made(Work.of(todo[names], inside), placement, disk, name)

            found = dict(zip(todo, pool.map(make, todo), strict=True))
        for names, key in zip(placed.groups, placed.keys, strict=True):
            if names in found:
                self._kept.put(key, found[names])
        return found

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"CodeStore({len(self)} of {self._kept.limit})"


SHARED = CodeStore()  # of those who run plans in this process and bring no store of their own


def common_text(placement: Placement) -> str:
    """What decides the code of all segments alike: the placement, and our own way from a segment to XLA."""
    return f"{placement.text()}\n{_SOURCES}\n{options_text()}"


def _sources() -> str:
    """A hash of the files that turn segments into programs, so that a change of theirs leaves old code behind."""
    root = Path(_jax.__file__).parent
    files = [
        *(root / name for name in ("_jax.py", "_typed.py")),
        *(path for part in ("executors", "party", "ring") for path in (root / part).glob("*.py")),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


_SOURCES = _sources()  # as they are imported, not as they are when the first segment is compiled


def _made(work: Work, placement: Placement, disk: OpenCache | None, name: str) -> Executable:
    """The executable of a group, off the disk or compiled."""
    if placement.spread:
        return _made_spread(work, placement)
    devices = placement.devices[:1]
    if disk and (code := disk.read(name)) and (found := _jax.loaded(code, work.arguments, work.results, devices)):
        return found
    options = compiler_options(work.size, placement)
    with _jax.x64(), _on_device(devices[0]):
        made = _typed.lowered(work.run, work.arguments).compile(compiler_options=options)
    if disk and (code := _jax.code_of(made)):
        disk.write(name, code)
    return made


def _made_spread(work: Work, placement: Placement) -> Executable:
    """For a party on several devices: compiled anew in each process."""
    arguments = laid_out(work.arguments, placement.devices)
    options = compiler_options(work.size, placement)
    with _jax.x64():
        if placement.hosts:
            made = _typed.lowered(work.run, arguments, out_shardings=whole(placement.devices))
            return OverHosts(made.compile(compiler_options=options), arguments)
        return Spread(_typed.lowered(work.run, arguments).compile(compiler_options=options), arguments)


def _on_device(device: Any) -> contextlib.AbstractContextManager[Any]:
    """What this thread compiles in the block is for that device: `jax.default_device` holds for the caller's alone."""
    return contextlib.nullcontext() if device == Placement.here().devices[0] else jax.default_device(device)
