"""A party's plan: segments of local work, rounds of messages, loops; all that an executor needs.

A plan names arrays by number. `Step`s run in order: first the messages of a round, then loops, then a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Spec = tuple[tuple[int, ...], np.dtype]
WHOLE_WORDS = 1 << 17  # a stream of masks that is no longer is drawn before the run, in one go, and held to its end


@dataclass(frozen=True)
class Message:
    """One array of an exchange. op: the op's name and the user's line, for the report."""

    array: int
    spec: Spec
    name: tuple[int, int]
    op: str
    loc: str

    @cached_property
    def bytes(self) -> int:
        shape, dtype = self.spec
        return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


@dataclass(frozen=True)
class Exchange:
    """The messages of one round by peer, in the order in which both ends list them. Of a peer with none there is no
    entry."""

    sends: Mapping[int, tuple[Message, ...]] = field(default_factory=dict[int, tuple[Message, ...]])
    receives: Mapping[int, tuple[Message, ...]] = field(default_factory=dict[int, tuple[Message, ...]])

    @cached_property
    def sent(self) -> tuple[Message, ...]:
        return tuple(m for messages in self.sends.values() for m in messages)

    @cached_property
    def received(self) -> tuple[Message, ...]:
        return tuple(m for messages in self.receives.values() for m in messages)

    @cached_property
    def bytes_sent(self) -> int:
        return sum(m.bytes for m in self.sent)


@dataclass(frozen=True)
class MaskRange:
    """`count` words of 64 bits at word `start` of the stream of the key shared with `peer`."""

    peer: int
    start: int
    count: int


@dataclass(frozen=True)
class Segment:
    """Local work: run(*mask words, *inputs) -> outputs. key: equal for segments that compile to the same code.
    work: about how many elementary operations it takes.  scratch: bytes of what it makes on the way
    (party/memory.py)."""

    masks: tuple[MaskRange, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_specs: tuple[Spec, ...]
    output_specs: tuple[Spec, ...]
    run: Callable[..., list[Any]]
    key: str
    work: int
    scratch: int


@dataclass(frozen=True)
class Loop:
    """`body` runs `trip` times. The first inputs are constants, then the carry, then stacked arrays.
    mask_start: the first word of iteration 0 in each peer's stream; each iteration takes `body.mask_words`."""

    body: Plan
    trip: int
    consts: int
    carry: int
    reverse: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    mask_start: dict[int, int]


@dataclass(frozen=True)
class Step:
    """is_round: whether any party sends anything here, this one or another.  verdicts: arrays whose every element must
    be set at the end of the step; the party stops otherwise."""

    is_round: bool
    exchange: Exchange
    loops: tuple[Loop, ...]
    segment: Segment | None
    frees: tuple[int, ...] = ()
    verdicts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Plan:
    """party; inputs, outputs: array numbers, and specs of the inputs; mask_words: by
    peer, the words drawn of the stream of the key shared with it."""

    party: int
    inputs: tuple[int, ...]
    input_specs: tuple[Spec, ...]
    outputs: tuple[int, ...]
    output_specs: tuple[Spec, ...]
    steps: tuple[Step, ...]
    mask_words: dict[int, int]
