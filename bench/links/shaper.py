"""When what enters a directed link comes out at its other end: arithmetic of a clock that the caller reads.

In: the time and a number of bytes. Out: the time at which the last of them arrives. All connections of a link share its
bandwidth (a token bucket of no depth: what was not used is lost) and none overtakes another. It moves no bytes.
"""

from __future__ import annotations

import math

# How far bytes are taken before their turn, so that a late reader loses no time of the link; a router holds as much.
AHEAD_S, AHEAD_BYTES = 0.05, 1 << 23


class Shaper:
    """One directed link. latency_s: one way.  bandwidth: bytes a second, `math.inf` for no limit."""

    def __init__(self, latency_s: float = 0.0, bandwidth: float = math.inf) -> None:
        self.latency_s, self.bandwidth = latency_s, bandwidth
        self.free_at = -math.inf  # when the link has put out all that it took

    def admit(self, now: float, size: int) -> float:
        """Take bytes in now; when they arrive. Times never decrease, so that what goes in first arrives first."""
        self.free_at = max(self.free_at, now) + size / self.bandwidth
        return self.free_at + self.latency_s

    def opens_at(self) -> float:
        """From when more may be taken in: what is not stays with its sender, which is held back as TCP would."""
        return self.free_at - min(AHEAD_S, AHEAD_BYTES / self.bandwidth)

    @property
    def window(self) -> int:
        """The bytes that one connection may have under way: twice what the link holds."""
        held = 0.0 if math.isinf(self.bandwidth) else self.bandwidth * self.latency_s
        return 2 * (AHEAD_BYTES + int(held))

    @property
    def chunk(self) -> int:
        """The bytes that are moved at once: a millisecond's, within bounds."""
        return 1 << 18 if math.isinf(self.bandwidth) else int(min(max(self.bandwidth / 1000, 1 << 12), 1 << 18))
