"""Compiled code, each distinct piece once: kept as long as its store, up to a number of pieces, and on disk.

What goes in: plans at a placement. What comes out: for each group of segments an executable. Compiles run side by side
in threads. A store belongs to who runs plans (a backend, the engine of a party process) and is dropped with it.

Code of middling size is made quickly at first, without LLVM's passes. What has run for long is made again, better, in a
thread of its own, and the next run takes that; it does the same to the bit, and nobody else sees which one ran.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jmpc import _jax, _typed
from jmpc.errors import ConfigError
from jmpc.executors.cache import CodeFolder, OpenCache, cache_folder, opened
from jmpc.executors.placement import Placement
from jmpc.executors.segment import (
    QUICK_WORK,
    Group,
    Names,
    Placed,
    Work,
    compiler_options,
    may_be_quick,
    options_text,
)
from jmpc.executors.spread import OverHosts, Spread, laid_out, whole
from jmpc.recent import Recent

Executable = Any
Code = Mapping[Names, Executable]

# Each takes about 6 of the 65,530 memory mappings that Linux gives a process.
KEPT = 4096
VARIABLE = "JMPC_CODE"
_QUICKLY = ".quick"  # at the end of names on disk
_STAYS = "code stays as it was made at first: %s"
LOG = logging.getLogger(__name__)


class CodeStore:
    """Executables by segments, placement and where masks are drawn. kept: how many at most; those used longest ago go
    first, and come back off the disk. folder: where on disk, asked at each compile. Threads may share a store."""

    def __init__(self, kept: int = KEPT, folder: Callable[[], CodeFolder | None] = cache_folder) -> None:
        self._kept: Recent[str, Executable] = Recent(kept)
        self._folder = folder
        self._compiling = threading.Lock()
        self._quick: Recent[str, _Quick] = Recent(kept)
        self._due: deque[_Due] = deque()
        self._improving: threading.Thread | None = None
        self._lock = threading.Lock()  # of the thread, and of what it is to do

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
        if len(self._quick):
            self._count(placed)
        return found

    def settle(self) -> None:
        """Wait until nothing is being improved."""
        while (thread := self._improving) is not None:
            thread.join()

    def _found(self, placed: Placed) -> dict[Names, Executable]:
        got = zip(placed.groups, self._kept.get_all(placed.keys), strict=True)
        return {names: code for names, code in got if code is not None}

    def _compiled(self, todo: Mapping[Names, Group], placed: Placed) -> dict[Names, Executable]:
        placement, inside = placed.placement, placed.inside
        with opened(self._folder()) as disk, ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
            about, best = common_text(placement) if disk else "", wants_best()

            def make(names: Names) -> tuple[Executable, bool]:
                work, name = Work.of(todo[names], inside), _name(about, names, inside)
                if best or not may_be_quick(work.size, placement):
                    return _made(work, placement, disk, name), False
                kept = _read(work, placement, disk, name)
                return (kept, False) if kept else (_made(work, placement, disk, name + _QUICKLY, True), True)

            made = dict(zip(todo, pool.map(make, todo), strict=True))
        for names, key in zip(placed.groups, placed.keys, strict=True):
            if names in made:
                code, quick = made[names]
                self._kept.put(key, code)
                if quick:
                    self._quick.put(key, _Quick())
        return {names: code for names, (code, _) in made.items()}

    def _count(self, placed: Placed) -> None:
        """A run. What has done enough work is improved."""
        for names, key in zip(placed.groups, placed.keys, strict=True):
            quick = self._quick.get(key)
            if quick is None:
                continue
            quick.left -= placed.work[names]
            if quick.left <= 0 and self._quick.pop(key):
                self._improve_soon(_Due(key, names, placed.groups[names], placed.placement, placed.inside))

    def _improve_soon(self, due: _Due) -> None:
        with self._lock:
            self._due.append(due)
            if self._improving is not None:
                return
            # The interpreter's end waits for it, so that XLA is not cut off.
            thread = threading.Thread(target=self._improve, name="jmpc code", daemon=False)
            try:
                thread.start()
            except RuntimeError as exc:  # the system gives no more threads: what there is does the same
                self._due.clear()
                LOG.warning(_STAYS, exc)
            else:
                self._improving = thread

    def _improve(self) -> None:
        while True:
            with self._lock:
                if not self._due or not threading.main_thread().is_alive():
                    self._improving = None
                    return
                due = self._due.popleft()
            try:
                with opened(self._folder()) as disk:
                    name = _name(common_text(due.placement) if disk else "", due.names, due.inside)
                    better = _made(Work.of(due.group, due.inside), due.placement, disk, name)
            except Exception as exc:  # what there is does the same
                LOG.warning(_STAYS, exc)
                continue
            if due.key in self._kept:
                self._kept.put(due.key, better)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"CodeStore({len(self)} of {self._kept.limit})"


@dataclass
class _Quick:
    """Code that was made quickly. left: work that it does until it is due."""

    left: int = QUICK_WORK


@dataclass(frozen=True)
class _Due:
    """What is to be made better."""

    key: str
    names: Names
    group: Group
    placement: Placement
    inside: bool


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


def wants_best() -> bool:
    """Whether all code is to be good from the start. Raises ConfigError."""
    asked = os.environ.get(VARIABLE) or "quick"
    if asked not in ("quick", "best"):
        raise ConfigError(f"there is no code called {asked!r}", where=VARIABLE, todo="set it to quick or best, or not")
    return asked == "best"


def _name(about: str, names: Names, inside: bool) -> str:
    """On disk, of code that is as good as can be."""
    return hashlib.sha256(f"{about}\n{names}, inside {inside}".encode()).hexdigest()


def _read(work: Work, placement: Placement, disk: OpenCache | None, name: str) -> Executable | None:
    code = disk.read(name) if disk else None
    return _jax.loaded(code, work.arguments, work.results, placement.devices[:1]) if code else None


def _made(work: Work, placement: Placement, disk: OpenCache | None, name: str, quick: bool = False) -> Executable:
    """The executable of a group, off the disk or compiled. quick: for the time being."""
    if placement.spread:
        return _made_spread(work, placement)
    if found := _read(work, placement, disk, name):
        return found
    options = compiler_options(work.size, placement, quick)
    with _jax.x64(), _on_device(placement.devices[0]):
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
