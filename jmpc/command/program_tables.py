"""Programs as operators read them: what one says, what stands of it, and lists; for people, and as fields for `--json`.

In: facts, costs, approvals. Out: texts and plain fields. What a program's author chose, such as names, is printed with
nothing in it that a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jmpc.approval.approvals import Approval
from jmpc.roles import WORDS, Role
from jmpc.sizes import size_text

if TYPE_CHECKING:  # they bring JAX, which a list needs none of
    from jmpc.approval.facts import Facts
    from jmpc.party.report import CostReport

SHORT = 12  # digits of a hash, in lists
_SAID: dict[str, str] = dict(zip((Role.PUBLIC, Role.CALLER), WORDS, strict=True))
_CLEAR = "what owners do with their data before they share it is not in a program's text: no party can say it"


@dataclass(frozen=True, slots=True)
class Row:
    """A program in a list. standing: None if nobody decided.  text: whether it is here."""

    program: str
    name: str
    standing: Approval | None
    submitters: tuple[str, ...]
    runs: int
    text: bool

    def state(self, now: Any) -> str:
        """In a word."""
        found = self.standing
        if found is None:
            return "waits"
        if found.revoked:
            return "revoked"
        return "ended" if found.until is not None and now >= found.until else "approved"


def plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def facts_text(facts: Facts, costs: CostReport, seconds: Mapping[str, float]) -> str:
    """All that an operator should know before it approves a program."""
    given = [(plain(x.path), f"{x.kind}{list(x.shape)}", _from(x.owner)) for x in facts.inputs]
    told = [(plain(x.path), f"{plain(x.dtype)}{list(x.shape)}", _to(x.receiver)) for x in facts.outputs]
    kept = [plain(x.path) for x in facts.outputs if x.receiver == Role.SECRET]
    opened = [f"{plain(x.op)}, {_count(x.times, 'time')}: {x.what}" for x in facts.openings]
    foreign = [f"{plain(x.op)} of {plain(x.module)}, of which the digest is {plain(x.digest)}" for x in facts.foreign]
    worked = [_worked(owner, count) for owner, count in facts.worked.items()]
    parts = {
        "goes in": _columns(given),
        "comes out": _columns(told),
        "stays shared": kept,
        "opened to all parties": opened,
        "operations from outside jmpc": foreign,
        "computed in the clear": [*worked, _CLEAR],
        "costs": _costs(costs, seconds),
        "made with": _made(facts),
    }
    lines = [line for title, entries in parts.items() for line in _listed(title, entries)]
    return "\n".join([f"{plain(facts.name)}  {facts.program}", *lines])


def _listed(title: str, entries: Iterable[str]) -> list[str]:
    found = [f"  {entry}" for entry in entries]
    return [title, *found] if found else [f"{title}: nothing"]


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    wide = [max(len(row[n]) for row in found) for n in range(len(found[0]))] if found else []
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in found]


def _who(owner: str) -> str:
    return _SAID.get(owner, plain(owner))


def _from(owner: str) -> str:
    if owner == Role.SECRET:
        return "shared already: each of its owners must consent"
    return "public: all parties know it" if owner == Role.PUBLIC else f"a secret of {_who(owner)}"


def _to(receiver: str) -> str:
    return "to nobody: it stays shared" if receiver == Role.SECRET else f"to {_who(receiver)}"


def _worked(owner: str, count: int) -> str:
    return f"{_count(count, 'value')} that {_who(owner)} computes by itself"


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _costs(costs: CostReport, seconds: Mapping[str, float]) -> list[str]:
    wire = ", ".join(f"{_seconds(found)} ({name})" for name, found in seconds.items())
    header = ("party", "sends", "receives", "gets of inputs", "memory")
    rows = zip(costs.bytes_sent, costs.bytes_received, costs.input_bytes, costs.memory, strict=True)
    table = [header, *((str(n), *map(size_text, row)) for n, row in enumerate(rows))]
    return [f"{_count(costs.rounds, 'round')}, on the wire {wire}", *_columns(table)]


def _seconds(found: float) -> str:
    return f"{1e3 * found:.4g} ms" if found < 1 else f"{found:.4g} s"


def _made(facts: Facts) -> list[str]:
    config = facts.config
    return [
        f"a ring of {config.k} bits, {config.f} for fractions; protocols {plain(config.protocol)}, masks {config.prf}",
        f"{_count(facts.ops, 'operation')}, {_count(facts.bytes, 'byte')} of text",
    ]


def facts_fields(facts: Facts, costs: CostReport, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The same for `--json`."""
    about = {**asdict(facts), "config": dict(facts.config.header()), "computed_in_the_clear": facts.worked}
    counted = {name: list(getattr(costs, name)) for name in ("bytes_sent", "bytes_received", "input_bytes", "memory")}
    return {**about, "costs": {"rounds": costs.rounds, **counted, "seconds": dict(seconds)}}


# --- approvals


def approval_text(record: Approval) -> str:
    """One record."""
    said = "revoked" if record.revoked else "approved"
    limits = [
        f"for {', '.join(record.clients)}" if record.clients else "for every client",
        f"until {record.until:%Y-%m-%d %H:%M} UTC" if record.until else "without an end",
        f"{_count(record.per_day, 'run')} of each client in 24 hours" if record.per_day else "",
    ]
    about = [*(limits if not record.revoked else []), f"note: {plain(record.note)}" if record.note else ""]
    about = "; ".join(filter(None, about))
    return f"{said} by {plain(record.by)} on {record.at:%Y-%m-%d %H:%M} UTC{': ' * bool(about)}{about}"


def rows_text(rows: Sequence[Row], now: Any) -> str:
    """A list of programs."""
    header = ("program", "name", "state", "runs", "submitted by")
    table = [
        (row.program[:SHORT], plain(row.name), row.state(now) + " (no text)" * (not row.text), str(row.runs),
         ", ".join(map(plain, row.submitters)))
        for row in rows
    ]  # fmt: skip
    waiting = sum(row.state(now) == "waits" for row in rows)
    last = f"{_count(len(rows), 'program')}, {waiting} without a decision"
    return "\n".join([*(_columns([header, *table]) if table else []), last])


def rows_fields(rows: Sequence[Row], now: Any) -> list[dict[str, Any]]:
    """The same for `--json`."""
    return [
        {
            "program": row.program,
            "name": row.name,
            "state": row.state(now),
            "approval": row.standing.fields() if row.standing else None,
            "submitted_by": list(row.submitters),
            "runs": row.runs,
            "text": row.text,
        }
        for row in rows
    ]
