"""The log of a party: one JSON object a line, made of events and of nothing else.

In: events, each with the fields that `EVENTS` lists; others are left out, and the line says which. Out: lines,
written by a thread of their own, so that whoever reads them slowly, or not at all, holds up no session: what does not
fit into the queue is counted, and the next line that gets through says how many were lost.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, BinaryIO

import structlog

from jmpc.service.events import EVENTS, Field

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_LEVEL = {
    "session waiting": "debug",
    "client connected": "debug",
    "client left": "debug",
    "peer lost": "warning",
    "peer refused": "warning",
    "client refused": "warning",
    "request refused": "warning",
    "restore started": "warning",
    "restore refused": "warning",
    "session failed": "warning",
    "party refused": "error",
    "stopped at once": "warning",
    "cluster refused": "error",
    "warning": "warning",
    "fault": "error",
    "foreign fault": "error",
    "foreign words": "warning",
}
MOST_LINES = 10_000  # that wait to be written
MOST_CHARACTERS = 2_000  # of one text
_FIRST = ("time", "level", "event", "cluster", "party")


class Logs:
    """An Observer. file: where lines go, by `write` and `flush`.  bound: what each line says, such as the party."""

    def __init__(self, file: BinaryIO, level: str = "info", **bound: str) -> None:
        self._lines = _Lines(file)
        logger = structlog.wrap_logger(
            self._lines,
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _in_order,
                _as_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        )
        bound_logger: structlog.typing.FilteringBoundLogger = logger.bind(**bound)
        self._write = {level: getattr(bound_logger, level) for level in LEVELS}

    def event(self, name: str, /, **fields: Field) -> None:
        """Write a line."""
        self._write[_LEVEL.get(name, "info")](name, **public(name, fields))

    def flush(self, wait_s: float) -> bool:
        """Wait until all lines so far are written; False if that takes too long."""
        return self._lines.flush(wait_s)


def public(name: str, fields: Mapping[str, Field]) -> dict[str, Field]:
    """The fields of an event, without any that is not of it."""
    known = EVENTS.get(name, ())
    said = {key: _plain(value) for key, value in fields.items() if key in known and _is_plain(value)}
    others = [key for key in fields if key not in said]
    return {**said, "left_out": ", ".join(others)} if others else said


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (str, int, float, bool)


def _plain(value: Field) -> Field:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return value[:MOST_CHARACTERS] + "..."
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers
    return value


def _in_order(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {key: line[key] for key in _FIRST if key in line}
    return {**first, **line}


def _as_json(_logger: object, _method: str, line: Mapping[str, Any]) -> str:
    return json.dumps(line)


class _Lines:
    """What structlog writes to: a queue, and the thread that empties it into a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lost, self._lock = file, 0, threading.Lock()
        self._waiting: queue.Queue[str | threading.Event] = queue.Queue(MOST_LINES)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def _take(self, line: str) -> None:
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._lose()

    debug = info = warning = error = _take

    def flush(self, wait_s: float) -> bool:
        done, end = threading.Event(), time.monotonic() + wait_s
        try:
            self._waiting.put(done, timeout=wait_s)
        except queue.Full:
            return False
        return done.wait(max(0.0, end - time.monotonic()))

    def _lose(self) -> None:
        with self._lock:
            self._lost += 1

    def _write(self) -> None:
        while True:
            found = self._waiting.get()
            if isinstance(found, threading.Event):
                found.set()
                continue
            with self._lock:
                lost, self._lost = self._lost, 0
            text = (_lost_line(lost) if lost else "") + found + "\n"
            try:
                self._file.write(text.encode())
                self._file.flush()
            except (OSError, ValueError):  # a disk that is full, a pipe that nobody reads any more, a closed file
                with self._lock:
                    self._lost += lost + 1


def _lost_line(lost: int) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"time": moment, "level": "error", "event": "lines lost", "lost": lost}) + "\n"
