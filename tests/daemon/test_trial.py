"""A cluster of real party processes on this machine, and nothing left of it."""

from __future__ import annotations

import os

import pytest

from jmpc.daemon import status
from jmpc.daemon.trial import trial
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
