"""Session after session, and parties that restart between them: nothing grows, nothing is left open, every result is
right, and no block of a mask or key comes twice.

What goes in: how many sessions. What comes out: counts, and what grew.
"""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import jmpc.service.session as running
from jmpc.executors.masks import Stream
from jmpc.runtime.keys import PairKeys, pair_keys
from jmpc.service.limits import Limits
from tests.faults.fuzz import resident_mib
from tests.faults.programs import Program, program
from tests.service.raw_client import RawClient
from tests.service.three import Three

RESTARTS = 8
BLOCK_BYTES = 16
DRIFT = 0.05


@dataclass
class Counts:
    sessions: int = 0
    restarts: int = 0
    blocks: int = 0
    mib: tuple[float, float] = (0.0, 0.0)
    descriptors: tuple[int, int] = (0, 0)
    threads: tuple[int, int] = (0, 0)
    wrong: list[str] = field(default_factory=list[str])


class Blocks:
    """Every block of the masks that a session draws, and each transport key, once for a pair; kept on disk, so that it
    does not look as if the parties grew."""

    def __init__(self, path: Path) -> None:
        self._file, self._lock = path.open("w+b"), threading.Lock()
        self.words = 0  # of a mask stream that the program uses

    def keys(self, me: int, peer: int, *more: Any) -> PairKeys:
        made = pair_keys(me, peer, *more)
        if me < peer:
            drawn = Stream(made.mask, self.words).words(0, self.words).tobytes()
            with self._lock:
                self._file.write(
                    drawn[: len(drawn) // BLOCK_BYTES * BLOCK_BYTES] + made.mask + made.send + made.receive
                )
        return made

    def close(self) -> None:
        self._file.close()

    def repeated(self) -> tuple[int, int]:
        """How many there are, and how many of them came before."""
        self._file.flush()
        found = np.fromfile(self._file.name, np.dtype("V16"))
        pairs = found.view(np.uint64).reshape(-1, 2)
        return len(pairs), len(pairs) - len(np.unique(pairs, axis=0))


@contextmanager
def recorded(path: Path, p: Program) -> Iterator[Blocks]:
    blocks = Blocks(path)
    blocks.words = max(words for plan in p.flow.plans for words in plan.mask_words.values())
    running.pair_keys = blocks.keys
    try:
        yield blocks
    finally:
        running.pair_keys = pair_keys
        blocks.close()


def state() -> tuple[float, int, int]:
    return resident_mib(), len(os.listdir("/proc/self/fd")), threading.active_count()


def run(count: int, name: str = "relu_product") -> Counts:
    """So many sessions. What grows is measured from the first restart to the last."""
    counts, p = Counts(), program(name)
    every = max(1, count // (RESTARTS + 1))
    states: list[tuple[float, int, int]] = []
    with tempfile.TemporaryDirectory() as folder, recorded(Path(folder) / "blocks", p) as blocks:
        with Three(Path(folder), ["alice"], Limits()) as three:
            while counts.sessions < count:
                with RawClient(three, "alice") as client:
                    counts.wrong += calls(client, p, min(every, count - counts.sessions), counts)
                quiet(three)
                forget(three)
                states.append(state())
                if counts.sessions < count:
                    again(three, counts.restarts % 3)
                    counts.restarts += 1
        counts.blocks, repeated = blocks.repeated()
    counts.mib, counts.descriptors, counts.threads = (  # type: ignore[assignment]
        (states[len(states) > 2][at], states[-1][at]) for at in range(3)
    )
    if repeated:
        counts.wrong.append(f"{repeated} blocks came before")
    if counts.mib[1] > counts.mib[0] * (1 + DRIFT):
        counts.wrong.append(f"memory grew from {counts.mib[0]:.0f} to {counts.mib[1]:.0f} MiB")
    if counts.descriptors[1] > counts.descriptors[0] + 4 or counts.threads[1] > counts.threads[0] + 4:
        counts.wrong.append(f"left open: descriptors {counts.descriptors}, threads {counts.threads}")
    return counts


def calls(client: RawClient, p: Program, count: int, counts: Counts) -> list[str]:
    wrong: list[str] = []
    for _ in range(count):
        counts.sessions += 1
        if not p.is_right(client.run(p.call("soak"))):
            wrong.append(f"session {counts.sessions}: the result is wrong")
        if counts.sessions % 500 == 0:
            print(f"  {counts.sessions} sessions, {resident_mib():.0f} MiB", flush=True)
    return wrong


def again(three: Three, party: int) -> None:
    """A party restarts."""
    three.stop(party)
    three.start(party)
    three.wait()


def forget(three: Three) -> None:
    """What the test itself keeps of every session, and what the allocator holds without using it."""
    for events, programs in zip(three.events, three.programs, strict=True):
        events.seen.clear()
        programs.runs.clear()
    gc.collect()
    with suppress(AttributeError):  # of the GNU library
        ctypes.CDLL(None).malloc_trim(0)


def quiet(three: Three) -> None:
    """Until the parties have let go of the clients."""
    while any(service and service.clients.count for service in three.services):
        threading.Event().wait(0.01)
