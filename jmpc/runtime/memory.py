"""The channels of all parties inside one process: threads, queues, the same rules and counts as the network.

In: a deadline and, for tests, a fault hook that sees every message and may change, drop or delay it. Out:
a channel for each party. Messages are authenticated as on the network, so that every change is refused, but not
encrypted: this is for development and tests.
"""

from __future__ import annotations

import hashlib
import os
import queue
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from jmpc.errors import DeadlineError, FrameError, PeerError
from jmpc.runtime.channel import ArraySpec, Traffic, allocate, check_round, flat_bytes
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.frames import session_tag


@dataclass(frozen=True, slots=True)
class Message:
    """What travels in one direction in one round: the bytes of each array. tag: under the session's key."""

    session: bytes = field(repr=False)
    round_no: int
    sequence: int
    parts: tuple[bytes, ...] = field(repr=False)
    tag: bytes = field(repr=False)


FaultHook = Callable[[int, int, Message], Sequence[Message]]
"""(sender, receiver, message) -> the messages to deliver in its place; it may also sleep or raise."""

_PLACE = struct.Struct("<BBIQ")


class Mailbox(Protocol):
    """Messages of one sender for one receiver, in order; None once the sender has closed."""

    def put(self, item: Message | None) -> None: ...
    def get(self, *, timeout: float) -> Message | None:
        """Raises queue.Empty."""
        ...


class Clock(Protocol):
    """The time in which deadlines are kept."""

    def now(self) -> float: ...
    def mailbox(self) -> Mailbox: ...


class RealClock:
    """That of the machine."""

    def now(self) -> float:
        return time.monotonic()

    def mailbox(self) -> Mailbox:
        return queue.SimpleQueue[Message | None]()


class MemoryChannel:
    """One of the channels of `memory_channels`; see channel.Channel."""

    def __init__(
        self,
        party: int,
        queues: dict[tuple[int, int], Mailbox],
        deadline_s: float,
        fault: FaultHook | None,
        session: bytes,
        clock: Clock,
    ) -> None:
        self.party, self.traffic, self._session = party, Traffic(), session
        self._queues, self._deadline_s, self._fault, self._clock = queues, deadline_s, fault, clock
        self._sent: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self.round_no = -1
        self._closed = False

    def exchange(
        self,
        round_no: int,
        sends: Mapping[int, Sequence[np.ndarray]],
        receives: Mapping[int, Sequence[ArraySpec]],
    ) -> dict[int, list[np.ndarray]]:
        """Send and receive one round."""
        if self._closed:
            raise PeerError("the channel is closed", where=self._place(round_no, ""))
        try:
            check_round(self.party, self.round_no, round_no)
            self.round_no = round_no
            sent = {peer: self._send(peer, round_no, arrays) for peer, arrays in sends.items()}
            deadline = self._clock.now() + self._deadline_s
            got = {peer: self._receive(peer, round_no, specs, deadline) for peer, specs in receives.items()}
        except BaseException:
            self.close()
            raise
        self.traffic.rounds += 1
        self.traffic.sent_to.update(sent)
        self.traffic.received_from.update({peer: size for peer, (_, size) in got.items()})
        return {peer: arrays for peer, (arrays, _) in got.items()}

    def close(self) -> None:
        """End the session for this party; its peers see it as lost."""
        if not self._closed:
            self._closed = True
            for (sender, _), mailbox in self._queues.items():
                if sender == self.party:
                    mailbox.put(None)

    def _send(self, peer: int, round_no: int, arrays: Sequence[np.ndarray]) -> int:
        views, total = flat_bytes(arrays)
        if total:
            sequence = self._sent.get(peer, 0)
            self._sent[peer] = sequence + 1
            parts = tuple(view.tobytes() for view in views)
            tag = self._tag(self.party, peer, round_no, sequence, parts)
            message = Message(session_tag(self._session), round_no, sequence, parts, tag)
            for delivered in self._fault(self.party, peer, message) if self._fault else (message,):
                self._queues[self.party, peer].put(delivered)
        return total

    def _receive(
        self, peer: int, round_no: int, specs: Sequence[ArraySpec], deadline: float
    ) -> tuple[list[np.ndarray], int]:
        arrays, views, total = allocate(specs)
        if total:
            message = self._next(peer, round_no, deadline)
            self._check(message, peer, round_no, [view.size for view in views])
            for view, part in zip(views, message.parts, strict=True):
                view[:] = np.frombuffer(part, np.uint8)
        return arrays, total

    def _next(self, peer: int, round_no: int, deadline: float) -> Message:
        try:
            message = self._queues[peer, self.party].get(timeout=max(0.0, deadline - self._clock.now()))
        except queue.Empty as exc:
            place = self._place(round_no, party_name(peer))
            raise DeadlineError(f"{party_name(peer)} did not answer in time", where=place) from exc
        if message is None:
            self._queues[peer, self.party].put(None)
            raise PeerError(f"{party_name(peer)} was lost", where=self._place(round_no, party_name(peer)))
        return message

    def _check(self, message: Message, peer: int, round_no: int, sizes: list[int]) -> None:
        expected = self._received.get(peer, 0)
        self._received[peer] = expected + 1
        wrong = [
            name
            for name, differs in (
                ("session", message.session != session_tag(self._session)),
                ("round", message.round_no != round_no),
                ("sequence", message.sequence != expected),
                ("length", [len(part) for part in message.parts] != sizes),
            )
            if differs
        ]
        if wrong:
            raise FrameError(
                f"a message has a wrong {' and '.join(wrong)}", where=self._place(round_no, party_name(peer))
            )
        if message.tag != self._tag(peer, self.party, round_no, expected, message.parts):
            raise FrameError("a message is not authentic", where=self._place(round_no, party_name(peer)))

    def _tag(self, sender: int, receiver: int, round_no: int, sequence: int, parts: Sequence[bytes]) -> bytes:
        """Authenticates a message: the key is the session's, the place is part of what is hashed."""
        place = _PLACE.pack(sender, receiver, round_no, sequence)
        digest = hashlib.blake2b(place, key=self._session, digest_size=16)
        for part in parts:
            digest.update(part)
        return digest.digest()

    def _place(self, round_no: int, peer: str) -> Place:
        return Place(party=self.party, phase="run", round_no=round_no, peer=peer)


def memory_channels(
    deadline_s: float = 60.0, fault: FaultHook | None = None, clock: Clock | None = None, parties: int = 3
) -> list[MemoryChannel]:
    """Channels that reach one another, one for each party; each is for one thread. clock: the machine's by default."""
    clock = clock or RealClock()
    queues = {(a, b): clock.mailbox() for a in range(parties) for b in range(parties) if a != b}
    session = os.urandom(32)
    return [MemoryChannel(party, queues, deadline_s, fault, session, clock) for party in range(parties)]
