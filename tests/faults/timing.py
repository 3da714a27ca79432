"""Whether how long a run takes tells of its inputs: the same secret again and again, against others, in random turns.

What goes in: how many runs of each program. What comes out: Welch's t between the two, by program. Runs are local, so
that no network hides a difference; the slowest tenth of all, when the machine did something else, is left out of both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import jmpc
from tests.faults.programs import FUNCTIONS

MOST = 4.5  # of t: where "the same" is refused, once in 150,000 times
KEPT = 0.9
WARM = 20


@dataclass
class Counts:
    runs: int = 0
    t: dict[str, float] = field(default_factory=dict[str, float])
    wrong: list[str] = field(default_factory=list[str])


def welch(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """How many standard errors lie between two means."""
    a, b = np.asarray(one), np.asarray(other)
    return float((a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size))


def t_of(call: Callable[[bool], object], count: int, draw: np.random.Generator) -> float:
    """Of `count` calls in random turns, with the same inputs (True) and with others."""
    same = draw.random(count) < 0.5
    seconds = np.zeros(count)
    for n, is_same in enumerate(same):
        began = time.perf_counter_ns()
        call(bool(is_same))
        seconds[n] = time.perf_counter_ns() - began
    kept = seconds <= np.quantile(seconds, KEPT)
    return welch(seconds[kept & same], seconds[kept & ~same])


def run(count: int, names: Sequence[str] = tuple(FUNCTIONS), seed: int = 0) -> Counts:
    counts, draw = Counts(), np.random.default_rng(seed)
    for name in names:
        function, inputs = FUNCTIONS[name]
        secured = jmpc.secure(function)
        others = [[draw.uniform(-8, 8, x.shape).astype(x.dtype) for x in inputs] for _ in range(64)]
        same = [[x.copy() for x in inputs] for _ in others]  # in as many places of memory
        turn = iter(range(10**9))

        def call(is_same: bool, f: Any = secured, same: Any = same, others: Any = others, turn: Any = turn) -> object:
            return f(*(same if is_same else others)[next(turn) % len(others)])

        for n in range(WARM):
            call(n % 2 == 0)
        t = counts.t[name] = t_of(call, count, draw)
        counts.runs += count
        if abs(t) > MOST:
            counts.wrong.append(f"{name}: t is {t:.2f}")
    return counts
