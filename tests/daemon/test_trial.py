"""A cluster of real party processes on this machine, and nothing left of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jmpc.daemon import signals, status
from jmpc.daemon.trial import Trial, trial
from jmpc.errors import LaunchError


def test_a_trial_is_three_processes_that_come_and_go() -> None:
    with trial(["alice"]) as cluster:
        pids = [process.pid for process in cluster.processes]
        assert [status.ask(settings).ready for settings in cluster.settings] == [True] * 3
        cluster.kill(1)
        assert cluster.processes[1].poll() is not None
        cluster.start(1)
        cluster.wait()
        pids.append(cluster.processes[1].pid)
        folder = cluster.folder.parent
        assert (folder / "party-0" / "storage.key").stat().st_mode & 0o077 == 0
    assert not folder.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_party_that_does_not_come_up_is_named_with_its_last_words() -> None:
    with pytest.raises(LaunchError, match="party/0 did not come up") as caught, trial(["alice"], policy="[[allow]\n"):
        pass
    assert "policy.toml" in caught.value.why


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, as in any program, whatever tests before have made of it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGINT, handler)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_held_back_and_not_lost() -> None:
    done: list[str] = []

    def whole() -> None:
        with signals.held_back():
            interrupt()
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        whole()
    assert done == ["all"]
    with pytest.raises(KeyboardInterrupt):
        interrupt()


@pytest.mark.usefixtures("interruptible")
def test_a_party_that_was_started_is_ended_wherever_ctrl_c_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also between its start and the moment when it is known."""
    started = object()

    def interrupted(self: Trial, party: int, host: int | None) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return started

    monkeypatch.setattr(Trial, "_started", interrupted)
    made = Trial(tmp_path, [SimpleNamespace(hosts=None)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(KeyboardInterrupt):
        made.start(0)
    assert made.processes == [started]
