"""The log: whole lines of JSON, the fields of events and no others, whatever is said and however slowly it is read."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.daemon import foreign, logs
from jmpc.daemon.logs import Logs
from jmpc.errors import DeadlineError
from jmpc.service.events import EVENTS, Field, Several

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "c0ffee-is-a-share"


def written(events: list[tuple[str, dict]], level: str = "debug") -> list[dict]:
    file = io.BytesIO()
    log = Logs(file, level, cluster="study", party="party/1")
    for name, fields in events:
        log.event(name, **fields)
    assert log.flush(10)
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_each_event_is_a_line_with_its_fields(name: str) -> None:
    said: dict[str, Field] = dict(zip(EVENTS[name], ("x", 1, 2.5, True, None, "y", 7), strict=False))
    (line,) = written([(name, said)])
    assert line.pop("time").endswith("Z")
    assert line.pop("level") in logs.LEVELS
    assert line == {"event": name, "cluster": "study", "party": "party/1", **said}


def test_every_event_that_has_a_level_exists() -> None:
    assert set(logs._LEVEL) <= set(EVENTS)
    assert not {"time", "level", "event", "left_out"} & {field for fields in EVENTS.values() for field in fields}


def test_a_field_that_is_not_of_the_event_is_left_out_and_said() -> None:
    (line,) = written([("value stored", {"name": "rows", "owner": "a", "share": SECRET, "bytes": b"c0ffee"})])
    assert line["left_out"] == "share, bytes"
    assert SECRET not in json.dumps(line)
    (line,) = written([("no such event", {"what": SECRET})])
    assert SECRET not in json.dumps(line)


@given(st.dictionaries(st.sampled_from(EVENTS["session failed"]), st.text() | st.floats() | st.integers() | st.none()))
def test_any_values_make_one_line_of_json(fields: dict) -> None:
    file = io.BytesIO()
    log = Logs(file)
    log.event("session failed", **fields)
    assert log.flush(10)
    (line,) = file.getvalue().split(b"\n")[:-1]
    assert line.isascii()
    said = json.loads(line, parse_constant=pytest.fail)
    assert set(said) == {"time", "level", "event", *fields}


def test_what_is_below_the_level_is_not_written() -> None:
    events: list[tuple[str, dict]] = [("session waiting", {}), ("session started", {}), ("peer lost", {})]
    assert [line["event"] for line in written(events, "warning")] == ["peer lost"]
    assert len(written(events, "info")) == 2
    assert written([*events, ("party refused", {})], "error")[0]["event"] == "party refused"


class Stuck(io.RawIOBase):
    """A reader that takes nothing until it is let to."""

    def __init__(self) -> None:
        self.may, self.text = threading.Event(), b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.may.wait()
        self.text += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def test_a_reader_that_does_not_read_holds_nobody_up_and_what_is_lost_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "MOST_LINES", 5)
    file = Stuck()
    log = Logs(file)  # type: ignore[arg-type]
    for number in range(100):
        log.event("service stopping", sessions=number)
    assert not log.flush(0.01)
    file.may.set()
    end = time.monotonic() + 10
    while not log.flush(1) and time.monotonic() < end:
        pass
    log.event("service stopped")
    assert log.flush(10)
    lines = [json.loads(line) for line in file.text.splitlines()]
    lost = sum(line["lost"] for line in lines if line["event"] == "lines lost")
    assert lost >= 90
    assert lost + sum(line["event"] == "service stopping" for line in lines) == 100
    assert lines[-1]["event"] == "service stopped"


def test_a_log_that_cannot_be_written_is_no_fault_of_a_session() -> None:
    class Full(io.RawIOBase):
        fails, lines = True, b""

        def write(self, data: object) -> int:
            if self.fails:
                raise OSError(28, "No space left on device")
            self.lines += bytes(data)  # type: ignore[call-overload]
            return 0

    file = Full()
    log = Logs(file)  # type: ignore[arg-type]
    log.event("service stopped")
    assert log.flush(10)
    file.fails = False
    log.event("service stopped")
    assert log.flush(10)
    assert [json.loads(line)["event"] for line in file.lines.splitlines()] == ["lines lost", "service stopped"]


class Kept:
    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Field]]] = []

    def event(self, name: str, /, **fields: Field) -> None:
        self.seen.append((name, fields))


def test_an_observer_that_raises_costs_the_others_nothing() -> None:
    class Broken:
        def event(self, name: str, /, **fields: Field) -> None:
            raise ValueError(SECRET)

    before, after = Kept(), Kept()
    Several(before, Broken(), after).event("service stopped")
    fault = ("foreign fault", {"kind": "observer", "where": "Broken"})
    assert before.seen == after.seen == [("service stopped", {}), fault]


@pytest.mark.parametrize("said", [2, "2", "party 2", "party/2"])
def test_a_party_has_one_name_whatever_the_code_calls_it(said: Field) -> None:
    kept = Kept()
    Several(kept).event("peer lost", peer=said, why="party 2 went away")
    assert kept.seen == [("peer lost", {"peer": "party/2", "why": "party 2 went away"})]


@pytest.mark.parametrize("said", [None, True, "hospital-a", "", "party of two"])
def test_who_is_no_party_keeps_its_name(said: Field) -> None:
    kept = Kept()
    Several(kept).event("session failed", peer=said, round=2)
    assert kept.seen == [("session failed", {"peer": said, "round": 2})]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What `foreign.tell` changes is put back."""
    before = sys.excepthook, sys.unraisablehook, threading.excepthook, sys.stdout, sys.stderr, logging.root.handlers[:]
    with warnings.catch_warnings():
        kept = Kept()
        foreign.tell(kept)
        yield kept
    sys.excepthook, sys.unraisablehook, threading.excepthook, sys.stdout, sys.stderr, logging.root.handlers[:] = before


