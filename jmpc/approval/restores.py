"""Which parties may be given what they lost: what the operator said, and until when.

In: a party, a time. Out: a file beside the party's store, which the command line changes while the service runs.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from jmpc.approval import kept
from jmpc.cluster.names import party_name
from jmpc.errors import ConfigError

FILE = "restores.json"
LONGEST = dt.timedelta(days=7)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Restores:
    """Those of one folder. Threads may share it."""

    def __init__(self, folder: Path, clock: Callable[[], dt.datetime] = _now) -> None:
        self._path, self._clock = folder / FILE, clock
        self._watched: kept.Watched[dict[str, dt.datetime]] = kept.Watched(self._path, self._parse, {})

    def refusal(self, party: int) -> str:
        """Why a party may not be given what it lost now, or ""."""
        try:
            until = self._watched.now().get(party_name(party))
        except ConfigError as exc:
            return f"what this party's operator said cannot be read: {exc.what}"
        if until is None:
            return f"this party's operator has not said that {party_name(party)} may be given what it lost"
        if until <= self._clock():
            return f"what this party's operator said of {party_name(party)} was until {until:%Y-%m-%d %H:%M} UTC"
        return ""

    def allow(self, party: int, how_long: dt.timedelta) -> dt.datetime:
        """Let a party be given what it lost; until when. Raises ConfigError."""
        if not dt.timedelta(0) < how_long <= LONGEST:
            raise ConfigError("that is no time", where="--hours", why=f"it is at most {LONGEST.days * 24} hours")
        until = self._clock() + how_long
        with kept.locked(self._path.parent):
            said = {name: moment.isoformat() for name, moment in self._watched.now().items()}
            said[party_name(party)] = until.isoformat()
            try:
                kept.write(self._path, json.dumps(said, indent=2).encode())
            except OSError as exc:
                raise ConfigError(f"{FILE} cannot be written", where=str(self._path), why=str(exc.strerror)) from exc
        return until

    def _parse(self, content: bytes) -> dict[str, dt.datetime]:
        try:
            said = cast("dict[str, Any]", json.loads(content))
            return {name: dt.datetime.fromisoformat(moment) for name, moment in said.items()}
        except (ValueError, AttributeError, TypeError) as exc:
            todo = "remove it, and say again what it said: jmpc party allow-rebuild"
            raise ConfigError(f"{FILE} is not as it was written", where=str(self._path), todo=todo) from exc
