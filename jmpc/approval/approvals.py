"""Which programs an operator approved or revoked, when, why, and within what limits: one file of records, in order.

In: `approvals.json` of a folder of programs, records to add. Out: what stands of a program: its last record. Nothing is
ever taken out of the file: it is the history too. This file reads no program.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmpc.approval import kept
from jmpc.cluster.faults import files_of
from jmpc.errors import ConfigError
from jmpc.runtime.schema import Check, SchemaError, boolean, check_fields, integer, many, text

FILE = "approvals.json"
VERSION = 1
MOST_RECORDS = 100_000
MOST_PER_DAY = 1 << 31
_MOMENT = text(40)
_RECORD: Mapping[str, Check] = {
    "program": text(64, "[0-9a-f]{64}"),
    "name": text(4096),
    "revoked": boolean,
    "by": text(200, ".+"),
    "at": _MOMENT,
    "note": text(2000),
    "clients": many(text(200, ".+"), 1000),
    "until": _MOMENT,
    "per_day": integer(0, MOST_PER_DAY),
}
_FILE: Mapping[str, Check] = {
    "version": integer(VERSION, VERSION),
    "records": many(lambda value, name: None, MOST_RECORDS),
}


@dataclass(frozen=True, slots=True)
class Approval:
    """program: its hash.  name: that it had.  revoked: it may not run, whatever the policy says.  by, at, note: who
    decided, when, why.  clients: for whom; for all, if empty.  until: then it ends.  per_day: how often each client may
    run it in 24 hours; 0: as often as it likes."""

    program: str
    name: str
    by: str
    at: dt.datetime
    note: str = ""
    revoked: bool = False
    clients: tuple[str, ...] = ()
    until: dt.datetime | None = None
    per_day: int = 0

    def refusal(self, client: str, now: dt.datetime) -> str:
        """Why it does not cover a run now, or ""."""
        if self.revoked:
            return f"its approval was revoked on {self.at:%Y-%m-%d}"
        if self.until is not None and now >= self.until:
            return f"its approval ended on {self.until:%Y-%m-%d}"
        if self.clients and client not in self.clients:
            return f"it is approved for other clients than {client}"
        return ""

    def fields(self) -> dict[str, Any]:
        """As the file and `--json` say it."""
        return {
            "program": self.program,
            "name": self.name,
            "revoked": self.revoked,
            "by": self.by,
            "at": self.at.isoformat(),
            "note": self.note,
            "clients": list(self.clients),
            "until": self.until.isoformat() if self.until else "",
            "per_day": self.per_day,
        }


class Approvals:
    """Those of one folder. Threads, and processes, may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.path = folder, folder / FILE
        self._records = kept.Watched(self.path, self._parsed, ())

    def records(self) -> tuple[Approval, ...]:
        """All of them, the newest last. Raises ConfigError where the file is not one that `add` wrote, or where others
        may have."""
        return self._records.now()

    def standing(self, program: str) -> Approval | None:
        """The last word on a program."""
        return next((record for record in reversed(self.records()) if record.program == program), None)

    def add(self, record: Approval) -> None:
        """Raises ConfigError where it says what no record says, or cannot be written."""
        try:
            _record(record.fields(), "the approval")
        except SchemaError as exc:
            raise ConfigError("this is no approval", where=record.program[:64], why=str(exc)) from None
        with kept.locked(self._folder):
            fields = [found.fields() for found in (*self.records(), record)]
            content = json.dumps({"version": VERSION, "records": fields}, indent=1) + "\n"
            if len(fields) > MOST_RECORDS or len(content) > kept.MOST_BYTES:
                todo = "move the file away and approve anew what may still run"
                raise ConfigError("there are too many decisions in one file", where=str(self.path), todo=todo)
            with files_of(self.path, "the approval cannot be written"):
                kept.write(self.path, content.encode())

    def _parsed(self, content: bytes) -> tuple[Approval, ...]:
        try:
            found = check_fields(json.loads(content), _FILE, FILE)
            return tuple(_record(row, f"record {n}") for n, row in enumerate(found["records"], 1))
        except (ValueError, RecursionError) as exc:  # SchemaError is one
            raise ConfigError(
                "the approvals cannot be read: nothing counts as approved",
                where=str(self.path),
                why=str(exc) if isinstance(exc, SchemaError) else "it is not JSON",
                todo=["put back the last good copy of the file", "or move it away, and approve again"],
            ) from None


def _record(row: object, name: str) -> Approval:
    fields: dict[str, Any] = check_fields(row, _RECORD, name)
    until = _moment(fields["until"], f"{name}.until") if fields["until"] else None
    return Approval(
        fields["program"],
        fields["name"],
        fields["by"],
        _moment(fields["at"], f"{name}.at"),
        fields["note"],
        fields["revoked"],
        tuple(fields["clients"]),
        until,
        fields["per_day"],
    )


def _moment(said: str, name: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(said)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise SchemaError(f"{name} is no moment with its offset from UTC")
    return found