def _raise(error: Exception) -> None:
    raise error


def test_the_message_of_a_foreign_exception_is_not_told(kept: Kept) -> None:
    thread = threading.Thread(target=_raise, args=(ValueError(SECRET),))
    thread.start()
    thread.join()
    ((name, fields),) = kept.seen
    assert name == "foreign fault"
    assert fields["kind"] == "ValueError"
    assert "test_logs.py" in str(fields["where"])
    assert SECRET not in str(fields)


def test_an_error_of_jmpc_is_told_whole(kept: Kept) -> None:
    error = DeadlineError("party 2 did not answer", why="it is gone", todo=["start it", "or wait"])
    thread = threading.Thread(target=_raise, args=(error,))
    thread.start()
    thread.join()
    said = {"what": error.what, "where": "", "why": "it is gone", "todo": "start it; or wait"}
    assert kept.seen == [("fault", {"fault": "DeadlineError", **said})]


def test_what_libraries_say_is_not_told_but_that_they_did(kept: Kept) -> None:
    foreign.tell(kept)  # again: pytest has other streams for the test than for the fixture
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(SECRET, stacklevel=1)
    logging.getLogger("jax").error("the value is %s", SECRET)
    logging.getLogger("jax").debug(SECRET)
    print(SECRET)
    print(SECRET, file=sys.stderr)
    kinds = [fields["kind"] for name, fields in kept.seen if name == "foreign words"]
    assert kinds == ["UserWarning", "error of jax", "standard output", "standard error"]
    assert SECRET not in str(kept.seen)
    assert all("test_logs.py:" in str(fields["where"]) for _, fields in kept.seen)


def test_where_says_the_last_line_of_jmpc_too(kept: Kept) -> None:
    from jmpc.daemon.settings import read_settings

    class Text(str):
        __slots__ = ()

        def splitlines(self, keepends: bool = False) -> list[str]:
            raise KeyError(SECRET)

    with pytest.raises(KeyError) as caught:
        read_settings(Text("format = 1"), Path("party.toml"))
    foreign.tell_fault(kept, KeyError, caught.value, caught.tb)
    ((_, fields),) = kept.seen
    assert re.fullmatch(
        r".*test_logs.py:\d+ \(splitlines\), called from .*document.py:\d+ \(\w+\)", str(fields["where"])
    )


CRASH = """
import os, sys, threading
from jmpc.daemon import foreign
from jmpc.daemon.logs import Logs
logs = Logs(os.fdopen(os.dup(2), "wb", buffering=0))
foreign.tell(logs)
def fail(): raise ValueError({secret!r})
thread = threading.Thread(target=fail); thread.start(); thread.join()
class Bad:
    def __del__(self): raise KeyError({secret!r})
Bad()
print({secret!r}, file=sys.stderr)
logs.flush(5)
fail()
"""


def test_no_text_of_a_crash_reaches_standard_error() -> None:
    script = CRASH.format(secret=SECRET)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stderr.splitlines()]
    assert kinds[:3] == ["ValueError", "KeyError", "standard error"]
