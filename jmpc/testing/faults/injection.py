"""A fault plan at work: which message it meets, what it did so far, and how it acts on messages in memory.

What goes in: a plan, armed for one session after the other, and messages as they pass. What comes out: the messages
to deliver in their place, or to send, and the faults that acted. Not here: frames on sockets (`relay.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jmpc.errors import PeerError
from jmpc.runtime.channel import ArraySpec, Channel
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.memory import Message
from jmpc.testing.faults.plan import CORRUPT, KILL, Fault, FaultPlan

Way = tuple[int, int]  # sender, receiver


@dataclass(frozen=True)
class Acted:
    """A fault that met a message, in this round."""

    fault: Fault
    round_no: int

    def __str__(self) -> str:
        if self.fault.round_no == self.round_no:
            return f"{self.fault}"
        return f"{self.fault} (which acted in round {self.round_no}, the next in which something goes that way)"


class Killed(Exception):
    """A party that is a thread ends here, without a word."""


class Injection:
    """The state of a plan. Since it was armed last, `acted`: what it did; `met`: the rounds in which messages passed,
    by way. Threads may share one."""

    def __init__(self) -> None:
        self.plan = FaultPlan()
        self.armed = False
        self.acted: list[Acted] = []
        self.met: dict[Way, set[int]] = {}
        self._left: list[Fault] = []
        self._lock = threading.Lock()

    def arm(self, plan: FaultPlan) -> None:
        """From here on, each fault of the plan waits for its message."""
        with self._lock:
            self.plan, self._left, self.acted, self.met = plan, list(plan.faults), [], {}
            self.armed = True

    def disarm(self) -> None:
        """Let everything pass; `acted` stays for whoever asks."""
        with self._lock:
            self._left, self.armed = [], False

    def unmet(self) -> str:
        """Which faults of the plan have not acted, and where messages did pass; empty if all have."""
        acted = [one.fault for one in self.acted]
        return "; ".join(
            f"{fault} met no message: {self._passed(fault)}" for fault in self.plan.faults if fault not in acted
        )

    def _passed(self, fault: Fault) -> str:
        ways = [way for way in self.met if way[0] == fault.sender and (fault.kind == KILL or way[1] == fault.receiver)]
        rounds = sorted(set().union(*(self.met[way] for way in ways)))
        if not rounds:
            return f"nothing went that way ({fault.way})"
        more = "; a splice needs a session before it" if fault.kind == "splice" else ""
        return f"messages went that way in rounds {', '.join(map(str, rounds))}{more}"

    def take(self, way: Way, round_no: int, without: Collection[str] = (), sealed: bool = True) -> Fault | None:
        """The fault that acts on this message, if any. without: kinds that have nothing to act with yet.  sealed: or it
        is still what a party is about to send."""
        with self._lock:
            self.met.setdefault(way, set()).add(round_no)
            for fault in self._left:
                ours = way[0] == fault.sender if fault.kind == KILL else (fault.sender, fault.receiver) == way
                meets = ours and fault.round_no <= round_no
                if meets and sealed != (fault.kind == CORRUPT) and fault.kind not in without:
                    self._left.remove(fault)
                    self.acted.append(Acted(fault, round_no))
                    return fault
            return None


class MessageFaults:
    """The fault hook of one session of `memory_channels`. earlier: messages of the session before, for splices.
    sleep: for delays, in the time of the channels."""

    def __init__(self, injection: Injection, earlier: dict[Way, list[Message]], sleep: Callable[[float], None]) -> None:
        self.injection, self.earlier, self._sleep = injection, earlier, sleep
        self.seen: dict[Way, list[Message]] = {}
        self._held: dict[Way, Message] = {}

    def __call__(self, sender: int, receiver: int, message: Message) -> Sequence[Message]:
        way = sender, receiver
        seen = self.seen.setdefault(way, [])  # Each way is one thread's.
        seen.append(message)
        old = self.earlier.get(way, [])
        fault = self.injection.take(way, message.round_no, without=() if len(old) >= len(seen) else ("splice",))
        held = self._held.pop(way, None)
        after = [held] if held else []
        if fault is None:
            return [message, *after]
        if fault.kind == "reorder":
            self._held[way] = message
            return after
        return [*self._changed(fault, message, old[len(seen) - 1] if len(old) >= len(seen) else message), *after]

    def _changed(self, fault: Fault, message: Message, earlier: Message) -> Sequence[Message]:
        if fault.kind == KILL:
            raise Killed
        if fault.kind == "close":
            place = Place(party=fault.sender, phase="run", round_no=message.round_no, peer=party_name(fault.receiver))
            raise PeerError(f"{party_name(fault.receiver)} was lost", where=place, why="the connection ended")
        if fault.kind == "delay":
            self._sleep(fault.amount / 1000)
            return [message]
        if fault.kind in ("flip", "truncate"):
            change = flipped if fault.kind == "flip" else truncated
            whole = change(b"".join(message.parts), fault.amount)
            return [replace(message, parts=_cut(whole, [len(part) for part in message.parts]))]
        return {"drop": [], "repeat": [message, message], "splice": [earlier]}[fault.kind]


class Cheating:
    """The channel of a party that sends something else than its program says, where a fault has it so."""

    def __init__(self, channel: Channel, injection: Injection) -> None:
        self.channel, self.injection = channel, injection

    def exchange(
        self, round_no: int, sends: Mapping[int, Sequence[np.ndarray]], receives: Mapping[int, Sequence[ArraySpec]]
    ) -> dict[int, list[np.ndarray]]:
        """One round of the channel."""
        sent = {peer: self._changed(peer, round_no, arrays) for peer, arrays in sends.items()}
        return self.channel.exchange(round_no, sent, receives)

    def _changed(self, peer: int, round_no: int, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        whole = b"".join(a.tobytes() for a in arrays)
        fault = self.injection.take((self.channel.party, peer), round_no, sealed=False) if whole else None
        if fault is None:
            return arrays
        parts = _cut(flipped(whole, fault.amount), [a.nbytes for a in arrays])
        return [np.frombuffer(p, a.dtype).reshape(a.shape) for p, a in zip(parts, arrays, strict=True)]


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit inverted; the number counts around."""
    at = bit % (8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def truncated(data: bytes, size: int) -> bytes:
    """The first bytes of `data`, at least one less than there are; the number counts around."""
    return data[: size % len(data)]


def _cut(whole: bytes, sizes: Sequence[int]) -> tuple[bytes, ...]:
    parts = []
    for size in sizes:
        parts.append(whole[:size])
        whole = whole[size:]
    return tuple(parts)
