"""One party's links to its peers, as an executor sees them, and the buffers that rounds arrive in.

In: arrays to send and the shapes to expect. Out: the arrays of the peers. Every channel (memory.py in one
process, links.py over the network) passes the same rules, jmpc/testing/conformance/channels.py.
This file moves no bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from jmpc.errors import FrameError
from jmpc.runtime.failure import Place

ALIGNMENT_BYTES = 64  # XLA:CPU takes a host buffer without a copy only at this alignment.

ArraySpec = tuple[tuple[int, ...], np.dtype]


@dataclass(slots=True)
class Traffic:
    """What one channel moved: calls of `exchange`, and by peer payload bytes (the arrays alone, no headers)."""

    rounds: int = 0
    sent_to: Counter[int] = field(default_factory=Counter[int])
    received_from: Counter[int] = field(default_factory=Counter[int])

    @property
    def sent(self) -> int:
        """Payload bytes sent to all peers."""
        return self.sent_to.total()


class Channel(Protocol):
    """One party's links to its peers, for one session. A peer is named by its party.

    All arrays of one round to one peer travel as one message. A direction in which no byte flows sends no
    message: both ends know the plan. Round numbers grow. The arrays returned are 64-byte aligned, fresh,
    and belong to the caller. After an error the channel is closed and every call raises PeerError.
    """

    party: int
    traffic: Traffic
    round_no: int  # of the latest round begun; -1 before the first

    def exchange(
        self,
        round_no: int,
        sends: Mapping[int, Sequence[np.ndarray]],
        receives: Mapping[int, Sequence[ArraySpec]],
    ) -> dict[int, list[np.ndarray]]:
        """Send and receive one round; what each peer in `receives` sent. Raises FrameError, PeerError or
        DeadlineError."""
        ...


def allocate(specs: Sequence[ArraySpec]) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Fresh arrays for one message, their bytes as flat uint8 views, and the total payload size.

    All lie in one buffer, each at an aligned offset.
    """
    if not specs:
        return [], [], 0
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in specs]
    steps = [(size + ALIGNMENT_BYTES - 1) & -ALIGNMENT_BYTES for size in sizes]
    buffer = np.empty(sum(steps) + ALIGNMENT_BYTES, np.uint8)
    offset = -buffer.__array_interface__["data"][0] % ALIGNMENT_BYTES
    arrays: list[np.ndarray] = []
    views: list[np.ndarray] = []
    for (shape, dtype), size, step in zip(specs, sizes, steps, strict=True):
        view = buffer[offset : offset + size]
        views.append(view)
        arrays.append(view.view(dtype).reshape(shape))
        offset += step
    return arrays, views, sum(sizes)


def flat_bytes(arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The arrays as flat uint8 views (copied only where not contiguous), and their total size."""
    views: list[np.ndarray] = []
    for array in arrays:
        if array.dtype.hasobject:
            raise TypeError("an array of Python objects cannot travel")
        views.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return views, sum(view.size for view in views)


def check_round(party: int, last: int, round_no: int) -> None:
    """Round numbers grow: a plan that repeats one is refused before anything is sent."""
    if not last < round_no < 2**32 - 1:
        raise FrameError(
            "round numbers must grow",
            where=Place(party=party, phase="run", round_no=round_no),
            why=f"round {round_no} was asked for after round {last}",
        )
