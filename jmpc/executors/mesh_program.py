"""All plans as one SPMD program over the mesh axis "party": local work in switches, an exchange as ppermutes.

What goes in: the plans of all parties, and at each party its input arrays and the words of its mask streams, one for
each peer. A peer is named by how many parties it is ahead, in a ring, which all parties can say at once.
What comes out: its output arrays. It is traced by JAX inside `shard_map`; no collective lies inside a branch. Nothing
is compiled or placed on a device here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array
from jmpc.executors.slots import WORD, Place, Row, flat, rows, words_of
from jmpc.ir.plan import Exchange, Loop, Message, Plan, Segment, Spec, Step

AXIS = "party"
Branch = Callable[[Mapping[int, Array]], list[Array]]  # of the arrays of some slots


@dataclass(frozen=True)
class Task:
    """What one party does between two rounds: a segment, then packing of what it keeps and of what it sends."""

    segment: Segment | None
    reads: tuple[tuple[int, Place], ...]
    kept: Callable[[Mapping[int, Array]], list[Array]]
    sends: tuple[tuple[tuple[Message, ...], int], ...]

    def run(self, words: Sequence[Array], arrays: Mapping[int, Array]) -> list[Array]:
        held = {number: place.read(arrays) for number, place in self.reads}
        if self.segment is not None:
            results = self.segment.run(*words, *(held[n] for n in self.segment.inputs))
            held.update(zip(self.segment.outputs, results, strict=True))
        return self.kept(held) + [flat([held[m.array] for m in messages], total) for messages, total in self.sends]


class Scope:
    """The values of one scope (the program, or a loop's body) while it is traced.

    masks: the words of each stream, by how far ahead the peer is. at: the words at which the scope's masks start, 0 or
    traced.
    """

    def __init__(self, party: Array, masks: Mapping[int, Array], at: Mapping[int, Any]) -> None:
        self.party, self.masks, self.at = party, masks, at
        self.parties = range(len(masks) + 1)
        self.arrays: dict[int, Array] = {}
        self.places: list[dict[int, Place]] = [{} for _ in self.parties]
        self.passed = lax.full((), True, np.dtype(np.bool_))  # every verdict so far, at this party

    def ahead(self, party: int, step: int) -> int:
        """The peer that is `step` parties ahead."""
        return (party + step) % len(self.parties)

    def run(self, plans: Sequence[Plan], inputs: Sequence[Array]) -> list[Array]:
        for number, array in enumerate(inputs):
            self.hold([p.inputs[number] for p in plans], array)
        steps = list(zip(*(p.steps for p in plans), strict=True))
        sent = self.work(None, steps[0] if steps else None)
        for here, after in zip(steps, [*steps[1:], None], strict=True):
            self.receive([s.exchange for s in here], sent)
            for loops in zip(*(s.loops for s in here), strict=True):
                self.loop(loops)
            sent = self.work(here, after)
            self.judge(here)
        return self.gather(list(zip(*(p.outputs for p in plans), strict=True)))

    def judge(self, steps: Sequence[Step]) -> None:
        """Note whether the verdicts of a step are all set."""
        if not any(s.verdicts for s in steps):
            return
        slots = sorted({self.places[p][n].slot for p, s in enumerate(steps) for n in s.verdicts})

        def branch(party: int, step: Step) -> Branch:
            places = [self.places[party][n] for n in step.verdicts]

            def run(arrays: Mapping[int, Array]) -> list[Array]:
                return [_typed.asarray([jax.numpy.all(p.read(arrays) != 0) for p in places]).all()]

            return run

        (found,) = self.switch([branch(p, s) for p, s in enumerate(steps)], slots)
        self.passed &= found

    def hold(self, numbers: Sequence[int], array: Array) -> None:
        """Keep an array that all parties have, each under its own number."""
        place = Place(len(self.arrays), None, (tuple(array.shape), np.dtype(array.dtype)))
        self.arrays[place.slot] = array
        for party, number in enumerate(numbers):
            self.places[party][number] = place

    def lookup(self, values: Sequence[int]) -> Any:
        """This party's one of the integers."""
        if len(set(values)) == 1:
            return values[0]
        return _typed.dynamic_index_in_dim(_typed.asarray(np.array(values, WORD)), self.party, 0, keepdims=False)

    def switch(self, branches: Sequence[Branch], slots: Sequence[int]) -> list[Array]:
        """Run this party's branch on the arrays of some slots."""

        def flat_branch(branch: Branch) -> Callable[..., list[Array]]:
            return lambda *operands: branch(dict(zip(slots, operands, strict=True)))

        return list(_typed.switch(self.party, [flat_branch(b) for b in branches], *(self.arrays[s] for s in slots)))

    # --- local work

    def work(self, here: Sequence[Step] | None, after: Sequence[Step] | None) -> dict[int, Array]:
        """Run the segments of a step, if there is one yet, and pack the messages of the round after it; returns the
        buffers to send, by how far."""
        segments = [s.segment for s in here] if here else [None for _ in self.parties]
        exchanges = [s.exchange for s in after] if after else [Exchange() for _ in segments]
        kept = rows([self.outlives(s, after[p] if after else None) for p, s in enumerate(here or ())])
        totals = {
            step: max(_total(e.sends.get(self.ahead(p, step), ())) for p, e in enumerate(exchanges))
            for step in self.masks
        }
        if not kept and not any(totals.values()):
            return {}
        tasks = [self.task(p, segments[p], exchanges[p], kept, totals) for p in self.parties]
        results = self.perform(tasks)
        for row, array in zip(kept, results[: len(kept)], strict=True):
            slot = len(self.arrays)
            self.arrays[slot] = array
            for party in self.parties:
                if found := row.place(party, slot):
                    self.places[party][found[0]] = found[1]
        return dict(zip((s for s in totals if totals[s]), results[len(kept) :], strict=True))

    def outlives(self, here: Step, after: Step | None) -> list[tuple[int, Spec]]:
        """What the segment of a step makes, but for what only the messages of the next round take."""
        if here.segment is None:
            return []
        found = zip(here.segment.outputs, _output_specs(here.segment), strict=True)
        if after is None:
            return list(found)
        later = after.segment.inputs if after.segment else ()
        read = {*here.verdicts, *later, *(n for lp in after.loops for n in lp.inputs)}
        return [(n, spec) for n, spec in found if n in read or n not in after.frees]

    def task(
        self, party: int, segment: Segment | None, exchange: Exchange, kept: list[Row], totals: Mapping[int, int]
    ) -> Task:
        ways = {step: exchange.sends.get(self.ahead(party, step), ()) for step in totals}
        sends = tuple((ways[step], total) for step, total in totals.items() if total)
        made = set(segment.outputs if segment else ())
        numbers = dict.fromkeys(segment.inputs if segment else ())
        numbers.update(dict.fromkeys(m.array for messages, _ in sends for m in messages if m.array not in made))
        reads = tuple((n, self.places[party][n]) for n in numbers)
        return Task(segment, reads, lambda held: [row.pack(party, held) for row in kept], sends)

    def perform(self, tasks: Sequence[Task]) -> list[Array]:
        """One party's task at each party."""

        def branch(party: int, task: Task) -> Branch:
            def run(arrays: Mapping[int, Array]) -> list[Array]:
                masks = task.segment.masks if task.segment else ()
                steps = [(m.peer - party) % len(self.parties) for m in masks]
                words = [self.words(step, m.start, m.count) for step, m in zip(steps, masks, strict=True)]
                return task.run(words, arrays)

            return run

        slots = sorted({place.slot for task in tasks for _, place in task.reads})
        return self.switch([branch(p, t) for p, t in enumerate(tasks)], slots)

    def words(self, step: int, start: Any, count: int) -> Array:
        """A range of this scope's masks with the peer that is so far ahead."""
        at = self.at[step] + start
        if isinstance(at, int):
            return lax.slice_in_dim(self.masks[step], at, at + count)
        return lax.dynamic_slice_in_dim(self.masks[step], at, count)

    # --- messages and loops

    def receive(self, exchanges: Sequence[Exchange], sent: Mapping[int, Array]) -> None:
        """What each party sent so far ahead is now there."""
        for step, buffer in sent.items():
            slot = len(self.arrays)
            self.arrays[slot] = _typed.ppermute(buffer, AXIS, [(p, self.ahead(p, step)) for p in self.parties])
            for party in self.parties:
                start = 0
                for message in exchanges[party].receives.get(self.ahead(party, -step), ()):
                    self.places[party][message.array] = Place(slot, start, message.spec)
                    start += words_of(message.spec)

    def gather(self, numbers: Sequence[tuple[int, ...]]) -> list[Array]:
        """Values that all parties hold in the same shape, each as one array."""
        found = [[self.places[p][n] for p, n in enumerate(trio)] for trio in numbers]
        scattered = [trio for trio in found if trio[0].start is not None or len(set(trio)) > 1]
        moved: list[Array] = []
        if scattered:
            slots = sorted({place.slot for trio in scattered for place in trio})

            def branch(party: int) -> Branch:
                return lambda arrays: [trio[party].read(arrays) for trio in scattered]

            moved = self.switch([branch(p) for p in self.parties], slots)
        gathered = iter(moved)
        return [next(gathered) if trio in scattered else self.arrays[trio[0].slot] for trio in found]

    def loop(self, loops: Sequence[Loop]) -> None:
        head = loops[0]
        held = self.gather(list(zip(*(lp.inputs for lp in loops), strict=True)))
        consts, carry, stacked = (
            held[: head.consts],
            held[head.consts : head.consts + head.carry],
            held[head.consts + head.carry :],
        )

        def body(state: tuple[Array, Array, list[Array]], row: list[Array]) -> tuple[Any, list[Array]]:
            i, passed, now = state
            inner = Scope(self.party, self.masks, {step: self.iteration(loops, step, i) for step in self.masks})
            results = inner.run([lp.body for lp in loops], [*consts, *now, *row])
            return (i + WORD.type(1), passed & inner.passed, results[: head.carry]), results[head.carry :]

        start = (lax.full((), 0, WORD), self.passed, carry)
        (_, self.passed, last), stacks = lax.scan(body, start, stacked, length=head.trip, reverse=head.reverse)
        for n, array in enumerate([*last, *stacks]):
            self.hold([lp.outputs[n] for lp in loops], array)

    def iteration(self, loops: Sequence[Loop], step: int, i: Array) -> Array:
        """Where the masks of iteration `i` start."""
        start = self.lookup([lp.mask_start[self.ahead(p, step)] for p, lp in enumerate(loops)])
        each = self.lookup([lp.body.mask_words[self.ahead(p, step)] for p, lp in enumerate(loops)])
        at, start, each = (_typed.asarray(n, WORD) for n in (self.at[step], start, each))
        return at + start + i * each


def _total(messages: Sequence[Message]) -> int:
    return sum(words_of(m.spec) for m in messages)


def _output_specs(segment: Segment) -> list[Spec]:
    masks = [jax.ShapeDtypeStruct((r.count,), WORD) for r in segment.masks]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in segment.input_specs]
    return [(tuple(s.shape), np.dtype(s.dtype)) for s in _typed.eval_shape(segment.run, *masks, *arrays)]
