"""What each observer sees of many runs of one program on one input: the data of the statistical level.

What goes in: party programs, what their inputs are worth. What comes out: by observer a `Seen`: counts of the bytes of
its messages and of what it computes, over all runs; and of the first runs, run by run, numbers that it knows: elements
of its shares, of its masks, of its messages and of values that it computes. Masks and sharings are fresh in each run.
Not here: what is concluded (`statistical.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jmpc import families
from jmpc.ir.program import Program
from jmpc.party.program import Traced, input_type
from jmpc.ring.element import Ring
from jmpc.testing.privacy.report import CLIENTS, free_senders, opened_by, to_clients
from jmpc.testing.simulator.batch import Batch
from jmpc.testing.simulator.lockstep import Masks, Message, run_traced
from jmpc.testing.simulator.shares import Held, hold

Array = np.ndarray
CHUNK = 4096
BYTES = 256
DEEP = 8192  # runs of which ends of arrays are kept
WIDE = 2048  # runs of which more of each array is kept
MOST_KEPT = 2048  # elements, of all arrays together
MOST_COMPUTED = 96  # values that a party computes


@dataclass(frozen=True)
class Known:
    """Arrays that an observer knows, by run. place: the message that brought it, the equation that made it, or what it
    is in words.  ends: its first and its last element in the first `DEEP` runs.  wide: more of its elements in the
    first `WIDE` runs, none of what it computes.  share: the number of the input of which it is a share."""

    place: Any
    ends: Array
    wide: Array
    share: int | None = None

    @property
    def received(self) -> bool:
        return isinstance(self.place, Message)

    @property
    def computed(self) -> bool:
        return not self.received and not isinstance(self.place, str)


@dataclass
class Seen:
    """What one observer saw of one input. counts: of each message, (bytes, 256).  known: see `Known`.  opened: names of
    messages that open an order.  local: of each value that it computes, (1, 256) counts of its first byte.  steps: the
    equation of each."""

    messages: list[Message]
    counts: list[Array]
    known: list[Known]
    opened: frozenset[Any]
    local: list[Array] = field(default_factory=list[Array])
    steps: list[Any] = field(default_factory=list[Any])


def observe(
    program: Program, made: Sequence[Traced], values: Sequence[Array], observers: Sequence[int], runs: int, seed: int
) -> dict[int, Seen]:
    """Run in chunks, and keep counts; of the first runs, numbers."""
    rng, seen = np.random.default_rng(seed), {}
    for start in range(0, runs, CHUNK):
        chunk = min(CHUNK, runs - start)
        for who, found in _chunk(program, made, values, observers, chunk, rng, start).items():
            seen[who] = _joined(seen[who], found, start) if who in seen else found
    return seen


def _joined(before: Seen, found: Seen, start: int) -> Seen:
    counts, local = (
        [a + b for a, b in zip(one, two, strict=True)]
        for one, two in ((before.counts, found.counts), (before.local, found.local))
    )
    known = before.known
    if start < DEEP:
        both = zip(before.known, found.known, strict=True)
        known = [replace(a, ends=np.concatenate([a.ends, b.ends])) for a, b in both]
    return Seen(before.messages, counts, known, before.opened, local, before.steps)


def _chunk(
    program: Program,
    made: Sequence[Traced],
    values: Sequence[Array],
    observers: Sequence[int],
    runs: int,
    rng: np.random.Generator,
    start: int,
) -> dict[int, Seen]:
    watched = [Watched(1 + len(t.live) // MOST_COMPUTED, max(DEEP - start, 0)) for t in made]
    family, ring = families.of(program.config), Ring(program.config.k)
    machines = [Batch(runs, one.note) for one in watched]
    types = [input_type(p.type) for p in program.body.params]
    held = [hold(np.asarray(x), t, ring, rng, (runs,), family) for x, t in zip(values, types, strict=True)]
    masks = Masks(rng, (runs,))
    flat, report = run_traced(made, held, masks, machines)
    seen, opened = {}, frozenset(opened_by(report.messages, made, family.openings))
    for who in observers:
        messages = [*report.to(who), *to_clients(program, flat, free_senders(who, family))]
        messages = [m for m in messages if m.array.size]
        bare = [replace(m, array=m.array[:0]) for m in messages]
        arrays = list(_arrays(who, messages, bare, held, masks))
        keep = max(MOST_KEPT // max(len(arrays), 1), 1)
        known = [_known(*one, keep, start) for one in arrays]
        own = watched[who] if who != CLIENTS else Watched()
        counts = [histogram(m.array) for m in messages]
        seen[who] = Seen(bare, counts, [*known, *own.known], opened, own.counts, own.steps)
    return seen


def _arrays(
    who: int, messages: Sequence[Message], bare: Sequence[Message], held: Sequence[Sequence[Held]], masks: Masks
) -> Iterator[tuple[Message | str, Array, int | None]]:
    """All that an observer knows: its own shares, its masks, its messages."""
    if who != CLIENTS:
        yield from (("a share of its own", a, n) for n, one in enumerate(held) for a in one[who] if a.size)
        yield from (("a mask of its own", a, None) for a in masks.known_to(who) if a.size)
    yield from ((at, m.array, None) for at, m in zip(bare, messages, strict=True))


def _known(place: Message | str, array: Array, share: int | None, keep: int, start: int) -> Known:
    flat = array.reshape(array.shape[0], -1)
    ends = flat[:, sorted({0, flat.shape[1] - 1})]
    wide = flat[: WIDE if start == 0 else 0, _spread(flat.shape[1], keep)]
    return Known(place, ends[: max(DEEP - start, 0)].copy(), wide.copy(), share)


def _spread(size: int, keep: int) -> Array:
    """Up to `keep` numbers below `size`: all, or the first half of them and others, up to the last."""
    if size <= keep:
        return np.arange(size)
    first = -(-keep // 2)
    rest = np.linspace(size - 1, first, keep - first).astype(int)
    return np.unique([*range(first), *rest])


@dataclass
class Watched:
    """What a party computes: counts of the first byte of each value, and the ends of every `stride`-th in up to `deep`
    runs. What is the same in every run is left out."""

    stride: int = 1
    deep: int = 0
    counts: list[Array] = field(default_factory=list[Array])
    steps: list[Any] = field(default_factory=list[Any])
    known: list[Known] = field(default_factory=list[Known])

    def note(self, eqn: Any, array: Array) -> None:
        if not array.size or not array.strides[0]:
            return
        flat = array.reshape(array.shape[0], -1)
        first = np.ascontiguousarray(flat[:, 0]).view(np.uint8)
        self.counts.append(np.bincount(first[:: array.itemsize], minlength=BYTES)[None])
        if len(self.steps) % self.stride == 0 and array.dtype.kind in "iu" and len(self.known) < MOST_COMPUTED:
            ends = flat[: self.deep, sorted({0, flat.shape[1] - 1})]
            self.known.append(Known(eqn, ends.copy(), np.zeros((min(WIDE, self.deep), 0), array.dtype)))
        self.steps.append(eqn)


def histogram(message: Array) -> Array:
    """Counts of each byte of a run: (bytes, 256), little-endian."""
    lanes = np.ascontiguousarray(message).reshape(message.shape[0], -1).view(np.uint8)
    cells = lanes + BYTES * np.arange(lanes.shape[1])
    return np.bincount(cells.ravel(), minlength=BYTES * lanes.shape[1]).reshape(-1, BYTES)
