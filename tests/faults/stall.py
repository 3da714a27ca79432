"""Parties that stop for a while (SIGSTOP), and networks cut in one direction: a run ends or aborts within its deadline,
and once the parties are back the next one works.

What goes in: programs, how many of the cases. What comes out: counts, the slowest end, every case that ended otherwise.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jmpc.testing.faults.injection import Way
from tests.faults.kill import answer, rounds_of, works
from tests.faults.processes import Processes
from tests.faults.programs import FUNCTIONS, Program, program

ROUND_S = 4.0
LATE_S = 1.0  # over a deadline
BUSY_S = 2.0  # more, for a machine on which three parties, a relay and a client share two cores

Trouble = Callable[[Processes], AbstractContextManager[None]]


@dataclass
class Counts:
    cases: int = 0
    ended: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


def stopped(party: int) -> Trouble:
    @contextmanager
    def trouble(house: Processes) -> Iterator[None]:
        house.signal(party, signal.SIGSTOP)
        try:
            yield
        finally:
            house.signal(party, signal.SIGCONT)

    return trouble


def cut(sender: int, receiver: int) -> Trouble:
    @contextmanager
    def trouble(house: Processes) -> Iterator[None]:
        house.relay.cut([(sender, receiver)])
        try:
            yield
        finally:
            house.relay.mend()

    return trouble


TROUBLES: dict[str, Trouble] = {
    **{f"stop {party}": stopped(party) for party in range(3)},
    **{f"cut {a}-{b}": cut(a, b) for a in range(3) for b in range(3) if a != b},
}


def sender_of(name: str) -> int:
    return int(name.split()[1].split("-")[0])


def one(house: Processes, p: Program, name: str, round_no: int, counts: Counts) -> None:
    """The trouble begins when a frame of a round passes, and ends once the parties that can answer have."""
    counts.cases += 1
    sender, lock = sender_of(name), threading.Lock()
    began: list[float] = []
    begun: list[AbstractContextManager[None]] = []

    def begin(way: Way, at: int) -> None:
        with lock:
            if way[0] == sender and at >= round_no and not begun:
                begun.append(TROUBLES[name](house))
                begun[0].__enter__()
                began.append(time.monotonic())

    house.relay.watch = begin
    house.client.join(p.call("stalled"), program=house.client.load(p.flow))
    awake = [party for party in range(3) if name != f"stop {party}"]
    ends = {party: answer(house, p, party) for party in awake}
    house.relay.watch = None
    if begun:
        begun[0].__exit__(None, None, None)
    ends |= {party: answer(house, p, party) for party in range(3) if party not in awake}
    case = f"{p.name} {name} in round {round_no}"
    if not began:
        counts.wrong.append(f"{case} met no frame")
        return
    slowest = max(ends[party][1] for party in awake) - began[0]
    counts.slowest_s = max(counts.slowest_s, slowest)
    if slowest > ROUND_S + LATE_S + BUSY_S:
        counts.wrong.append(f"{case}: it took {slowest:.1f} s")
    if all(said is None for said, _ in ends.values()):
        counts.ended += 1
    counts.wrong += [
        f"{case}: party {party} names no phase or peer: {said}"
        for party, (said, _) in ends.items()
        if said is not None and not (isinstance(said, dict) and said["phase"] and said["peer"])
    ]
    house.wait()
    works(house, p)


def run(names: Sequence[str] = tuple(FUNCTIONS), every: int = 1) -> Counts:
    """Each trouble in the first, a middle and the last round in which somebody sends."""
    counts = Counts()
    cases: list[tuple[Program, str, int]] = []
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder), ROUND_S) as house:
        for p in map(program, names):
            rounds = rounds_of(house, p)
            for name in TROUBLES:
                mine = [round_no for party, round_no in rounds if party == sender_of(name)]
                cases += [(p, name, at) for at in sorted({mine[0], mine[len(mine) // 2], mine[-1]})]
        for case in cases[::every]:
            one(house, *case, counts)
    return counts
