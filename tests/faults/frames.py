"""Eight faults on every frame of three programs: each run ends in a typed error, none in a wrong result, and the next
one works.

What goes in: programs, kinds, how many clusters at once. What comes out: counts, and every case that ended otherwise.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from jmpc.testing.faults.plan import AMOUNTS, Fault
from tests.faults.house import House, wrong_with
from tests.faults.programs import FUNCTIONS, program

KINDS = ("replay", "reorder", "repeat", "drop", "reflect", "splice", "flip", "truncate")
# A frame that came twice is refused in the place of the next; where none comes, by the next session on its line.
LEAVES_A_FRAME = ("repeat",)
ROUND_S = 1.0
STRIDE = 7  # cases that are neighbours do not follow each other

Case = tuple[str, Fault]


@dataclass
class Counts:
    frames: int = 0
    cases: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    second_tries: int = 0
    wrong: list[str] = field(default_factory=list[str])

    def add(self, other: Counts) -> None:
        self.cases += other.cases
        self.ended += other.ended
        self.second_tries += other.second_tries
        self.wrong += other.wrong


def cases(house: House, names: Sequence[str], kinds: Sequence[str], counts: Counts) -> Iterator[Case]:
    for name in names:
        frames = house.frames(program(name))
        counts.frames += len(frames)
        for at, ((sender, receiver), round_no) in enumerate(frames):
            for kind in kinds:
                amount = (at * 7919 + 13) % 100_003 if kind in AMOUNTS else 0
                yield name, Fault(kind, sender, receiver, round_no, amount)


def one(house: House, case: Case, counts: Counts) -> None:
    name, fault = case
    counts.cases += 1
    if fault.kind == "splice":
        house.again(program(name), tries=2)  # a session to take the frame of
    end = house.under(program(name), fault)
    counts.ended["a typed error" if end.failures else "the right result"] += 1
    leaves = fault.kind in LEAVES_A_FRAME
    if why := wrong_with(house.client, program(name), end, may_end_well=leaves):
        counts.wrong.append(f"{name} {fault}: {why}")
    acted = house.injection.acted[0].round_no
    if acted != fault.round_no:
        counts.wrong.append(f"{name} {fault}: it met round {acted}")
    tries, why = house.again(program(name), tries=2 if leaves else 1)
    counts.second_tries += tries > 1
    if why:
        counts.wrong.append(f"{name} {fault}: after {end.errors()} the next session failed: {why}")
        house.again(program(name), tries=2)


def run(names: Sequence[str] = tuple(FUNCTIONS), kinds: Sequence[str] = KINDS, jobs: int = 4, every: int = 1) -> Counts:
    """All cases, or every so many of them, on `jobs` clusters at once."""
    total, todo = Counts(), SimpleQueue[Case]()

    def work(folder: Path) -> Counts:
        counts = Counts()
        with House(folder, ROUND_S) as house:
            for name in names:
                house.warm(program(name))
            while True:
                try:
                    case = todo.get_nowait()
                except Empty:
                    return counts
                before = len(counts.wrong)
                try:
                    one(house, case, counts)
                except Exception as exc:  # of the client's links, say: it is one more case that went wrong
                    counts.wrong.append(f"{case[0]} {case[1]}: {exc!r}")
                    house.reconnect()
                for why in counts.wrong[before:]:
                    print("WRONG", why, flush=True)
                if counts.cases % 50 == 0:
                    print(f"  {folder.name}: {counts.cases} cases, {len(counts.wrong)} wrong", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "first").mkdir()
        with House(Path(folder) / "first", ROUND_S) as house:
            some = list(cases(house, names, kinds, total))[::every]
            for at in sorted(range(len(some)), key=lambda at: at % STRIDE):
                todo.put(some[at])
        folders = [Path(folder) / str(n) for n in range(jobs)]
        for made in folders:
            made.mkdir()
        with ThreadPoolExecutor(jobs) as pool:
            for counts in pool.map(work, folders):
                total.add(counts)
    return total
