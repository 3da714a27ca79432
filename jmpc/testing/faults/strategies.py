"""Fault plans to draw: which party, which round, what.

What goes in: the kinds and rounds to choose from. What comes out: hypothesis strategies; they shrink to one dropped
message of round 0. Not here: what the plans do (`plan.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from jmpc.testing.faults.plan import AMOUNTS, KILL, ON_LINKS, SEED_DELAY_MS, Fault, FaultPlan


@st.composite
def faults(draw: st.DrawFn, kinds: Sequence[str] = ON_LINKS, rounds: int = 6, parties: int = 3) -> Fault:
    """One fault, in one of the first `rounds` rounds. Delays are short: 0 to 20 ms."""
    kind = draw(st.sampled_from(tuple(kinds)))
    round_no = draw(st.integers(0, rounds - 1))
    sender = draw(st.integers(0, parties - 1))
    receiver = sender if kind == KILL else (sender + draw(st.integers(1, parties - 1))) % parties
    most = {"delay": SEED_DELAY_MS, "flip": 1 << 12, "truncate": 1 << 9}.get(kind, 0)
    return Fault(kind, sender, receiver, round_no, draw(st.integers(0, most)) if kind in AMOUNTS else 0)


def fault_plans(
    kinds: Sequence[str] = ON_LINKS, rounds: int = 6, most: int = 1, parties: int = 3
) -> st.SearchStrategy[FaultPlan]:
    """Plans of one to `most` faults of these kinds, in the first `rounds` rounds. Nobody is killed unless `kinds` says
    so: processes are started anew after that."""
    drawn = st.lists(faults(kinds, rounds, parties), min_size=1, max_size=most, unique=True)
    return drawn.map(lambda found: FaultPlan(tuple(found)))
