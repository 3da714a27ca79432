"""The cost of a whole program: what the compiler states, beside what a run counts.

What goes in: a JAX function and its arguments. What comes out: nothing, or an AssertionError with both. Rounds are
counted by their definition, the longest chain of messages that wait for one another; bytes and mask words one by one.
A loop takes a place of its own in the schedule, also where its body sends nothing, so that beside a loop the compiler
may state, and run, a few rounds more than that chain. Not here: single protocols (`protocol_check.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jmpc.api import Lowered
from jmpc.ir.program import Block
from jmpc.party.schedule import Schedule
from jmpc.testing.executors import SIMULATED, SimulatedBackend, executor
from jmpc.testing.prepared import lowered_for, secured_once
from jmpc.testing.simulator.protocol_run import Words, by_pair, drawn_words
from jmpc.testing.snippet import call_snippet


@dataclass(frozen=True)
class Spent:
    """rounds; bytes_sent: by party; mask_words: words of 64 bits of the key of each pair of parties;
    exact: whether the rounds are those of the longest chain, or at least those."""

    rounds: int
    bytes_sent: tuple[int, ...]
    mask_words: Words
    exact: bool = True

    def covers(self, counted: Spent) -> bool:
        """Whether this statement is true of what was counted."""
        rounds = self.rounds == counted.rounds if self.exact else self.rounds >= counted.rounds
        return rounds and (self.bytes_sent, self.mask_words) == (counted.bytes_sent, counted.mask_words)


def assert_cost_stated(function: Callable[..., Any], *args: Any, seed: int = 0, **options: Any) -> None:
    """Three simulated parties spend what the compiler's report and schedule say. options: those of `jmpc.secure`.

    Raises AssertionError.
    """
    secured = secured_once(function, options)
    with executor(SIMULATED, seed) as backend:
        secured(*args)
    said = stated(lowered_for(secured, args))
    found = counted(backend, len(said.bytes_sent))
    if not said.covers(found):
        raise AssertionError(f"stated {said}, counted {found}\n\n{call_snippet(function, args, options, 0.0)}")


def counted(backend: SimulatedBackend, parties: int) -> Spent:
    """What the latest run of simulated parties spent: nothing, where all was computed in the clear."""
    report = backend.report
    sent = tuple(report.bytes_sent) or (0,) * parties
    return Spent(report.rounds, sent, drawn_words(backend.masks, parties))


def stated(lowered: Lowered) -> Spent:
    """What the compiler says before a run."""
    flow, report = lowered.flow, lowered.cost()
    words = by_pair(words_of(flow.schedule, flow.share.body), len(flow.plans))
    return Spent(report.rounds, report.bytes_sent, words, exact=not flow.schedule.loops)


def words_of(found: Schedule, block: Block) -> Counter[tuple[int, int]]:
    """Mask words that a schedule sets aside by pair, in all iterations of its loops."""
    count: Counter[tuple[int, int]] = Counter()
    for (a, b, _, _), (_, words) in found.masks.items():
        count[a, b] += words
    for op, (_, inside) in found.loops.items():
        attrs: Mapping[str, Any] = block.ops[op].attrs
        for pair, words in words_of(inside, attrs["body"]).items():
            count[pair] += attrs["trip"] * words
    return count
