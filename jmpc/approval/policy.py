"""`policy.toml`: which programs may run at a party although nobody approved them, one by one.

In: the file's text; what a program is (`facts.py`). Out: the rules that allow it to a client, or why each does not. A
rule says who may submit, whose data may go in and who may learn of it, and within what limits; what a rule does not
speak of it does not allow. Without a file, or a rule, nothing is allowed. Not here: approvals, and counting.

    [[allow]]
    submitters = ["hospital-a", "hospital-b"]    # clients that may run it
    owners = ["model-owner", "caller"]           # whose secrets may go in; "caller": of the client that runs it
    receivers = ["caller"]                       # who may learn results
    names = ["predict*"]                         # of programs; a name is what its author chose
    opened = []                                  # operations that show all parties something: "permute", or "*" for any
    stored = false                               # whether it may read what is shared already, if its owners consent
    kept = false                                 # whether results may stay shared
    modules = []                                 # of operations from outside jmpc
    max_rounds = 1000
    max_bytes = "64 MiB"                         # that the busiest party sends
    max_memory = "1 GiB"                         # that a party needs at once
    per_day = 1000                               # runs of each client in 24 hours, of all programs of this rule
    until = 2027-01-01T00:00:00Z
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from jmpc import roles
from jmpc.approval.facts import Facts
from jmpc.approval.kept import Watched
from jmpc.approval.ledger import Grant
from jmpc.cluster.document import Document, Table
from jmpc.cluster.faults import refuse
from jmpc.errors import ConfigError
from jmpc.party.report import CostReport
from jmpc.roles import Role
from jmpc.sizes import size_of, size_text

ANYBODY = ANY = "*"
_TODO = "correct this line; the keys are in docs/operations-guide.md, chapter Programs"


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[allow]]`. 0 and None are no limits.  where: in the file."""

    where: str
    submitters: frozenset[str]
    owners: frozenset[str]
    receivers: frozenset[str]
    names: tuple[str, ...] = ()
    opened: frozenset[str] = frozenset()
    stored: bool = False
    kept: bool = False
    modules: frozenset[str] = frozenset()
    max_rounds: int = 0
    max_bytes: int = 0
    max_memory: int = 0
    per_day: int = 0
    until: dt.datetime | None = None

    @property
    def grant(self) -> Grant:
        """Its runs are counted by what it is about: it may get other limits, or another place in the file."""
        about = [sorted(self.submitters), sorted(self.owners), sorted(self.receivers), list(self.names)]
        return Grant("rule " + hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16], self.per_day)

    def refusal(self, facts: Facts, client: str, now: dt.datetime, costs: Callable[[], CostReport]) -> str:
        """Why it does not allow a program, or "". costs: asked only where all else is allowed."""
        return self._of_people(facts, client, now) or self._of_kinds(facts) or self._of_costs(costs)

    def _of_people(self, facts: Facts, client: str, now: dt.datetime) -> str:
        if not _covers(self.submitters, client, ""):
            return f"{client} is none of its submitters"
        if self.until is not None and now >= self.until:
            return f"it ended on {self.until:%Y-%m-%d}"
        for named, allowed, word in (
            (facts.owners, self.owners, "owners"),
            (facts.receivers, self.receivers, "receivers"),
        ):
            for name in sorted(named):
                who = client if name == Role.CALLER else name
                if not _covers(allowed, who, client):
                    return f"{who} is none of its {word}"
        if self.names and not any(fnmatchcase(facts.name, name) for name in self.names):
            return f"{facts.name!r} is none of its names"
        return ""

    def _of_kinds(self, facts: Facts) -> str:
        if facts.reads_stored and not self.stored:
            return "the program reads what is shared already, and `stored` is not set"
        if facts.keeps and not self.kept:
            return "results stay shared, and `kept` is not set"
        more = sorted({opening.op for opening in facts.openings} - self.opened)
        if more and ANY not in self.opened:
            return f"the program opens values by {', '.join(more)}, and `opened` does not name it"
        if more := sorted({foreign.module for foreign in facts.foreign} - self.modules):
            return f"the program uses operations of {', '.join(more)}, and `modules` does not name it"
        return ""

    def _of_costs(self, costs: Callable[[], CostReport]) -> str:
        if not (self.max_rounds or self.max_bytes or self.max_memory):
            return ""
        found = costs()
        sent, memory = max(found.bytes_sent), max(found.memory)
        if self.max_rounds and found.rounds > self.max_rounds:
            return f"it takes {found.rounds} rounds, and {self.max_rounds} are the most"
        if self.max_bytes and sent > self.max_bytes:
            return f"a party sends {size_text(sent)}, and {size_text(self.max_bytes)} are the most"
        if self.max_memory and memory > self.max_memory:
            return f"a party needs {size_text(memory)} of memory, and {size_text(self.max_memory)} are the most"
        return ""


def _covers(allowed: Collection[str], who: str, caller: str) -> bool:
    return who in allowed or ANYBODY in allowed or (bool(caller) and who == caller and Role.CALLER in allowed)


Policy = tuple[Rule, ...]


def watched(path: Path) -> Watched[Policy]:
    """The rules of a file, as it is now; none, if there is no file. Raises ConfigError when asked, if it is not
    right: then nothing is allowed."""

    def parse(content: bytes) -> Policy:
        try:
            return read_policy(content.decode("utf-8-sig"), str(path))
        except UnicodeDecodeError:
            raise ConfigError("the file is not UTF-8", where=str(path), todo="write it anew") from None

    return Watched(path, parse, ())


def read_policy(text: str, where: str) -> Policy:
    """Raises ConfigError for the first fault, with the line and the key."""
    document = Document(text, where, _TODO)
    tables = document.top.tables("allow", optional=True)
    rules = tuple(_rule(table, f"{where}, rule {number}") for number, table in enumerate(tables, 1))
    document.top.done()
    refuse(document.faults)
    return rules


def _rule(table: Table, where: str) -> Rule:
    def people(key: str) -> frozenset[str]:
        return frozenset(table.texts(key, _person))

    def words(key: str) -> frozenset[str]:
        return frozenset(table.texts(key, _word)) if table.has(key) else frozenset()

    def limit(key: str) -> int:
        return table.count(key) if table.has(key) else 0

    def size(key: str) -> int:
        return table.text(key, size_of, 0) if table.has(key) else 0

    made = Rule(
        where,
        people("submitters"),
        people("owners"),
        people("receivers"),
        tuple(table.texts("names", _word)) if table.has("names") else (),
        words("opened"),
        table.has("stored") and table.flag("stored"),
        table.has("kept") and table.flag("kept"),
        words("modules"),
        limit("max_rounds"),
        size("max_bytes"),
        size("max_memory"),
        limit("per_day"),
        table.moment("until") if table.has("until") else None,
    )
    table.done()
    return made


def _person(text: str) -> str:
    if text.startswith("client/"):
        raise ValueError(f"clients are named as in programs: write {text.removeprefix('client/')}")
    if text != ANYBODY and (why := roles.name_fault(text)):
        raise ValueError(why)
    return text


def _word(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("each of them has at least one character, and every one can be printed")
    return text
