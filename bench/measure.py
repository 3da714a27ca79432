"""Runs both sides of a workload in turn and collects what they report.

In: contestants (how to start each side) and workloads. Out: a `Measurement` a side. Turns alternate, A B A B, so that a
machine that slows down slows both; a side is a process of its own that idles while the other runs. Errors are taken
here, against the same function in float64. It prints nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np

from bench.lines import Answer, Side, SideFailed
from bench.task import Workload

TURN_SECONDS = 0.25
TURN_RUNS = 20


@dataclass(frozen=True)
class Measurement:
    """One side of one workload. `steps` are rounds for jmpc, sends for SPU; bytes are those of the busiest party.

    `turns` are the medians of the side's turns, in order: the turn of the other side beside each was as loaded.
    `call_seconds` is the whole call on the side's own clock, where a side has one: a check on the seconds it reports.
    """

    seconds: tuple[float, ...] = ()
    call_seconds: tuple[float, ...] = ()
    cpu_seconds: float | None = None
    compile_seconds: float = 0.0
    bytes_sent: int = 0
    steps: int = 0
    max_error: float = 0.0
    failure: str = ""
    turns: tuple[float, ...] = ()

    @property
    def fastest(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Pair:
    """Both sides of one workload on one executor; `other` is None where jmpc was measured alone."""

    workload: str
    executor: str
    jmpc: Measurement
    other: Measurement | None


@dataclass
class Contestant:
    """A side that can be started, and started again if a workload ends its process."""

    name: str
    start: Callable[[], Side]
    _side: Side | None = field(default=None, repr=False)

    @property
    def side(self) -> Side:
        if self._side is None or not self._side.alive():
            self.close()
            self._side = self.start()
        return self._side

    def close(self) -> None:
        if self._side is not None:
            self._side.close()
            self._side = None


@dataclass
class _Tally:
    """What one side has answered so far for the workload at hand."""

    contestant: Contestant
    prepared: Answer = field(default_factory=dict)
    runs: list[Answer] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    failure: str = ""

    def attempt(self, step: Callable[[], None]) -> None:
        """Do the step unless this side has already failed."""
        if not self.failure:
            try:
                step()
            except SideFailed as error:
                self.failure = str(error)

    def turn(self) -> None:
        """Runs for about a quarter of a second: one where it is slow, several where it is fast."""
        start, first = time.perf_counter(), len(self.runs)
        for _ in range(TURN_RUNS):
            self.runs.append(self.contestant.side.ask("run"))
            if time.perf_counter() - start > TURN_SECONDS:
                break
        self.turns.append(statistics.median(run["seconds"] for run in self.runs[first:]))

    def measurement(self, max_error: float) -> Measurement:
        if self.failure:
            return Measurement(failure=self.failure)
        cpu = [run["cpu_seconds"] for run in self.runs]
        return Measurement(
            seconds=tuple(run["seconds"] for run in self.runs),
            call_seconds=tuple(run["call_seconds"] for run in self.runs if "call_seconds" in run),
            cpu_seconds=None if None in cpu else sum(cpu) / len(cpu),
            compile_seconds=self.prepared["compile_seconds"],
            bytes_sent=self.prepared["bytes_sent"],
            steps=self.prepared["steps"],
            max_error=max_error,
            turns=tuple(self.turns),
        )


def exact_result(workload: Workload, args: Sequence[np.ndarray]) -> np.ndarray:
    """The function in float64, in the clear."""
    with jax.enable_x64(True):
        return np.asarray(workload.function(*[arg.astype(np.float64) for arg in args]))


def measure(
    contestants: Sequence[Contestant], workload: Workload, turns: int, seed: int, done: Callable[[], None]
) -> Iterator[Measurement]:
    """One measurement a contestant, in their order; `done` is called after each turn of a side."""
    tallies = [_Tally(contestant) for contestant in contestants]
    for tally in tallies:
        tally.attempt(lambda tally=tally: tally.prepared.update(_prepare(tally.contestant, workload, seed)))
    for _ in range(turns):
        for tally in tallies:
            tally.attempt(tally.turn)
            done()
    args = workload.inputs(seed)
    exact = exact_result(workload, args)
    for tally in tallies:
        errors: list[float] = []
        tally.attempt(lambda tally=tally, errors=errors: errors.append(_error(tally, workload, args, exact)))
        yield tally.measurement(errors[0] if errors else 0.0)


def _prepare(contestant: Contestant, workload: Workload, seed: int) -> Answer:
    return contestant.side.ask("prepare", workload=workload.name, seed=seed)


def _error(tally: _Tally, workload: Workload, args: Sequence[np.ndarray], exact: np.ndarray) -> float:
    got = _output(tally)
    if got.shape != exact.shape:
        raise SideFailed(f"the result has shape {got.shape}, not {exact.shape}")
    return workload.error(args, exact, got)


def _output(tally: _Tally) -> np.ndarray:
    """The opened result of the latest run."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "output.npy"
        tally.contestant.side.ask("output", path=str(path))
        return np.load(path, allow_pickle=False)
