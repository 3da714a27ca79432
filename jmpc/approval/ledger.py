"""Who submitted which program, and who ran which, how often: counted across restarts, by SQLite.

In: what happened, and when. Out: counts. A run is counted before it begins, in the transaction that found that there
was one left; a count that is a limit is on the disk by then. This file knows no program's text.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmpc.approval import kept
from jmpc.errors import ConfigError

FILE = "programs.db"
DAY_S = 86_400.0
_KEPT_S = 2 * DAY_S
_TABLES = (
    "CREATE TABLE IF NOT EXISTS submitted (program TEXT, client TEXT, name TEXT, bytes INTEGER, at REAL,"
    " PRIMARY KEY (program, client)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS run (by TEXT, client TEXT, at REAL)",
    "CREATE INDEX IF NOT EXISTS run_by ON run (by, client, at)",
    "CREATE TABLE IF NOT EXISTS ran (program TEXT PRIMARY KEY, times INTEGER, last REAL) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What lets a program run. by: all runs under one name are counted together.  per_day: of each client, in 24 hours;
    0: as often as it likes."""

    by: str
    per_day: int = 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """at: when last, in seconds since 1970."""

    program: str
    client: str
    name: str
    bytes: int
    at: float


class Ledger:
    """That of one folder. Threads, and processes, may share it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.Lock()
        with self._explained("opening"):
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
            self.path.chmod(0o600)
            kept.hand_over(self.path, folder)
            kept.check_trusted(self.path.stat(), self.path)
            with self._explained("opening"):
                for statement in ("PRAGMA journal_mode=WAL", "PRAGMA trusted_schema=OFF", *_TABLES):
                    self._do(statement)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        self._database.close()

    # Programs that were submitted.

    def submit(self, entry: Submitted) -> None:
        """Also of one that the client has submitted before."""
        values = (entry.program, entry.client, entry.name, entry.bytes, entry.at)
        with self._change(durable=False):
            self._do("INSERT OR REPLACE INTO submitted VALUES (?, ?, ?, ?, ?)", *values)

    def submitted(self, client: str | None = None) -> list[Submitted]:
        """By one client or by all; the oldest first."""
        rows = "SELECT program, client, name, bytes, at FROM submitted"
        with self._lock, self._explained("reading"):
            if client is None:
                return [Submitted(*row) for row in self._do(f"{rows} ORDER BY at")]
            return [Submitted(*row) for row in self._do(f"{rows} WHERE client = ? ORDER BY at", client)]

    def forget(self, program: str, client: str) -> bool:
        """That a client submitted a program; whether nobody else did."""
        with self._change(durable=False):
            self._do("DELETE FROM submitted WHERE program = ? AND client = ?", program, client)
            return not self._do("SELECT 1 FROM submitted WHERE program = ? LIMIT 1", program)

    # Runs.

    def left(self, grant: Grant, client: str, now: float) -> bool:
        """Whether the client may run something once more under a grant."""
        if not grant.per_day:
            return True
        with self._lock, self._explained("reading"):
            return self._left(grant, client, now)

    def start(self, program: str, grants: Sequence[Grant], client: str, now: float) -> bool:
        """Count a run under the first of the grants that has one left; False if none has."""
        with self._change(durable=any(grant.per_day for grant in grants)):
            grant = next((grant for grant in grants if self._left(grant, client, now)), None)
            if grant is None:
                return False
            self._do("DELETE FROM run WHERE at < ?", now - _KEPT_S)
            self._do("INSERT INTO run VALUES (?, ?, ?)", grant.by, client, now)
            self._do(
                "INSERT INTO ran VALUES (?, 1, ?) ON CONFLICT (program) DO UPDATE SET times = times + 1, last = ?",
                program, now, now,
            )  # fmt: skip
            return True

    def runs(self) -> dict[str, tuple[int, float]]:
        """Of each program, how often it ran, and when last."""
        with self._lock, self._explained("reading"):
            return {program: (times, last) for program, times, last in self._do("SELECT program, times, last FROM ran")}

    def _left(self, grant: Grant, client: str, now: float) -> bool:
        """Runs in the future count too: the clock may have been set back."""
        asked = "SELECT COUNT(*) FROM run WHERE by = ? AND client = ? AND at > ?"
        return not grant.per_day or self._do(asked, grant.by, client, now - DAY_S)[0][0] < grant.per_day

    # The database.

    @contextmanager
    def _change(self, durable: bool) -> Generator[None]:
        """One transaction. durable: it is on the disk at the end, whatever happens to the machine."""
        with self._lock, self._explained("writing"):
            self._do(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._do("BEGIN IMMEDIATE")
            try:
                yield
                self._do("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._do("ROLLBACK")
                raise

    def _do(self, statement: str, *values: object) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _explained(self, doing: str) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise ConfigError(
                f"{doing} the record of programs failed: what is limited cannot run",
                where=str(self.path),
                why=str(exc),
                todo=["look at the disk", "if the file is damaged, restore it from the newest backup"],
            ) from exc
