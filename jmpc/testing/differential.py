"""Random programs, secure against `jax.jit`: as many as you like.

    python -m jmpc.testing.differential --programs 5000 --seed 1

What goes in: how many programs, a seed. What comes out: a report; each difference with the smallest program that shows
it, as a script; exit status 1 if there is any. Every program is compiled, run as what its value level means (front end
and passes), and run by three simulated parties in NumPy (protocols); of every fifth, the rounds, bytes and mask words
that the compiler states are compared with those counted. Every `--local-every`-th also goes through XLA and the local
executor, as users run it: compiling takes most of that time, so it is a sample.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from jmpc.api import secure
from jmpc.errors import BoundError, RangeWarning
from jmpc.testing.compare import difference
from jmpc.testing.cost import counted, stated
from jmpc.testing.draw.jax_programs import STEPS, RandomProgram, programs
from jmpc.testing.executors import LOCAL, MEANING, SIMULATED, executor

BATCH = 100
LOCAL_EVERY = 20
COST_EVERY = 5
MOST_DIFFERENCES = 5
COST = "cost"


class Difference(AssertionError):
    """A program whose secure result is not that of `jax.jit`, or which is not compiled at all."""

    def __init__(self, path: str, what: str, program: RandomProgram) -> None:
        super().__init__(f"{path}: {what}")
        self.path, self.what, self.program = path, what, program


@dataclass
class Tally:
    """programs: compared; steps: of all of them; runs, seconds: by path; refused: by the bound analysis, which may;
    of_jit: in which `jax.jit` differs from JAX op by op, and the secure program does not."""

    programs: int = 0
    steps: int = 0
    refused: int = 0
    of_jit: int = 0
    runs: Counter[str] = field(default_factory=Counter[str])
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __str__(self) -> str:
        paths = ", ".join(f"{name} {n} ({self.seconds[name]:.0f} s)" for name, n in sorted(self.runs.items()))
        mean = self.steps / max(self.programs, 1)
        apart = f"{self.refused} refused for their bounds, {self.of_jit} differ by jit alone"
        return f"{self.programs} programs of {mean:.1f} steps; {apart}; {paths}"


def compare(program: RandomProgram, paths: Sequence[str], tally: Tally | None = None, cost: bool = False) -> None:
    """One program on these executors. cost: also what simulated parties spend. Raises Difference."""
    tally = tally or Tally()
    with _timed(tally, "jit"):
        expected = jax.jit(program.function)(*program.inputs)
    secured = secure(program.function, **program.options)
    for path in paths:
        with _timed(tally, path):
            try:
                with executor(path) as backend, _unwarned():
                    got = secured(*program.inputs)
            except BoundError:
                tally.refused += 1
                return
            except Exception as error:
                raise Difference(path, f"{type(error).__name__}: {error}", program) from error
            fault = difference(got, expected, program.tolerance)
            if fault is not None and difference(got, _op_by_op(program), program.tolerance) is not None:
                raise Difference(path, str(fault), program)
            tally.of_jit += fault is not None
        if cost and path == SIMULATED:
            with _timed(tally, COST), _unwarned():
                _compare_cost(program, secured.lower(*program.inputs), backend)
    tally.programs += 1
    tally.steps += len(program.block.steps)


@contextmanager
def _unwarned() -> Generator[None]:
    """A warning says what a program rests on, a saturated mask or a smaller range: these keep to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)
        yield


def _op_by_op(program: RandomProgram) -> Any:
    """What JAX says where XLA sees one operation at a time: compiled together it takes abs(x @ x) of integers for
    x @ x, wherever that wraps to."""
    with jax.disable_jit():
        return program.function(*program.inputs)


def _compare_cost(program: RandomProgram, lowered: Any, backend: Any) -> None:
    if not lowered.flow.share.outputs:
        return  # all of it was computed in the clear
    said = stated(lowered)
    found = counted(backend, len(said.bytes_sent))
    if not said.covers(found):
        raise Difference(COST, f"stated {said}, counted {found}", program)


class _timed:
    def __init__(self, tally: Tally, name: str) -> None:
        self.tally, self.name = tally, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *error: Any) -> None:
        self.tally.runs[self.name] += 1
        self.tally.seconds[self.name] += time.perf_counter() - self.start


def run_batch(
    count: int, number: int, tally: Tally, strategy: Any = None, local_every: int = LOCAL_EVERY
) -> Difference | None:
    """`count` programs drawn from the seed `number`. The difference that is found first, shrunk, or None."""
    last: list[Difference] = []
    drawn = [0]

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
              phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))  # fmt: skip  # pyright: ignore[reportArgumentType]
    @given(program=programs(kinds=tuple(STEPS)) if strategy is None else strategy)
    def check(program: RandomProgram) -> None:
        drawn[0] += 1
        if drawn[0] % BATCH == 0:
            jax.clear_caches()  # what was compiled for these programs is of no use to others
        paths = [MEANING, SIMULATED]
        if last:
            paths = [last[-1].path] if last[-1].path != COST else [SIMULATED]  # while it shrinks
        elif local_every and drawn[0] % local_every == 0:
            paths.append(LOCAL)
        try:
            cost = last[-1].path == COST if last else drawn[0] % COST_EVERY == 0
            compare(program, paths, Tally() if last else tally, cost)  # of a difference the smaller ones do not count
        except Difference as found:
            last.append(found)
            raise

    try:
        check()
    except (Difference, Flaky):  # flaky: it shows in a share of the runs only, as it depends on the parties' masks
        if not last:
            raise
        return last[-1]
    finally:
        jax.clear_caches()
    return None


def run(total: int, first_seed: int, local_every: int = LOCAL_EVERY, say: Any = print) -> list[Difference]:
    """Batches of programs until `total` are compared. Comes out: the differences, at most MOST_DIFFERENCES."""
    tally, found, batch = Tally(), [], 0
    while tally.programs + tally.refused < total and len(found) < MOST_DIFFERENCES:
        count = min(BATCH, total - tally.programs - tally.refused)
        fault = run_batch(count, first_seed * 1_000_003 + batch, tally, None, local_every)
        batch += 1
        if fault is not None:
            found.append(fault)
            say(f"difference {len(found)}: {fault.path}: {fault.what}\n{fault.program}")
        elif batch % 5 == 0:
            say(str(tally))
    say(f"{tally}\n{len(found)} unexplained differences (seed {first_seed})")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 if there is a difference."""
    parser = argparse.ArgumentParser(
        "python -m jmpc.testing.differential", description="random programs against jax.jit"
    )
    parser.add_argument("--programs", type=int, default=5000, help="how many (5000)")
    parser.add_argument("--seed", type=int, default=1, help="which programs are drawn (1)")
    parser.add_argument(
        "--local-every", type=int, default=LOCAL_EVERY, help="every how manieth goes through XLA; 0 for none (20)"
    )
    given_ = parser.parse_args(arguments)
    return 1 if run(given_.programs, given_.seed, given_.local_every, lambda text: print(text, flush=True)) else 0


if __name__ == "__main__":
    sys.exit(main())
