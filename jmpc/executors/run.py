"""Run a plan, step by step: exchange, loops, segment. One driver for one party or for all in lock step.

What goes in: plans and their compiled code, mask streams, what each party holds of the inputs, and a `Post` that moves
messages. What comes out: what each party holds of the outputs. The same code runs all parties of the local executor
(messages are array references) and one party on the network (messages are bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from jmpc import _jax
from jmpc._types import AnyArray
from jmpc.errors import CheatingDetected
from jmpc.executors.code_store import Code
from jmpc.executors.masks import Masks
from jmpc.executors.segment import Placed, names_of
from jmpc.ir.plan import Exchange, Loop, Plan, Segment
from jmpc.ring.aligned import aligned_array

Store = dict[int, AnyArray]


@dataclass
class Counts:
    """What was sent, counted as it was: rounds, and payload bytes of each party run here."""

    rounds: int = 0
    bytes_sent: list[int] = field(default_factory=list[int])


class Post(Protocol):
    """Moves the messages of one round between the parties."""

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None: ...


class Run:
    """One run of the plans of one party, or of all. code: of these plans.  streams: by party, and by peer."""

    def __init__(self, placed: Placed, code: Code, streams: Sequence[Mapping[int, Masks]], post: Post) -> None:
        self.plans, self.code, self.streams, self.post = placed.plans, code, streams, post

    def __call__(self, inputs: Sequence[Sequence[AnyArray]]) -> list[list[AnyArray]]:
        with _jax.x64():
            return self.scope(self.plans, inputs, [dict.fromkeys(p.mask_words, 0) for p in self.plans])

    def scope(
        self, plans: Sequence[Plan], inputs: Sequence[Sequence[AnyArray]], at: Sequence[Mapping[int, int]]
    ) -> list[list[AnyArray]]:
        """One pass over a plan. at: where its masks start in each stream, by party."""
        stores: list[Store] = [
            dict(zip(p.inputs, arrays, strict=True)) for p, arrays in zip(plans, inputs, strict=True)
        ]
        for steps in zip(*(p.steps for p in plans), strict=True):
            if steps[0].is_round:
                self.post.round([s.exchange for s in steps], stores)
            for loops in zip(*(s.loops for s in steps), strict=True):
                self.loop(loops, stores, at)
            self.segments([s.segment for s in steps], stores, at)
            for store, step in zip(stores, steps, strict=True):
                if step.verdicts:
                    judge(store[n] for n in step.verdicts)
                for number in step.frees:
                    del store[number]
        return [[store[n] for n in p.outputs] for p, store in zip(plans, stores, strict=True)]

    def segments(
        self, group: Sequence[Segment | None], stores: Sequence[Store], at: Sequence[Mapping[int, int]]
    ) -> None:
        """The local work of one step, of all the parties here in one call."""
        if not any(group):
            return
        masks: list[AnyArray] = []
        arrays: list[AnyArray] = []
        for segment, store, streams, base in zip(group, stores, self.streams, at, strict=True):
            if segment is not None:
                for m in segment.masks:
                    masks += streams[m.peer].arguments(base[m.peer] + m.start, m.count)
                arrays += [store[n] for n in segment.inputs]
        results = iter(self.code[names_of(group)](*masks, *arrays))
        for segment, store in zip(group, stores, strict=True):
            if segment is not None:
                store.update(zip(segment.outputs, results, strict=False))

    def loop(self, loops: Sequence[Loop], stores: Sequence[Store], at: Sequence[Mapping[int, int]]) -> None:
        """Rows go into their stacks as they come: an iteration leaves nothing but what it hands on."""
        held = [_Given.of(lp, store) for lp, store in zip(loops, stores, strict=True)]
        stacks = [_stacks(lp) for lp in loops]
        carry = [given.carry for given in held]
        for i in range(loops[0].trip):
            carry = self.iteration(loops, held, carry, stacks, i, at)
        for lp, store, handed_on, filled in zip(loops, stores, carry, stacks, strict=True):
            store.update(zip(lp.outputs, [*handed_on, *filled], strict=True))

    def iteration(
        self,
        loops: Sequence[Loop],
        held: Sequence[_Given],
        carry: Sequence[list[AnyArray]],
        stacks: Sequence[list[np.ndarray]],
        i: int,
        at: Sequence[Mapping[int, int]],
    ) -> list[list[AnyArray]]:
        """Iteration number i; what it hands on."""
        index = loops[0].trip - 1 - i if loops[0].reverse else i
        inputs = [[*given.consts, *k, *(a[index] for a in given.stacked)] for given, k in zip(held, carry, strict=True)]
        starts = [
            {peer: base[peer] + lp.mask_start[peer] + i * lp.body.mask_words[peer] for peer in base}
            for lp, base in zip(loops, at, strict=True)
        ]
        results = self.scope([lp.body for lp in loops], inputs, starts)
        for lp, rows, filled in zip(loops, results, stacks, strict=True):
            for stack, row in zip(filled, rows[lp.carry :], strict=True):
                stack[index] = np.asarray(row)
        return [rows[: lp.carry] for lp, rows in zip(loops, results, strict=True)]


@dataclass(frozen=True, repr=False)
class _Given:
    """What one party gives to a loop."""

    consts: list[AnyArray]
    carry: list[AnyArray]
    stacked: list[np.ndarray]

    @classmethod
    def of(cls, loop: Loop, store: Store) -> _Given:
        given, last = [store[n] for n in loop.inputs], loop.consts + loop.carry
        return cls(given[: loop.consts], given[loop.consts : last], [np.asarray(a) for a in given[last:]])


def _stacks(loop: Loop) -> list[np.ndarray]:
    """Arrays for a row of each iteration."""
    return [aligned_array((loop.trip, *shape), dtype) for shape, dtype in loop.body.output_specs[loop.carry :]]


def judge(verdicts: Iterable[AnyArray]) -> None:
    """Stop where a bit is not set. Raises CheatingDetected, which says nothing of what was found."""
    if not all(np.all(np.asarray(bits)) for bits in verdicts):
        raise CheatingDetected(
            "a check of the protocol failed",
            why="what a party sent is not what its program says: a fault of its machine, or it cheats",
            todo="use no result of this session, and find out which party it is before the next one",
        )
