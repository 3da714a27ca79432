"""Where a compiled program runs: in this process, on three of its devices, or at three party processes; and which of
these a call gets.

What goes in: a program, and for each of its inputs an encoded public array, an array to share, or a reference to what
an earlier run kept. What comes out: opened outputs, references to kept ones, and counts.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from jmpc.compiler import Flow
from jmpc.config import CHACHA20
from jmpc.errors import ArgumentError, ConfigError
from jmpc.executors import sharing
from jmpc.executors.cache import cache_folder
from jmpc.executors.engine import program_text
from jmpc.executors.local import fresh_keys, run_local
from jmpc.executors.masks import drawn_inside
from jmpc.executors.run import Counts
from jmpc.executors.segment import compile_plans
from jmpc.ir.types import BOOL
from jmpc.party.program import SECRET_OUTPUT
from jmpc.ring.element import Ring


@dataclass(frozen=True)
class RunStats:
    """One run. seconds: from the first segment to the last, without sharing and opening, the slowest party's;
    rounds; bytes_sent: by party 0, 1, 2; executor: "local", "mesh" or "processes"."""

    seconds: float
    rounds: int
    bytes_sent: tuple[int, int, int]
    executor: str


@dataclass(frozen=True, eq=False)
class Kept:
    """What the parties hold of an output that stays shared. place: where; pieces: arrays by party, or handles."""

    place: Any = field(repr=False)
    pieces: Any = field(repr=False)


Fed = np.ndarray | Kept


class Backend(Protocol):
    name: str

    def prepare(self, flow: Flow) -> Any: ...
    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]: ...


def pieces(flow: Flow, fed: Sequence[Fed], place: Any, draw: sharing.Draw = sharing.fresh) -> list[list[Any]]:
    """By party, the flat inputs of its plan. draw: the words that inputs are shared with."""
    ring = Ring(flow.config.k)
    held: list[list[Any]] = [[], [], []]
    for value, x in zip(flow.share.body.params, fed, strict=True):
        if isinstance(x, Kept):
            _check_place(x, place)
            parts = x.pieces
        elif value.type.visibility == "public":
            parts = [[x]] * 3
        else:
            parts = sharing.share_bits(x, draw) if value.type.kind == BOOL else sharing.share(x, ring, draw)
        for party in range(3):
            held[party].extend(parts[party])
    return held


def _check_place(kept: Kept, place: Any) -> None:
    if kept.place() is not place:
        raise ArgumentError(
            "a secret handle is used where its shares are not",
            why="shares stay with the parties that hold them: this process, or one jmpc.processes() block",
            todo="make the call in the block that made the handle",
        )


def _widths(flow: Flow) -> list[int]:
    """How many arrays each output is at a party: two where it stays shared."""
    return [2 if o.receiver == SECRET_OUTPUT else 1 for o in flow.share.outputs]


class LocalBackend:
    """Three parties in this process: a simulation, for development and tests."""

    name = "local"

    def prepare(self, flow: Flow) -> None:
        compile_plans(flow.plans, cache_folder(), drawn_inside(flow.config.prf))

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]:
        self.prepare(flow)
        inputs = self.share(flow, fed)
        start = time.perf_counter()
        held, counts = self.execute(flow, inputs)
        seconds = time.perf_counter() - start
        outputs: list[np.ndarray | Kept] = []
        at, ring = 0, Ring(flow.config.k)
        for width, value in zip(_widths(flow), flow.share.body.results, strict=True):
            if width == 2:
                outputs.append(Kept(weakref.ref(self), [h[at : at + 2] for h in held]))
            else:
                outputs.append(sharing.open_summands([h[at] for h in held], value.type, ring))
            at += width
        sent = (counts.bytes_sent[0], counts.bytes_sent[1], counts.bytes_sent[2])
        return outputs, RunStats(seconds, counts.rounds, sent, self.name)

    def share(self, flow: Flow, fed: Sequence[Fed]) -> list[list[Any]]:
        return pieces(flow, fed, self)

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        return run_local(flow.plans, inputs, None, flow.config.prf, drawn_inside(flow.config.prf))


class MeshBackend(LocalBackend):
    """Three parties in this process, each on a device of its own: one XLA program. A simulation too."""

    name = "mesh"

    def __init__(self, devices: Sequence[Any]) -> None:
        self.devices = devices

    def prepare(self, flow: Flow) -> None:
        self._program(flow)

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        return self._program(flow).run(inputs, fresh_keys())

    def _program(self, flow: Flow) -> Any:
        from jmpc.executors.mesh import mesh_program

        inside = flow.config.prf == CHACHA20 and self.devices[0].platform != "cpu"
        return mesh_program(flow.plans, self.devices, flow.config.prf, inside, cache_folder())


class ProcessBackend:
    """Three party processes over mutual TLS on loopback."""

    name = "processes"

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self._hashes: weakref.WeakKeyDictionary[Flow, str] = weakref.WeakKeyDictionary()
        self._names = itertools.count()
        self._forgotten: collections.deque[str] = collections.deque()

    def prepare(self, flow: Flow) -> str:
        if flow not in self._hashes:
            self._hashes[flow] = self.cluster.load(program_text(flow.share, flow.schedule))
        return self._hashes[flow]

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]:
        self.forget()
        program = self.prepare(flow)
        keep, kept, at = [], {}, 0
        for n, width in enumerate(_widths(flow)):
            if width == 2:
                handles = [f"v{next(self._names)}" for _ in range(2)]
                keep += [(at + i, h) for i, h in enumerate(handles)]
                kept[n] = self._keep(handles)
            at += width
        result = self.cluster.run(program, pieces(flow, fed, self), keep)
        outputs: list[np.ndarray | Kept] = []
        at, ring = 0, Ring(flow.config.k)
        for n, (width, value) in enumerate(zip(_widths(flow), flow.share.body.results, strict=True)):
            if width == 2:
                outputs.append(kept[n])
            else:
                outputs.append(sharing.open_summands([o[at] for o in result.outputs], value.type, ring))
            at += width
        sent = (result.bytes_sent[0], result.bytes_sent[1], result.bytes_sent[2])
        return outputs, RunStats(max(result.seconds), result.rounds, sent, self.name)

    def _keep(self, handles: list[str]) -> Kept:
        from jmpc.runtime.client import StoredRef

        refs = [StoredRef(h) for h in handles]
        kept = Kept(weakref.ref(self), [refs] * 3)
        # The collector may run inside any call, so it only takes a note: the next run tells the parties.
        weakref.finalize(kept, self._forgotten.extend, handles).atexit = False
        return kept

    def forget(self) -> None:
        """Have the parties forget what no handle refers to any more."""
        while True:
            try:
                handle = self._forgotten.popleft()
            except IndexError:  # also where another thread took the last one
                return
            self.cluster.drop(handle)


LOCAL = LocalBackend()
REQUIRE = "JMPC_REQUIRE"
NAMES = ("local", "mesh", "processes")
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
            why="jmpc.processes() was entered elsewhere, which a thread does not inherit, and a task only where it was "
            "made in the block; a call does not fall back to the simulation by itself",
            todo=[
                "in the thread: with jmpc.use(backend), where backend comes of jmpc.processes() as backend",
                "or run it in a copy of the context: contextvars.copy_context().run(function, x), asyncio.to_thread",
                "or choose the simulation: with jmpc.local()",
            ],
        )
    backend = backend or LOCAL
    _check_required(backend)
    return backend


def _check_required(backend: Backend) -> None:
    required = os.environ.get(REQUIRE)
    if not required or backend.name == required:
        return
    if required not in NAMES:
        todo = f"name one of {', '.join(NAMES)}"
        raise ConfigError(f"nothing is called {required!r}", where=f"the variable {REQUIRE}", todo=todo)
    simulated = "" if backend.name == "processes" else ", and this is a simulation: one process sees everything"
    raise ConfigError(
        f"a secure call would run on {backend.name!r}",
        where=f"jmpc.require, or the variable {REQUIRE}",
        why=f"only {required!r} is allowed here{simulated}",
        todo=f"make the call in a block of jmpc.{required}()",
    )


def require(name: str | None) -> None:
    """Refuse every secure call that would run anywhere else: in all threads, and in the processes that this one starts.
    `jmpc.require("processes")` is for production, where no call may run in the simulation by mistake.

    name: "processes", "mesh" or "local"; None allows all again. The environment variable JMPC_REQUIRE says the same
    from outside. It guards against mistakes: code of this process can lift it. Raises ConfigError for another name.
    """
    if name is None:
        os.environ.pop(REQUIRE, None)
        return
    if name not in NAMES:
        raise ConfigError(f"nothing is called {name!r}", where="jmpc.require", todo=f"name one of {', '.join(NAMES)}")
    os.environ[REQUIRE] = name


@contextlib.contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Run the secure calls of this block on `backend`, such as that of `with jmpc.processes() as backend`, in a thread
    that was not made for it. The choice holds for this context (`contextvars`): for what is called from here, and for
    asyncio tasks that are made here, not for other threads. Raises ConfigError for what is no backend."""
    if isinstance(backend, type) or not all(callable(getattr(backend, n, None)) for n in ("run", "prepare")):
        raise ConfigError(
            f"{backend!r} is no backend",
            where="jmpc.use",
            todo="pass what jmpc.processes(), jmpc.mesh() or jmpc.local() gave: with jmpc.processes() as backend",
        )
    if backend.name == "processes":
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
def local() -> Iterator[LocalBackend]:
    """Run secure calls in this process, which simulates the three parties: the default, by name."""
    with use(LOCAL):
        yield LOCAL


@contextlib.contextmanager
def mesh(devices: Sequence[Any] | None = None) -> Iterator[MeshBackend]:
    """Run secure calls as one XLA program on three devices of this process, one for each party: three accelerators, or
    three virtual CPU devices. A simulation, like the default: this process sees everything.

    devices: the first three are used; JAX's own by default. Raises ConfigError where there are fewer than three.
    """
    from jmpc.executors.mesh import mesh_devices

    backend = MeshBackend(mesh_devices(devices))
    with use(backend):
        yield backend


@contextlib.contextmanager
def processes(*, deadline_s: float = 60.0, environment: Mapping[str, str] | None = None) -> Iterator[ProcessBackend]:
    """Run secure calls in three operating-system processes of this machine, over mutual TLS 1.3 on loopback.

    deadline_s: how long a party waits for another in one round. environment: variables that the parties get; of
    this process's own they get a few (docs/security.md lists them). Certificates and keys are made on the spot, and no
    process is left behind. Raises LaunchError where a process cannot be started.
    """
    from jmpc.runtime.launch import launch

    with launch(deadline_s=deadline_s, environment=environment) as cluster:
        backend = ProcessBackend(cluster)
        with use(backend):
            yield backend
