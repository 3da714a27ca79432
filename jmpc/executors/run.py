"""Run a plan, step by step: exchange, loops, segment. One driver for one party or for all in lock step.

What goes in: plans and their compiled code, mask streams, what each party holds of the inputs, and a `Post` that moves
messages. What comes out: what each party holds of the outputs. The same code runs all parties of the local executor
(messages are array references) and one party on the network (messages are bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from jmpc import _jax
from jmpc._types import AnyArray
from jmpc.errors import CheatingDetected
from jmpc.executors.code_store import Code
from jmpc.executors.masks import Masks
from jmpc.executors.segment import Placed, names_of
from jmpc.ir.plan import Exchange, Loop, Plan, Segment

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
        head = loops[0]
        held = [[store[n] for n in lp.inputs] for lp, store in zip(loops, stores, strict=True)]
        consts = [h[: lp.consts] for lp, h in zip(loops, held, strict=True)]
        carry = [h[lp.consts : lp.consts + lp.carry] for lp, h in zip(loops, held, strict=True)]
        stacked = [[np.asarray(a) for a in h[lp.consts + lp.carry :]] for lp, h in zip(loops, held, strict=True)]
        collected: list[list[list[AnyArray]]] = [[] for _ in loops]
        for i in range(head.trip):
            index = head.trip - 1 - i if head.reverse else i
            inputs = [[*c, *k, *(a[index] for a in s)] for c, k, s in zip(consts, carry, stacked, strict=True)]
            starts = [
                {peer: base[peer] + lp.mask_start[peer] + i * lp.body.mask_words[peer] for peer in base}
                for lp, base in zip(loops, at, strict=True)
            ]
            results = self.scope([lp.body for lp in loops], inputs, starts)
            carry = [r[: lp.carry] for lp, r in zip(loops, results, strict=True)]
            for party, (lp, r) in enumerate(zip(loops, results, strict=True)):
                collected[party].append(r[lp.carry :])
        for party, lp in enumerate(loops):
            rows = collected[party][::-1] if lp.reverse else collected[party]
            outputs = lp.outputs[lp.carry :]
            specs = lp.body.output_specs[lp.carry :]
            stacks = [_stack([row[n] for row in rows], spec) for n, spec in enumerate(specs)]
            stores[party].update(zip(lp.outputs, [*carry[party], *stacks], strict=True))
            assert len(stacks) == len(outputs)


def judge(verdicts: Iterable[AnyArray]) -> None:
    """Stop where a bit is not set. Raises CheatingDetected, which says nothing of what was found."""
    if not all(np.all(np.asarray(bits)) for bits in verdicts):
        raise CheatingDetected(
            "a check of the protocol failed",
            why="what a party sent is not what its program says: a fault of its machine, or it cheats",
            todo="use no result of this session, and find out which party it is before the next one",
        )


def _stack(rows: list[AnyArray], spec: Any) -> np.ndarray:
    shape, dtype = spec
    return np.stack([np.asarray(r) for r in rows]) if rows else np.zeros((0, *shape), dtype)
