"""How long a run takes, before it runs: the parties' plans played through, over links and on machines of stated speed.

What goes in: the plans of all parties, a link, how fast a party works. What comes out: seconds. A party goes on as soon
as it has what it waits for, so that rounds overlap as they do in a run: who only sends in a round waits for nobody.
Each pair of parties has a link to itself, each way. Not here: what is sent (`report.py` counts it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jmpc.config import Network
from jmpc.ir.plan import Exchange, Plan, Segment

PLAYED_TRIPS = (
    24  # of a loop; after half of them each trip takes what the one before took, and the rest are reckoned so
)


@dataclass(frozen=True)
class Speed:
    """How fast a party works, in seconds. segment: to start one.  round: a message sent or received, whatever its size.
    operation: one of those that `Segment.work` counts.  mask: to draw a word.  byte: to seal and send one, or to
    receive and open it."""

    segment: float = 0.0
    round: float = 0.0
    operation: float = 0.0
    mask: float = 0.0
    byte: float = 0.0

    def of_segment(self, segment: Segment) -> float:
        drawn = sum(r.count for r in segment.masks)
        return self.segment + self.operation * segment.work + self.mask * drawn


WIRE_ALONE = Speed()


def forecast(plans: Sequence[Plan], link: Network, speed: Speed = WIRE_ALONE) -> float:
    """Seconds from the start of a run, all parties at once, until the last party is done. speed: by default that of
    parties whose work takes no time: the wire alone."""
    play = _Play(len(plans), link, speed)
    play.scope(plans)
    return float(play.now.max())


@dataclass
class _Play:
    """now: the time of each party.  free: when each link, by sender and receiver, has put out all that it took."""

    parties: int
    link: Network
    speed: Speed
    now: np.ndarray = field(init=False)
    free: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.now = np.zeros(self.parties)
        self.free = np.zeros((self.parties, self.parties))

    def scope(self, plans: Sequence[Plan]) -> None:
        for steps in zip(*(p.steps for p in plans), strict=True):
            if steps[0].is_round:
                self.round([s.exchange for s in steps])
            for loops in zip(*(s.loops for s in steps), strict=True):
                self.loop([lp.body for lp in loops], loops[0].trip)
            for party, step in enumerate(steps):
                if step.segment is not None:
                    self.now[party] += self.speed.of_segment(step.segment)

    def round(self, exchanges: Sequence[Exchange]) -> None:
        arrives: dict[tuple[int, int], float] = {}
        for sender, exchange in enumerate(exchanges):
            for receiver, messages in exchange.sends.items():
                if size := sum(m.bytes for m in messages):
                    self.now[sender] += self.speed.round + self.speed.byte * size
                    starts = max(self.now[sender], self.free[sender, receiver])
                    self.free[sender, receiver] = starts + size / self.link.bandwidth
                    arrives[sender, receiver] = self.free[sender, receiver] + self.link.latency_s
        for receiver, exchange in enumerate(exchanges):
            for sender, messages in exchange.receives.items():
                if size := sum(m.bytes for m in messages):
                    self.now[receiver] = max(self.now[receiver], arrives[sender, receiver])
                    self.now[receiver] += self.speed.round + self.speed.byte * size

    def loop(self, bodies: Sequence[Plan], trips: int) -> None:
        for _ in range(min(trips, PLAYED_TRIPS // 2)):
            self.scope(bodies)
        before = self.now.copy()
        for _ in range(min(max(trips - PLAYED_TRIPS // 2, 0), PLAYED_TRIPS // 2)):
            self.scope(bodies)
        if trips > PLAYED_TRIPS:
            rest = (self.now - before).max() * (trips - PLAYED_TRIPS) / (PLAYED_TRIPS // 2)
            self.now += rest
            self.free += rest
