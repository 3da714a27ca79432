"""Where a compiled program runs: in this process, on a device of it for each party, or at party processes; and which
of these a call gets.

What goes in: a program, and for each of its inputs an encoded public array, an array to share, or a reference to what
an earlier run kept. What comes out: opened outputs, references to kept ones, and counts.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from jmpc import families
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError, ConfigError
from jmpc.executors.cache import cache_folder
from jmpc.executors.code_store import SHARED, CodeStore
from jmpc.executors.local import fresh_keys, run_local
from jmpc.executors.placement import Placement
from jmpc.executors.run import Counts
from jmpc.executors.segment import Placed
from jmpc.executors.sharing import fresh
from jmpc.families import sharing
from jmpc.owner import dealt
from jmpc.party.program import output_widths
from jmpc.ring.element import Ring
from jmpc.roles import Role


@dataclass(frozen=True)
class RunStats:
    """One run. seconds: from the first segment to the last, without sharing and opening, the slowest party's;
    rounds; bytes_sent: by party; executor: "local", "mesh", "processes" or "cluster"."""

    seconds: float
    rounds: int
    bytes_sent: tuple[int, ...]
    executor: str


@dataclass(frozen=True, eq=False)
class Kept:
    """What the parties hold of an output that stays shared. place: where; pieces: arrays by party, or handles."""

    place: Any = field(repr=False)
    pieces: Any = field(repr=False)


Fed = np.ndarray | Kept


class Backend(Protocol):
    """plays: whether this process does the work of an owner, who is named, or a role. `fed` of `run` is None where it
    does not; an output is `Elsewhere` where it does not learn it."""

    name: str

    def plays(self, owner: str) -> bool: ...
    def prepare(self, flow: Flow) -> Any: ...
    def run(self, flow: Flow, fed: Sequence[Any]) -> tuple[list[Any], RunStats]: ...


class OfEverybody:
    """A backend of one process that plays all owners and learns all results."""

    def plays(self, owner: str) -> bool:
        return True


def pieces(flow: Flow, fed: Sequence[Fed], place: Any, draw: sharing.Draw[np.ndarray] = fresh) -> list[list[Any]]:
    """By party, the flat inputs of its plan. draw: the words that inputs are shared with."""
    held: list[list[Any]] = [[] for _ in range(families.of(flow.config).parties)]
    for number, x in enumerate(fed):
        if isinstance(x, Kept):
            check_place(x, place)
        parts = x.pieces if isinstance(x, Kept) else dealt(flow, number, x, draw)
        for mine, part in zip(held, parts, strict=True):
            mine.extend(part)
    return held


def check_place(kept: Kept, place: Any) -> None:
    if kept.place() is not place:
        raise ArgumentError(
            "a secret handle is used where its shares are not",
            why="shares stay with the parties that hold them: this process, one jmpc.processes() block, or a cluster",
            todo="make the call in the block that made the handle",
        )


def _split(flow: Flow, flat: Sequence[Sequence[Any]]) -> Iterator[list[list[Any]]]:
    """For each output, by party, what it has of it, of the flat outputs of its plan."""
    widths = output_widths(flow.share)
    at = [0] * len(flat)
    for counts in widths:
        yield [list(mine[start : start + n]) for mine, start, n in zip(flat, at, counts, strict=True)]
        at = [start + n for start, n in zip(at, counts, strict=True)]


def opened(flow: Flow, number: int, parts: Sequence[Sequence[Any]]) -> np.ndarray:
    """An output, from what the parties sent of it."""
    t = flow.share.body.results[number].type
    if not t.secret:
        return parts[0][0]
    return sharing.opened([a for mine in parts for a in mine], t, Ring(flow.config.k))


def stays(flow: Flow, number: int) -> bool:
    return flow.share.outputs[number].receiver == Role.SECRET


class LocalBackend(OfEverybody):
    """All parties in this process: a simulation, for development and tests. store: of compiled code; one for all local
    backends by default, so that equal segments compile once."""

    name = "local"
    store: CodeStore = SHARED

    @property
    def placement(self) -> Placement:
        """On the device of the thread that calls."""
        return Placement.here()

    def prepare(self, flow: Flow) -> None:
        self.store.code(flow.placed(self.placement))

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]:
        self.prepare(flow)
        inputs = self.share(flow, fed)
        start = time.perf_counter()
        held, counts = self.execute(flow, inputs)
        seconds = time.perf_counter() - start
        outputs: list[np.ndarray | Kept] = [
            Kept(weakref.ref(self), parts) if stays(flow, n) else opened(flow, n, parts)
            for n, parts in enumerate(_split(flow, held))
        ]
        return outputs, RunStats(seconds, counts.rounds, tuple(counts.bytes_sent), self.name)

    def share(self, flow: Flow, fed: Sequence[Fed]) -> list[list[Any]]:
        return pieces(flow, fed, self)

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        return run_local(flow.placed(self.placement), inputs, store=self.store)


class MeshBackend(LocalBackend):
    """All parties in this process, each on a device of its own: one XLA program. A simulation too. programs: by placed
    plans, with which they go; one mapping for all meshes by default, so that a program is compiled once."""

    name = "mesh"
    programs: ClassVar[weakref.WeakKeyDictionary[Placed, Any]] = weakref.WeakKeyDictionary()

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    @property
    def placement(self) -> Placement:
        """A device for each party."""
        return self._placement

    def prepare(self, flow: Flow) -> None:
        self._program(flow)

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        program = self._program(flow)
        return program.run(inputs, fresh_keys(program.parties))

    def _program(self, flow: Flow) -> Any:
        from jmpc.executors.mesh import MeshProgram

        placed = flow.placed(self.placement)
        if placed not in self.programs:
            self.programs[placed] = MeshProgram(placed, cache_folder())
        return self.programs[placed]


LOCAL = LocalBackend()
REQUIRE = "JMPC_REQUIRE"
NAMES = ("local", "mesh", "processes", "cluster")
_OF_PARTIES = ("processes", "cluster")  # whose shares are where they belong
_BLOCKS = {"cluster": "jmpc.connect(...)"}
_chosen: ContextVar[Backend | None] = ContextVar("jmpc backend", default=None)
_met_parties = threading.Event()  # somewhere in this process, calls have gone to parties of their own


def current() -> Backend:
    """The backend that calls use in this context. Raises ConfigError where it is not the one that is required, and
    where nothing was chosen in a process that has used parties: a call does not fall back to the simulation."""
    backend = _chosen.get()
    if backend is None and _met_parties.is_set():
        raise ConfigError(
            "it is not said where this call runs",
            where=f"thread {threading.current_thread().name}",
            why="jmpc.processes() was entered elsewhere, or a cluster, which a thread does not inherit, and a task "
            "only where it was made in the block; a call does not fall back to the simulation by itself",
            todo=[
                "in the thread: with jmpc.use(backend), where backend comes of jmpc.processes() as backend, or is a "
                "cluster's: cluster.backend",
                "or run it in a copy of the context: contextvars.copy_context().run(function, x), asyncio.to_thread",
                "or choose the simulation: with jmpc.local()",
            ],
        )
    backend = backend or LOCAL
    _check_required(backend)
    return backend


def chosen() -> Backend | None:
    """The backend that was chosen in this context, if one was."""
    return _chosen.get()


def _check_required(backend: Backend) -> None:
    required = os.environ.get(REQUIRE)
    if not required or backend.name == required:
        return
    if required not in NAMES:
        todo = f"name one of {', '.join(NAMES)}"
        raise ConfigError(f"nothing is called {required!r}", where=f"the variable {REQUIRE}", todo=todo)
    simulated = "" if backend.name in _OF_PARTIES else ", and this is a simulation: one process sees everything"
    raise ConfigError(
        f"a secure call would run on {backend.name!r}",
        where=f"jmpc.require, or the variable {REQUIRE}",
        why=f"only {required!r} is allowed here{simulated}",
        todo=f"make the call in a block of {_BLOCKS.get(required) or f'jmpc.{required}()'}",
    )


def require(name: str | None) -> None:
    """Refuse every secure call that would run anywhere else: in all threads, and in the processes that this one starts.
    `jmpc.require("processes")` is for production, where no call may run in the simulation by mistake.

    name: "cluster", "processes", "mesh" or "local"; None allows all again. The environment variable JMPC_REQUIRE says
    the same from outside. It guards against mistakes: code of this process can lift it. Raises ConfigError for another
    name.
    """
    if name is None:
        os.environ.pop(REQUIRE, None)
        return
    if name not in NAMES:
        raise ConfigError(f"nothing is called {name!r}", where="jmpc.require", todo=f"name one of {', '.join(NAMES)}")
    os.environ[REQUIRE] = name


@contextlib.contextmanager
def use(backend: Backend) -> Generator[None]:
    """Run the secure calls of this block on `backend`, such as that of `with jmpc.processes() as backend`, in a thread
    that was not made for it. The choice holds for this context (`contextvars`): for what is called from here, and for
    asyncio tasks that are made here, not for other threads. Raises ConfigError for what is no backend."""
    if isinstance(backend, type) or not all(callable(getattr(backend, n, None)) for n in ("run", "prepare", "plays")):
        raise ConfigError(
            f"{backend!r} is no backend",
            where="jmpc.use",
            todo="pass what jmpc.processes(), jmpc.mesh() or jmpc.local() gave: with jmpc.processes() as backend",
        )
    if backend.name in _OF_PARTIES:
        _met_parties.set()
    token = _chosen.set(backend)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # It ends in another context (a fixture's), whose choice is its own.
            _chosen.reset(token)
            if _chosen.get() is None:
                _chosen.set(LOCAL)  # Who left the block is outside of it, and sees so.


@contextlib.contextmanager
def local() -> Generator[LocalBackend]:
    """Run secure calls in this process, which simulates the three parties: the default, by name."""
    with use(LOCAL):
        yield LOCAL


@contextlib.contextmanager
def mesh(devices: Sequence[Any] | None = None) -> Generator[MeshBackend]:
    """Run secure calls as one XLA program on three devices of this process, one for each party: three accelerators, or
    three virtual CPU devices. A simulation, like the default: this process sees everything.

    devices: the first three are used; JAX's own by default. Raises ConfigError where there are fewer than three.
    """
    backend = MeshBackend(Placement.of_each(devices))
    with use(backend):
        yield backend
