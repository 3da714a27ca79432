"""How long a run takes, before it runs: the parties' plans played through, over links and on machines of stated speed.

What goes in: the plans of all parties, a link, how fast a party works. What comes out: seconds. A party goes on as soon
as it has what it waits for, so that rounds overlap as they do in a run: who only sends in a round waits for nobody.
Each pair of parties has a link to itself, each way. Not here: what is sent (`report.py` counts it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jmpc.config import Network
from jmpc.ir.plan import Exchange, Plan, Segment

PLAYED_TRIPS = 4  # of a loop: from there on each trip takes what the last one played took
_WORD_BYTES = 8


@dataclass(frozen=True)
class Speed:
    """How fast a party works, in seconds. segment: to start one, and for the messages around it.  operation: one of
    those that `Segment.work` counts.  byte: of what a segment reads, masks drawn for it included, and of what is sealed
    and sent or received and opened."""

    segment: float = 0.0
    operation: float = 0.0
    byte: float = 0.0

    def of_segment(self, segment: Segment) -> float:
        read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in segment.input_specs)
        drawn = _WORD_BYTES * sum(r.count for r in segment.masks)
        return self.segment + self.operation * segment.work + self.byte * (read + drawn)

    def times(self, factor: float) -> Speed:
        """That of parties that take so many times as long."""
        return Speed(self.segment * factor, self.operation * factor, self.byte * factor)


NO_WORK = Speed()
# One core of an AMD EPYC server: CPU seconds of each party over twelve programs of bench/, 0.62 to 1.4 of them for
# all but sorts, whose permutations take twice as long. `python -m bench.network` measures the machine that it is on.
MEASURED = Speed(segment=3.5e-4, operation=7.7e-11, byte=6e-10)


def forecast(plans: Sequence[Plan], link: Network, speed: Speed = NO_WORK) -> float:
    """Seconds from the start of a run, all parties at once, until the last party is done. speed: by default that of
    parties whose work takes no time, which leaves the wire."""
    play = _Play(link, speed, np.zeros(len(plans)), np.zeros((len(plans), len(plans))))
    play.scope(plans)
    return float(play.now.max())


@dataclass
class _Play:
    """now: the time of each party.  free: when each link, by sender and receiver, has put out all that it took."""

    link: Network
    speed: Speed
    now: np.ndarray
    free: np.ndarray
    known: dict[int, float] = field(default_factory=dict[int, float])  # by id of a segment

    def scope(self, plans: Sequence[Plan]) -> None:
        for steps in zip(*(p.steps for p in plans), strict=True):
            if steps[0].is_round:
                self.round([s.exchange for s in steps])
            for loops in zip(*(s.loops for s in steps), strict=True):
                self.loop([lp.body for lp in loops], loops[0].trip)
            for party, step in enumerate(steps):
                if step.segment is not None:
                    self.now[party] += self.work(step.segment)

    def work(self, segment: Segment) -> float:
        if id(segment) not in self.known:
            self.known[id(segment)] = self.speed.of_segment(segment)
        return self.known[id(segment)]

    def round(self, exchanges: Sequence[Exchange]) -> None:
        arrives: dict[tuple[int, int], float] = {}
        for sender, exchange in enumerate(exchanges):
            for receiver, messages in exchange.sends.items():
                if size := sum(m.bytes for m in messages):
                    self.now[sender] += self.speed.byte * size
                    starts = max(self.now[sender], self.free[sender, receiver])
                    self.free[sender, receiver] = starts + size / self.link.bandwidth
                    arrives[sender, receiver] = self.free[sender, receiver] + self.link.latency_s
        for receiver, exchange in enumerate(exchanges):
            for sender, messages in exchange.receives.items():
                if size := sum(m.bytes for m in messages):
                    self.now[receiver] = max(self.now[receiver], arrives[sender, receiver]) + self.speed.byte * size

    def loop(self, bodies: Sequence[Plan], trips: int) -> None:
        before = self.now
        for _ in range(min(trips, PLAYED_TRIPS)):
            before = self.now.copy()
            self.scope(bodies)
        if trips > PLAYED_TRIPS:
            rest = float((self.now - before).max()) * (trips - PLAYED_TRIPS)
            self.now += rest
            self.free += rest
