"""Ways to run a secure function in a test, from the quickest to the real ones.

What goes in: the name of an executor. What comes out: a context in which secure calls run there.

- "meaning": what the optimised value-level program means, by the interpreter of the Share IR. Front end and passes; no
  shares, no compile.
- "simulated": the party programs, equation by equation in NumPy, all three in lock step. Protocols too; no XLA, no
  plan.
- "local": the local executor, as users run it. "mesh": one XLA program on three devices of this process, which must be
  there. "processes": three processes over TLS.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from jmpc import backends, families
from jmpc.backends import Fed, Kept, LocalBackend, RunStats
from jmpc.client.processes import processes
from jmpc.compiler import Flow
from jmpc.errors import ConfigError, NothingSecretWarning
from jmpc.executors.run import Counts
from jmpc.ir import interp
from jmpc.ir.types import BITS
from jmpc.party.program import Traced
from jmpc.ring.element import Ring
from jmpc.testing import session
from jmpc.testing.simulator.lockstep import Masks, Report, run_traced, traces
from jmpc.testing.simulator.shares import drawn_from

Array = np.ndarray
MEANING, SIMULATED, LOCAL, MESH, PROCESSES = "meaning", "simulated", "local", "mesh", "processes"


class MeaningBackend(backends.OfEverybody):
    """The plain meaning of the value level. Nothing stays shared: a function that keeps a result is refused."""

    name = MEANING

    def prepare(self, flow: Flow) -> None:
        return None

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[Array | Kept], RunStats]:
        """Raises ConfigError for handles."""
        if any(isinstance(x, Kept) for x in fed):
            raise ConfigError("the interpreter holds no shares", where=MEANING, todo="use the local executor")
        program, ring = list(flow.stages.values())[-1], Ring(flow.config.k)
        arrays = [np.asarray(x) for x in fed]
        values = [x if x.dtype == bool else ring.to_int(x) for x in arrays]
        found = interp.evaluate(program, values)
        held = zip(found, program.body.results, strict=True)
        opened = [x if v.type.form == BITS else ring.from_int(x) for x, v in held]
        return [*opened], RunStats(0.0, 0, (0,) * families.of(flow.config).parties, self.name)


class SimulatedBackend(LocalBackend):
    """Three parties in NumPy. seed: of the masks, and of the words that inputs are shared with: the same seed is the
    same run, to the last bit. report: of the latest run; masks: what it drew."""

    name = SIMULATED

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.report = Report(0)
        self._traces = WeakKeyDictionary[Flow, list[Traced]]()
        self.masks = Masks(np.random.default_rng(seed))

    def prepare(self, flow: Flow) -> None:
        return None

    def share(self, flow: Flow, fed: Sequence[Fed]) -> list[list[Any]]:
        return backends.pieces(flow, fed, self, drawn_from(np.random.default_rng([self.seed, 1])))

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[Array]], Counts]:
        self.masks = Masks(np.random.default_rng(self.seed))
        held = [[[np.asarray(a) for a in party] for party in inputs]]
        if flow not in self._traces:
            self._traces[flow] = traces(flow.share)
        flat, self.report = run_traced(self._traces[flow], held, self.masks)
        return flat, Counts(self.report.rounds, self.report.bytes_sent)


def _fixed(make: Callable[[int], Any]) -> Callable[[int], contextlib.AbstractContextManager[Any]]:
    @contextlib.contextmanager
    def enter(seed: int) -> Generator[Any]:
        backend = make(seed)
        with backends.use(backend):
            yield backend

    return enter


EXECUTORS: dict[str, Callable[[int], contextlib.AbstractContextManager[Any]]] = {
    MEANING: _fixed(lambda seed: MeaningBackend()),
    SIMULATED: _fixed(SimulatedBackend),
    LOCAL: _fixed(lambda seed: backends.LOCAL),
    MESH: lambda seed: backends.mesh(),
    PROCESSES: lambda seed: processes(),
}


@contextlib.contextmanager
def executor(name: str | None = None, seed: int = 0) -> Generator[Any]:
    """Run secure calls on this executor within the context. seed: of what the simulated parties draw.

    Without a name: where calls run already, in a block such as `jmpc.processes()` or under a fixture; else where
    `--jmpc-executor` says; else "local". Under pytest, parties are those of the test session, under its faults.

    Raises ConfigError for another name, for "mesh" without three devices, and LaunchError where a process does not
    start. A function in which nothing is secret is as good as any to be tested: there is no warning of it.
    """
    with _chosen(name, seed) as backend, warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingSecretWarning)
        yield backend


def _chosen(name: str | None, seed: int) -> contextlib.AbstractContextManager[Any]:
    running = session.active()
    if name is None and backends.current() is not backends.LOCAL:
        return contextlib.nullcontext(backends.current())
    if running and (name is None or name in session.EXECUTORS):
        return running.use(name)
    name = name or LOCAL
    if name not in EXECUTORS:
        raise ConfigError(f"no executor {name!r}", where="jmpc.testing", todo=f"use one of {sorted(EXECUTORS)}")
    return EXECUTORS[name](seed)
