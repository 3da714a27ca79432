"""kill -9 of each party in each round in which it speaks, of three programs: the others end within 5 s, and say where;
the party comes back, and the next run works.

What goes in: programs, how many of the cases. What comes out: counts, times, and every case that ended otherwise.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jmpc.errors import PartyError
from jmpc.testing.faults.plan import KILL, Fault, FaultPlan
from tests.faults.processes import Processes, repeats
from tests.faults.programs import FUNCTIONS, Program, program
from tests.service.raw_client import numbers

ABORT_S = 5.0
ROUND_S = 30.0  # so that no deadline of a round ends what the loss of the party must end


@dataclass
class Counts:
    cases: int = 0
    slowest_abort_s: float = 0.0
    slowest_return_s: float = 0.0
    steps: dict[str, float] = field(default_factory=dict[str, float])  # the slowest of all returns, by what was done
    done: int = 0  # parties that had all they needed, and said so before it
    sessions: int = 0
    wrong: list[str] = field(default_factory=list[str])


def rounds_of(house: Processes, p: Program) -> list[tuple[int, int]]:
    """A party and a round in which it sends."""
    works(house, p)
    house.injection.arm(FaultPlan())
    works(house, p)
    met = house.injection.met
    house.injection.disarm()
    return sorted({(sender, round_no) for (sender, _), rounds in met.items() for round_no in rounds})


def works(house: Processes, p: Program) -> None:
    (found,) = house.client.run(p.call("works")).values()
    assert p.is_right({0: found}), numbers(found)


def one(house: Processes, p: Program, party: int, round_no: int, counts: Counts) -> None:
    counts.cases += 1
    house.prepare()
    moments: list[float] = []

    def kill(killed: int) -> None:
        house.signal(killed, signal.SIGKILL)
        moments.append(time.monotonic())

    house.relay.kill = kill
    house.injection.arm(FaultPlan((Fault(KILL, party, party, round_no),)))
    program_hash = house.client.load(p.flow)
    house.client.join(p.call("killed"), program=program_hash)
    ends = [answer(house, p, at) for at in range(3)]
    house.injection.disarm()
    case = f"{p.name} {KILL}:{party}@{round_no}"
    if not moments:
        counts.wrong.append(f"{case} met no frame")
        return
    slowest = max(moment for _, moment in ends) - moments[0]
    counts.slowest_abort_s = max(counts.slowest_abort_s, slowest)
    if slowest > ABORT_S:
        counts.wrong.append(f"{case}: the abort took {slowest:.1f} s")
    counts.done += sum(said is None for said, _ in ends)
    counts.wrong += [f"{case}: {why}" for at, (said, _) in enumerate(ends) if (why := misses(at, party, said))]
    house.kill(party)
    returns(house, p, party, counts)


def returns(house: Processes, p: Program, party: int, counts: Counts) -> None:
    """A party that was killed comes back, and the next run works. Python and JAX were imported ahead."""
    steps: list[tuple[str, Callable[[], object]]] = [
        ("its process starts", lambda: house.start(party)),
        ("the client reaches it", lambda: house.reconnect(party)),
        ("the parties find each other", house.wait),
        ("it loads the program", lambda: house.client.load(p.flow)),
        ("the run", lambda: works(house, p)),
    ]
    took: list[float] = []
    for name, step in steps:
        began = time.monotonic()
        step()
        took.append(time.monotonic() - began)
        counts.steps[name] = max(counts.steps.get(name, 0.0), took[-1])
    counts.slowest_return_s = max(counts.slowest_return_s, sum(took[1:]))


def answer(house: Processes, p: Program, party: int) -> tuple[Any, float]:
    """A failure, the error of the client's own link, or None: the party was done, as it may be in the last rounds."""
    try:
        kind, fields = house.client.answer(party, "done")
        moment = time.monotonic()
        if kind == "failed":
            return fields, moment
        house.client.arrays(p.flow, party, fields["outputs"])
        return None, moment
    except PartyError as exc:
        return exc, time.monotonic()


def misses(at: int, killed: int, said: dict[str, Any] | PartyError | None) -> str:
    """What an answer to a call lacks in which a party was killed, or ""."""
    if at == killed:
        return "" if said is None or isinstance(said, PartyError) else f"the killed party ended with {said['error']}"
    if said is None:
        return ""
    if isinstance(said, PartyError):
        return f"party {at} broke its link to the client: {said}"
    if said["error"] not in ("PeerError", "PartyError"):
        return f"party {at} ended with {said['error']}"
    if said["phase"] not in ("run", "handshake") or not said["peer"].startswith("party "):
        return f"party {at} names phase {said['phase']!r} and peer {said['peer']!r}"
    return ""


def run(names: Sequence[str] = tuple(FUNCTIONS), every: int = 1) -> Counts:
    """All cases, or every so many of them."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder), ROUND_S) as house:
        for name in names:
            p = program(name)
            for party, round_no in rounds_of(house, p)[::every]:
                before = len(counts.wrong)
                one(house, p, party, round_no, counts)
                for why in counts.wrong[before:]:
                    print("WRONG", why, flush=True)
        said = house.said()
        counts.sessions = len({line["session"] for line in said if line["event"] == "keys"})
        counts.wrong += repeats(said)
        house.errors.flush()
        if text := (Path(folder) / "stderr").read_text().strip():
            counts.wrong.append(f"a party wrote to its standard error: {text[:2000]}")
    return counts
