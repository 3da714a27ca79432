"""The fault hook of the memory channels: what is changed, lost, doubled or late is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from jmpc.errors import DeadlineError, FrameError
from jmpc.runtime.memory import MemoryChannel, Message, memory_channels
from jmpc.testing.faults.virtual_clock import VirtualClock

from .helpers import LONG_S, around, together, until

SPEC = [((2,), np.dtype(np.uint64))]


Fault = Callable[[Message], Sequence[Message]]


def ring(fault: Fault, in_round: int = 1) -> list[object]:
    """Three rounds around the ring under a fault on what party 0 sends to party 1 in one round. The deadline passes
    only while all three wait."""
    clock = VirtualClock(3)

    def hook(sender: int, receiver: int, message: Message) -> Sequence[Message]:
        return fault(message) if (sender, receiver, message.round_no) == (0, 1, in_round) else [message]

    channels = memory_channels(5.0, hook, clock)

    def party(channel: MemoryChannel) -> object:
        arrays = [np.full(2, channel.party, np.uint64)]
        with clock.working():
            for round_no in range(3):
                arrays = around(channel, round_no, arrays, [], [], SPEC)[1]
        return [int(value) for value in arrays[0]]

    return together([lambda c=c: party(c) for c in channels])


def test_without_a_fault_the_ring_comes_around() -> None:
    assert ring(lambda message: [message]) == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (lambda m: [replace(m, sequence=m.sequence + 1)], "sequence"),
        (lambda m: [replace(m, round_no=2)], "round"),
        (lambda m: [replace(m, parts=(b"short",))], "length"),
        (lambda m: [m, m], "round and sequence"),
        (lambda m: [replace(m, session=bytes(16))], "session"),
        (lambda m: [replace(m, parts=(bytes([m.parts[0][0] ^ 1]) + m.parts[0][1:],))], "not authentic"),
        (lambda m: [replace(m, tag=bytes(16))], "not authentic"),
    ],
)
def test_a_changed_or_doubled_message_is_refused(fault: Fault, word: str) -> None:
    results = ring(fault)
    assert isinstance(results[1], FrameError)
    assert word in str(results[1])


def test_a_lost_message_meets_the_deadline() -> None:
    assert isinstance(ring(lambda m: [], in_round=2)[1], DeadlineError)


def test_a_gap_is_noticed_by_the_message_after_it() -> None:
    result = ring(lambda m: [])[1]
    assert isinstance(result, FrameError)
    assert "round and sequence" in str(result)


def test_a_late_message_is_waited_for() -> None:
    """It comes when its receiver waits for it in the machine's own time."""
    channels: list[MemoryChannel] = []

    def late(sender: int, receiver: int, message: Message) -> Sequence[Message]:
        if (sender, receiver, message.round_no) == (0, 1, 1):
            until(lambda: channels[1].round_no == 1)
        return [message]

    channels += memory_channels(LONG_S, late)

    def party(channel: MemoryChannel) -> list[int]:
        arrays = [np.full(2, channel.party, np.uint64)]
        for round_no in range(3):
            arrays = around(channel, round_no, arrays, [], [], SPEC)[1]
        return [int(value) for value in arrays[0]]

    assert together([lambda c=c: party(c) for c in channels]) == [[0, 0], [1, 1], [2, 2]]
