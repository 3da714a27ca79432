"""Faults on the way between two parties: what is done to which message, as data and as text.

What goes in: a text such as `flip:0-1@3:17`, or a seed. What comes out: a `FaultPlan`. Not here: doing it
(`injection.py` on messages in memory, `relay.py` on frames between processes).

    drop:0-1@3        the message of round 3 from party 0 to party 1 does not arrive
    repeat:0-1@3      it arrives twice
    reorder:0-1@3     it arrives after the next one
    flip:0-1@3:17     its bit 17 is inverted (counted around, so that each number names a bit)
    truncate:0-1@3:5  only its first bytes arrive, 5 of them (counted around)
    splice:0-1@3      in its place comes a message of an earlier session, from there
    replay:0-1@3      in its place comes the message before it
    reflect:0-1@3     it comes back to who sent it, and does not arrive
    delay:0-1@3:50    it arrives 50 ms later
    close:0-1@3       the connection ends before it
    kill:1@3          party 1 ends, without a word, when it would send something in round 3
    corrupt:0-1@3:17  party 0 sends something else than its program says, and seals it well: bit 17 is inverted

A round in which nothing flows that way stands for the next one in which something does. Faults of one plan are
separated by commas. Each acts once in a session.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jmpc.errors import CheatingDetected, ConfigError, DeadlineError, FrameError, PeerError
from jmpc.runtime.identity import MOST_PARTIES

ON_LINKS = ("drop", "repeat", "reorder", "flip", "truncate", "splice", "delay", "close")
ON_WIRES = ("replay", "reflect")  # of frames, between processes alone
KILL = "kill"  # of a party: processes are started anew after it, so that it is drawn only where it is asked for
CORRUPT = "corrupt"  # of a party, which only a program that checks what parties send notices
KINDS = (*ON_LINKS, *ON_WIRES, KILL, CORRUPT)
AMOUNTS = ("flip", "truncate", "delay", CORRUPT)  # the kinds that take a number
SEED_ROUNDS = 6  # seeds choose among the first rounds: programs of few rounds are hit as well
SEED_DELAY_MS = 20
_FAULT = re.compile(r"([a-z]+):(\d{1,2})(?:-(\d{1,2}))?@(\d{1,9})(?::(\d{1,9}))?")

# What a run may end in once a fault has acted. A delay within the deadline, and a repeated message after which no
# other comes that way, do not disturb the run.
ENDS: dict[str, tuple[type[Exception], ...]] = {
    "drop": (FrameError, DeadlineError),
    "repeat": (FrameError,),
    "reorder": (FrameError, DeadlineError),
    "flip": (FrameError,),
    "truncate": (FrameError, DeadlineError),
    "splice": (FrameError,),
    "replay": (FrameError,),
    "reflect": (FrameError, DeadlineError),
    "delay": (DeadlineError,),
    "close": (PeerError,),
    KILL: (PeerError,),
    CORRUPT: (CheatingDetected,),
}
HARMLESS = ("delay", "repeat")


@dataclass(frozen=True, order=True)
class Fault:
    """One thing done to one message. amount: a bit, a number of bytes, or milliseconds. Who is killed is the sender,
    whoever the message is for; the receiver is then itself. Raises ConfigError."""

    kind: str
    sender: int
    receiver: int
    round_no: int
    amount: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _wrong(f"no fault {self.kind!r}", f"use one of {', '.join(KINDS)}")
        if max(self.sender, self.receiver) >= MOST_PARTIES:
            raise _wrong("there is no such party", f"parties are numbered from 0 to {MOST_PARTIES - 1} at most")
        if self.kind == KILL and self.sender != self.receiver:
            raise _wrong("one party is killed at a time", f"write {KILL}:{self.sender}@ROUND")
        if self.kind != KILL and self.sender == self.receiver:
            raise _wrong("a message goes from one party to another", "name two of the parties")
        if self.round_no < 0 or self.amount < 0:
            raise _wrong("rounds and amounts are not negative", "rounds count from 0")
        if self.amount and self.kind not in AMOUNTS:
            raise _wrong(f"a {self.kind} takes no amount", f"write {self.kind}:{self.sender}-{self.receiver}@ROUND")

    def __str__(self) -> str:
        tail = f":{self.amount}" if self.kind in AMOUNTS else ""
        return f"{self.kind}:{self.way}@{self.round_no}{tail}"

    @property
    def way(self) -> str:
        """Whose messages it meets, as in its text."""
        return f"{self.sender}" if self.kind == KILL else f"{self.sender}-{self.receiver}"


@dataclass(frozen=True)
class FaultPlan:
    """Faults that act in the same session. The empty plan leaves everything as it is."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, plan: FaultPlan | Fault | str | int, parties: int = 3) -> FaultPlan:
        """A plan from itself, a fault, a text, or a seed, which chooses among so many parties. Raises ConfigError."""
        if isinstance(plan, FaultPlan):
            return plan
        if isinstance(plan, Fault):
            return cls((plan,))
        text = str(plan).strip()
        return cls.from_seed(text, parties) if text.isdecimal() else cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """The plan that `str` printed."""
        return cls(tuple(_parse(part.strip()) for part in text.split(",") if part.strip()))

    @classmethod
    def from_seed(cls, seed: int | str, parties: int = 3) -> FaultPlan:
        """One fault, chosen by a seed: the same one for the same seed, on every machine."""
        drawn = hashlib.sha256(f"jmpc fault {seed}".encode()).digest()
        sender = drawn[1] % parties
        kind = ON_LINKS[drawn[0] % len(ON_LINKS)]
        amount = {"delay": SEED_DELAY_MS}.get(kind, int.from_bytes(drawn[4:7], "big") if kind in AMOUNTS else 0)
        receiver = (sender + 1 + drawn[2] % (parties - 1)) % parties
        return cls((Fault(kind, sender, receiver, drawn[3] % SEED_ROUNDS, amount),))

    @property
    def kinds(self) -> set[str]:
        return {fault.kind for fault in self.faults}

    @property
    def needs_earlier_session(self) -> bool:
        """A splice has nothing to put in before a session has gone by."""
        return "splice" in self.kinds

    def __str__(self) -> str:
        return ",".join(map(str, self.faults))


def harmful(faults: Sequence[Fault]) -> list[Fault]:
    """Those after which no run may end well."""
    return [fault for fault in faults if fault.kind not in HARMLESS]


def _parse(text: str) -> Fault:
    found = _FAULT.fullmatch(text)
    if not found or (found[3] is None and found[1] != KILL):
        raise _wrong(
            f"{text!r} is not a fault",
            f"write KIND:SENDER-RECEIVER@ROUND or KIND:SENDER-RECEIVER@ROUND:AMOUNT, or {KILL}:PARTY@ROUND",
        )
    kind, sender, receiver, round_no, amount = found.groups()
    return Fault(kind, int(sender), int(receiver or sender), int(round_no), int(amount or 0))


def _wrong(what: str, todo: str) -> ConfigError:
    return ConfigError(what, where="a fault plan", todo=[todo, "docs/testing.md lists the faults"])
