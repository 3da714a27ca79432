"""What holds for a carry of a loop in every iteration: its type, and where an integer may be.

What goes in: what is known of the value that a carry starts with, and of what the body made of it. What comes out: the
type of the body's parameter. It is a fixed point: the body is walked with what the start says; where it gives more,
with what both say; then with room for a sum that decays; then with all of the dtype, or of the number format. Integers
that leave their dtype wrap in the ring, whose low bits are theirs. So a bound that was declared, or that follows, is
kept where the body keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jmpc.config import Config
from jmpc.frontend.integer import integers
from jmpc.frontend.integer.integers import Interval
from jmpc.frontend.kinds import integer_limit
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BOOL, INT, Type, weakest

if TYPE_CHECKING:
    from jmpc.frontend.walk import Walker

START, HULL, ROOM, DTYPE, LAST = range(5)
ROOM_BITS = 6  # a moving average, x + 0.98 c, stays within 64 times what it starts with


@dataclass(frozen=True)
class Held:
    """type: of a value. span: where an integer is; its limit says as much. rung: how far a carry was widened."""

    type: Type
    span: Interval = (0, 0)
    rung: int = START

    def holds(self, found: Held) -> bool:
        """Whether what the body gives is what its parameter is."""
        if weakest(self.type.origin, found.type.origin) != self.type.origin:
            return False
        if self.rung == LAST or self.type.kind == BOOL:
            return True
        return _is_within(found.span, self.span) and found.type.limit <= self.type.limit


def carried(start: Held, seen: Held, rung: int, dtype: Any, config: Config) -> Held:
    """The type of a carry, from the start and from what was seen of the body, widened so far. The only place that
    decides it."""
    if start.type.kind == BOOL:
        return start
    origin = weakest(start.type.origin, seen.type.origin)
    if start.type.kind == INT:
        return _integer(start, integers.hull(start.span, seen.span), origin, rung, dtype, config)
    limit, most = max(start.type.limit, seen.type.limit), ops.contract(start.type.scale, config)
    limit = limit << ROOM_BITS if rung == ROOM else limit
    if rung > ROOM or origin == ASSUMED or limit > most:
        return Held(start.type.bounded(most, ASSUMED), rung=LAST)
    return Held(start.type.bounded(limit, ASSUMED if rung == ROOM else origin), rung=rung)


def _integer(start: Held, span: Interval, origin: str, rung: int, dtype: Any, config: Config) -> Held:
    """Of an integer wider than the ring it is assumed that it stays within it."""
    wide, whole = integers.bits_of(dtype) > config.k, integers.of_dtype(dtype, config.k)
    if rung >= ROOM or not _is_within(span, whole):
        rung = LAST if wide or rung == LAST or not _is_within(span, whole) else DTYPE
        span = integers.fitted((-1 << config.k, 1 << config.k), config.k) if rung == LAST else whole
    limit = max(-span[0], span[1], 1)
    if wide and (rung == LAST or limit > integer_limit(dtype, config)):
        return Held(start.type.bounded(integer_limit(dtype, config), ASSUMED), span, LAST)
    return Held(start.type.bounded(limit, origin), span, rung)


def widened(held: Held, start: Held, found: Held, dtype: Any, config: Config) -> Held:
    """What to try next, after the body gave `found` where `held` was tried."""
    limit, origin = max(held.type.limit, found.type.limit), weakest(held.type.origin, found.type.origin)
    seen = Held(held.type.bounded(limit, origin), integers.hull(held.span, found.span))
    return carried(start, seen, min(held.rung + 1, LAST), dtype, config)


def known_of(w: Walker, x: Value) -> Held:
    """What is known of a value."""
    if x.type.kind != INT:
        return Held(x.type)
    low, high = integers.interval(w, x)
    return Held(x.type.bounded(max(-low, high, 1), x.type.origin), (low, high))


def start_of(w: Walker, x: Value, dtype: Any) -> Held:
    """What is known of the value that a carry starts with. An integer that left its dtype is brought back, unless the
    body wraps it in the ring anyway."""
    known = known_of(w, x)
    if integers.is_settled(w, x, dtype):
        return known
    low, high = integers.of_dtype(dtype, w.config.k)
    return Held(known.type.bounded(max(-low, high), known.type.origin), (low, high))


def _is_within(inner: Interval, outer: Interval) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
