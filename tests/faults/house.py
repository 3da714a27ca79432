"""Three services behind a relay, and a client whose every answer is looked at.

What goes in: a folder, limits, a deadline. What comes out: how one call under a fault ended, at each party; what is
wrong with that; and whether the next call works.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jmpc import errors
from jmpc.errors import PartyError
from jmpc.service.limits import Limits
from jmpc.testing.faults.injection import Injection, Way
from jmpc.testing.faults.plan import Fault, FaultPlan
from jmpc.testing.faults.relay import Relay
from tests.faults.programs import Program
from tests.service.raw_client import RawClient
from tests.service.three import Three

WAITING_S = 60.0
PATIENT_S = 60.0  # for a round of a run that nothing disturbs


@dataclass(frozen=True)
class End:
    """How a call ended at each party: `done` or `failed`, what that said, and the arrays that came."""

    answers: list[tuple[str, dict[str, Any]]]
    arrays: list[dict[int, list[np.ndarray]]]

    @property
    def done(self) -> list[int]:
        return [party for party, (kind, _) in enumerate(self.answers) if kind == "done"]

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [fields for kind, fields in self.answers if kind == "failed"]

    def errors(self) -> str:
        return " ".join("done" if kind == "done" else fields["error"] for kind, fields in self.answers)


def call(client: RawClient, program: Program, label: str = "fault") -> End:
    """One call to its end, whatever that is at each party."""
    asked = program.call(label)
    client.join(asked, program=client.load(program.flow))
    answers: list[tuple[str, dict[str, Any]]] = []
    arrays: list[dict[int, list[np.ndarray]]] = []
    for party in range(len(client.links)):
        answers.append(client.answer(party, "done"))
        kind, fields = answers[-1]
        arrays.append(client.arrays(program.flow, party, fields["outputs"]) if kind == "done" else {})
    return End(answers, arrays)


def opened(client: RawClient, program: Program, end: End) -> dict[int, np.ndarray]:
    return {n: client._open(program.flow, n, [mine[n] for mine in end.arrays]) for n in end.arrays[0]}


def wrong_with(client: RawClient, program: Program, end: End, may_end_well: bool) -> str:
    """Why an end is none that a fault may have, or ""."""
    for fields in end.failures:
        kind = getattr(errors, fields["error"], None)
        if not isinstance(kind, type) or not issubclass(kind, errors.JMPCError):
            return f"{fields['error']} is no error of jmpc"
        if not fields["phase"] or not fields["peer"]:
            return f"{fields['error']} names no phase or no peer: {fields['what']}"
    if end.failures:
        return ""
    if not program.is_right(opened(client, program, end)):
        return "the result is wrong"
    return "" if may_end_well else "nobody noticed"


class House:
    """One cluster, one client. As a context. round_s: the deadline of a round, where a fault is at work; elsewhere a
    machine that is busy is not late."""

    def __init__(self, folder: Path, round_s: float, limits: Limits | None = None) -> None:
        self.round_s = round_s
        self.injection = Injection()
        self.relay = Relay(self.injection)
        self.three = Three(folder, ["alice", "bob"], limits or Limits(waiting_s=WAITING_S), PATIENT_S, relay=self.relay)

    def __enter__(self) -> House:
        self.three.__enter__()
        self.client = RawClient(self.three, "alice")
        return self

    def reconnect(self) -> None:
        """Another client in the place of one whose links broke."""
        self.client.__exit__()
        self.client = RawClient(self.three, "alice")

    def __exit__(self, *exc: Any) -> None:
        self.client.__exit__()
        self.three.__exit__(None, None, None)
        self.relay.close()

    def frames(self, program: Program) -> list[tuple[Way, int]]:
        """Of a run that nothing disturbs, every frame; each is alone in its round."""
        self.warm(program)
        self.injection.arm(FaultPlan())
        end = call(self.client, program)
        met = self.injection.met
        self.injection.disarm()
        assert not end.failures, end.failures
        return [(way, round_no) for way in sorted(met) for round_no in sorted(met[way])]

    def warm(self, program: Program) -> None:
        """The first run of a program compiles it."""
        _, why = self.again(program, tries=1)
        assert not why, why

    def under(self, program: Program, fault: Fault) -> End:
        """A call under a fault, which must meet its frame: where the machine is so busy that a deadline passes before
        that, again with a longer one."""
        for longer in (1, 4, 16):
            self._deadline(longer * self.round_s)
            self.injection.arm(FaultPlan((fault,)))
            try:
                end = call(self.client, program)
            finally:
                self._deadline(PATIENT_S)
                self.injection.disarm()
            if self.injection.acted:
                return end
        raise AssertionError(f"{fault} met no frame")

    def _deadline(self, seconds: float) -> None:
        """Of the sessions that begin from now on."""
        for service in self.three.services:
            assert service is not None
            service.jobs._deadline_s = seconds

    def again(self, program: Program, tries: int) -> tuple[int, str]:
        """Calls until one ends well: how many, and why the last one did not, or ""."""
        why = ""
        for count in range(1, tries + 1):
            try:
                end = call(self.client, program, "again")
            except PartyError as exc:
                return count, f"the client's link broke: {exc.what}"
            if not end.failures:
                return count, "" if program.is_right(opened(self.client, program, end)) else "the result is wrong"
            why = "; ".join(f"{f['error']} {f['what']} ({f['where']}): {f['why']}" for f in end.failures)
        return tries, why
