"""The programs that a party knows, and which of them may run: texts of clients, approvals of its operator, its policy.

In: texts, and who asks. Out: whether a program may run now for a client, else why not. A text is read and checked
within limits, never run; it is kept as `HASH.share`, and believed only if that is its hash. Approvals, policy and
counts are files, which the command line changes while a service runs: they are asked each time, and where one cannot be
read, what it would have allowed is refused.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jmpc.approval import kept, policy
from jmpc.approval.approvals import Approval, Approvals
from jmpc.approval.facts import Facts, costs_of, facts_of
from jmpc.approval.ledger import Grant, Ledger, Submitted
from jmpc.approval.policy import Policy, Rule
from jmpc.errors import ConfigError, JMPCError, RefusedError
from jmpc.executors.engine import text_hash
from jmpc.party.report import CostReport
from jmpc.recent import Recent
from jmpc.sizes import size_text

SUFFIX = ".share"
HASH = re.compile("[0-9a-f]{64}")
_KEPT = 256  # facts in memory


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of texts that are kept: of one; of those of one client that nobody approved; of all."""

    text_bytes: int = 1 << 25
    client_texts: int = 128
    client_bytes: int = 1 << 26
    texts: int = 4096
    bytes: int = 1 << 30


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Programs:
    """Those of one folder. Threads may share it. parties: how many there are here. clock: tells the time, with its
    offset from UTC. Raises ConfigError where a file is not right, when it is made; later, what rests on the file is
    refused."""

    def __init__(
        self,
        folder: Path,
        policy_path: Path | None = None,
        parties: int = 3,
        clock: Callable[[], dt.datetime] = _now,
        bounds: Bounds | None = None,
    ) -> None:
        kept.make_folder(folder)
        self.folder, self.parties, self.bounds = folder, parties, bounds or Bounds()
        self.approvals, self.ledger = Approvals(folder), Ledger(folder)
        self._policy = policy.watched(policy_path) if policy_path else None
        self._clock, self._changing, self._costing = clock, threading.Lock(), threading.Lock()
        self._facts: Recent[str, Facts] = Recent(_KEPT)
        self._costs: Recent[str, CostReport] = Recent(_KEPT)
        try:
            self.check()
        except BaseException:
            self.ledger.close()
            raise

    def check(self) -> None:
        """Raises ConfigError where approvals or policy cannot be read as they are now."""
        self.approvals.records()
        self.rules()

    def rules(self) -> Policy:
        """The policy as it is now. Raises ConfigError."""
        return self._policy.now() if self._policy else ()

    def close(self) -> None:
        self.ledger.close()

    # Texts.

    def submit(self, text: str, client: str) -> str:
        """Keep a text for the operator; its hash. Raises ProgramError where it is no program that parties run, and
        RefusedError where there is no room."""
        if len(text) > self.bounds.text_bytes:
            raise self._refused(f"it has {len(text)} characters, and {self.bounds.text_bytes} are the most")
        known = self._facts.get(text_hash(text)) if text.isascii() else None
        facts = known or self._checked(facts_of(text))
        with self._changing:
            try:
                if self.text(facts.program) is None:
                    with kept.locked(self.folder):
                        self._make_room(facts, client)
                        kept.write(self.path(facts.program), text.encode())
                entry = Submitted(facts.program, client, facts.name, facts.bytes, self._clock().timestamp())
                self.ledger.submit(entry)
            except OSError as exc:
                raise self._refused(f"it cannot be written: {(exc.strerror or type(exc).__name__).lower()}") from exc
        self._facts.put(facts.program, facts)
        return facts.program

    def text(self, program: str) -> str | None:
        """A text that is known; None for one that is not, or that is not as it was."""
        if not HASH.fullmatch(program):
            return None
        try:
            content = kept.read(self.path(program), 2 * self.bounds.text_bytes)
            found = content.decode("ascii") if content is not None else None
        except (ConfigError, UnicodeDecodeError):
            return None
        return found if found is not None and text_hash(found) == program else None

    def path(self, program: str) -> Path:
        return self.folder / f"{program}{SUFFIX}"

    def known(self) -> list[str]:
        """The hashes of all that are kept."""
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}") if HASH.fullmatch(path.stem))

    def _checked(self, facts: Facts) -> Facts:
        if facts.parties != self.parties:
            why = f"it is for {facts.parties} parties, those of {facts.config.protocol}, and here are {self.parties}"
            raise self._refused(why)
        return facts

    def _make_room(self, facts: Facts, client: str) -> None:
        """The client's own programs go, the oldest first, but none that is approved. Raises RefusedError, and nothing
        goes, where that does not help."""
        bounds, approved = self.bounds, self._approved()
        own = [entry for entry in self.ledger.submitted(client) if entry.program not in approved]
        count, size, going = len(own), sum(entry.bytes for entry in own), list[Submitted]()
        for entry in own:
            if count < bounds.client_texts and size + facts.bytes <= bounds.client_bytes:
                break
            count, size = count - 1, size - entry.bytes
            going.append(entry)
        others = {entry.program for entry in self.ledger.submitted() if entry.client != client}
        freed = {entry.program for entry in going} - others
        left = [path.stat().st_size for path in self.folder.glob(f"*{SUFFIX}") if path.stem not in freed]
        if len(left) >= bounds.texts or sum(left) + facts.bytes > bounds.bytes or facts.bytes > bounds.client_bytes:
            raise self._refused(f"there is no room: {len(left)} programs of {size_text(sum(left))} are kept here")
        for entry in going:
            if self.ledger.forget(entry.program, client):
                kept.remove(self.path(entry.program))

    def _approved(self) -> set[str]:
        last = {record.program: record for record in self.approvals.records()}
        return {program for program, record in last.items() if not record.revoked}

    @staticmethod
    def _refused(why: str) -> RefusedError:
        return RefusedError("this party does not keep the program", why=why, todo="ask the operator of the party")

    # Whether one may run.

    def refusal(self, program: str, client: str) -> str:
        """Why a client may not run a program now, and what the operator does about it; "" if it may."""
        try:
            grants, why = self._grants(program, client)
            now = self._clock().timestamp()
            if not grants or any(self.ledger.left(grant, client, now) for grant in grants):
                return why
        except JMPCError as exc:
            return f"this party does not allow it now: {exc.what}; its operator finds why by jmpc programs list"
        return _too_often(grants)

    def started(self, program: str, client: str) -> None:
        """Count a run, before it begins; call it once for each client of a run. Raises RefusedError where it may not
        run any more: another thread was faster, or the operator."""
        try:
            grants, why = self._grants(program, client)
            if not why and not self.ledger.start(program, grants, client, self._clock().timestamp()):
                why = _too_often(grants)
        except JMPCError as exc:
            why = exc.what
        if why:
            raise RefusedError("this party does not run the program", why=why)

    def _grants(self, program: str, client: str) -> tuple[list[Grant], str]:
        """What lets the client run it, or why nothing does."""
        facts = self.facts(program)
        if facts is None:
            return [], "this party does not have the program: submit it"
        approval, now = self.approvals.standing(program), self._clock()
        grants, why = list[Grant](), "its operator has not approved it"
        if approval is not None:
            why = approval.refusal(client, now)
            if approval.revoked:
                return [], f"{why}; the operator: jmpc programs show {program[:12]}"
            grants += [] if why else [Grant(f"approval {program}", approval.per_day)]
        grants += [rule.grant for rule, against in self.verdicts(facts, client) if not against]
        how = f"after jmpc inspect, jmpc programs approve {program[:12]}"
        return grants, "" if grants else f"{why}, and its policy does not allow it; the operator: {how}"

    def verdicts(self, facts: Facts, client: str) -> list[tuple[Rule, str]]:
        """Each rule of the policy, and why it does not allow the program to a client, or "". Raises ConfigError."""
        return [(rule, self._verdict(rule, facts, client)) for rule in self.rules()]

    def _verdict(self, rule: Rule, facts: Facts, client: str) -> str:
        try:
            return rule.refusal(facts, client, self._clock(), lambda: self.costs(facts.program))
        except JMPCError as exc:
            return f"what it costs is not known: {exc.what}"

    def standing(self, program: str) -> Approval | None:
        return self.approvals.standing(program)

    # What a program says.

    def facts(self, program: str) -> Facts | None:
        """None where the program is not known. Raises ProgramError where a kept text is none that this party runs: one
        of another version, or of an operation that it has no more."""
        found = self._facts.get(program)
        if found is None and (text := self.text(program)) is not None:
            found = facts_of(text)
            self._facts.put(program, found)
        return found

    def costs(self, program: str) -> CostReport:
        """Of a program that is known: one at a time, since it takes a while. Raises ProgramError."""
        with self._costing:
            found = self._costs.get(program)
            if found is None:
                text = self.text(program)
                if text is None:
                    raise self._refused("it is not known any more")
                found = costs_of(text)
                self._costs.put(program, found)
            return found


def _too_often(grants: list[Grant]) -> str:
    most = max(grant.per_day for grant in grants)
    return f"the client has run it {most} times within 24 hours, as often as it may"
