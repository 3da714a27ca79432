"""Parties of a cluster on several hosts of their own, each a process: the same results as of plain parties while calls
of several clients run at once, a host that is lost ends its party and no more, and what does not fit is refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.command.main import run
from jmpc.daemon import checks, launch, process, signals, status
from jmpc.daemon.settings import Settings
from jmpc.daemon.trial import Trial, free_ports, trial
from jmpc.errors import HostError
from tests.cluster.planted import edit
from tests.daemon.test_checks import now

WAIT_S = 120.0
X = np.random.default_rng(11).integers(-9, 9, (96, 180), dtype=np.int32)  # large enough to lie in parts
CALLS = 8
LINUX = sys.platform == "linux"


@jmpc.secure(outputs="alice", owners=["alice"])
def product(x: Any) -> Any:
    return (x @ x.T) @ x


@jmpc.secure(outputs="bob", owners=["bob"])
def cubes(x: Any) -> Any:
    return (x * x * x).sum(0)


def logged(path: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def until(path: Path, event: str, count: int = 1) -> None:
    for _ in range(2400):
        if path.exists() and len(logged(path, event)) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"{path} does not say {event!r}: {path.read_text()}")


def calls(
    cluster: Trial, name: str, function: Any, count: int = 1, ready: Callable[[], Any] = lambda: None
) -> list[np.ndarray]:
    """ready: called once a first call is done."""
    with closing(jmpc.connect(cluster.folder, identity=name)) as client:
        if name not in [value.name for value in client.list()]:
            client.put(X, name)
        found = [client.run(function, jmpc.stored(name))]
        ready()
        found += [client.run(function, jmpc.stored(name)) for _ in range(count - 1)]
        return [np.asarray(one) for one in found]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Trial]:
    """Parties 1 and 2 are two processes each."""
    with trial(["alice", "bob"], several={1: 2, 2: 2}) as made:
        yield made


def test_calls_at_once_give_what_plain_parties_give(cluster: Trial) -> None:
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        alice = pool.submit(calls, cluster, "alice", product, CALLS, both.wait)
        bob = pool.submit(calls, cluster, "bob", cubes, CALLS, both.wait)
        for found, expected in ((alice.result(), X @ X.T @ X), (bob.result(), (X**3).sum(0, dtype=np.int32))):
            assert len(found) == CALLS
            assert all(np.array_equal(one, expected) for one in found)
    assert [status.ask(settings).devices for settings in cluster.settings] == ["1 cpu", *["2 cpu, 2 hosts"] * 2]


def test_both_hosts_say_what_they_are_and_are_confined(cluster: Trial) -> None:
    for host in (0, 1):
        path = cluster.log(2, host)
        (waiting,) = logged(path, "waiting for hosts")
        hosts = cluster.settings[2].hosts
        assert hosts is not None
        assert (waiting["party"], waiting["host"], waiting["hosts"]) == ("party/2", host, 2)
        assert waiting["address"] == hosts.address
        assert len(logged(path, "hosts met")) == 1
        assert bool(logged(path, "calls refused")) or not LINUX


def test_a_host_that_is_lost_in_a_run_ends_its_party_which_comes_back(cluster: Trial) -> None:
    follower, log = cluster.followers[1, 1], cluster.log(1)
    before = len(logged(log, "session started"))
    with ThreadPoolExecutor(1) as pool:
        follower.send_signal(signal.SIGSTOP)  # so that the run is under way, and stays so
        result = pool.submit(calls, cluster, "alice", product)
        until(log, "session started", before + 1)
        follower.kill()
        with pytest.raises(HostError, match="host 1 of this party itself was lost") as caught:
            result.result(WAIT_S)
    assert (caught.value.party, caught.value.phase) == (1, "run")
    assert "127.0.0.1" not in str(caught.value)  # where its hosts meet is the party's own affair
    assert cluster.processes[1].wait(WAIT_S) == process.FAILED
    (fault,) = logged(log, "fault")
    assert (fault["fault"], fault["what"]) == ("HostError", "host 1 of this party itself was lost")
    until(cluster.log(0), "session failed")  # it waited for party 1
    cluster.start(1)
    cluster.wait()
    (found,) = calls(cluster, "alice", product)
    assert np.array_equal(found, X @ X.T @ X)


def test_a_host_whose_head_is_lost_ends(cluster: Trial) -> None:
    cluster.kill(2)
    code = cluster.followers[2, 1].wait(WAIT_S)
    assert code in (process.FAILED, -signal.SIGABRT)
    if code == process.FAILED:
        (fault,) = logged(cluster.log(2, 1), "fault")
        assert (fault["fault"], fault["what"]) == ("HostError", "host 0 of this party itself was lost")


def test_a_host_whose_head_stops_stops(cluster: Trial) -> None:
    cluster.processes[1].terminate()
    assert cluster.processes[1].wait(WAIT_S) == process.OK
    assert cluster.followers[1, 1].wait(WAIT_S) == process.OK
    assert len(logged(cluster.log(1, 1), "head stopped")) == 1


# What a host needs, and does not.


def joined(config: Path, *more: str) -> Settings:
    (port,) = free_ports(1)
    with config.open("a") as file:
        file.write("\n".join([f'[hosts]\naddress = "127.0.0.1:{port}"\ncount = 2', *more, ""]))
    return Settings.read(config)


@contextmanager
def started(settings: Settings, host: int | None) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    path = settings.path.with_name("log")
    command = launch.command(settings, allow_root=True, host=host)
    with path.open("ab") as log, signals.blocked():
        popen = subprocess.Popen(command, env=launch.environment(settings), cwd="/", stderr=log)
    try:
        yield popen, path
    finally:
        popen.kill()
        popen.wait()


@pytest.mark.parametrize("host", [None, 1])
def test_hosts_that_do_not_come_are_said(config: Path, host: int | None) -> None:
    settings = joined(config, "launch_s = 0.5")
    with started(settings, host) as (popen, path):
        assert popen.wait(WAIT_S) == process.FAILED
    (fault,) = logged(path, "fault")
    assert (fault["fault"], fault["what"]) == ("HostError", "the 2 hosts of this party did not meet")
    assert fault["where"].startswith(f"host {host or 0} of 2, 127.0.0.1:")


def test_a_host_that_is_told_to_stop_stops(config: Path) -> None:
    edit(config.parent, "grace_s = 60", "grace_s = 0", config.name)
    with started(joined(config), 1) as (popen, path):
        until(path, "waiting for hosts")
        popen.terminate()
        assert popen.wait(WAIT_S) == process.OK
    assert [line["signal"] for line in logged(path, "told to stop")] == ["SIGTERM"]


def test_a_host_needs_no_key_no_store_and_no_cluster(root: Path, config: Path) -> None:
    joined(config)
    shutil.rmtree(root / "study")
    for path in config.parent.iterdir():
        if path != config:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert checks.look_at_host(config, 1, allow_root=True).faults == ()


@pytest.mark.parametrize("index", [-1, 0, 2])
def test_a_host_that_is_not_among_them_is_refused(config: Path, index: int) -> None:
    joined(config)
    (fault,) = checks.look_at_host(config, index, allow_root=True, code=False).faults
    assert fault.name == "no-such-host"
    assert run(["party", "follow", "--config", str(config), "--index", str(index), "--allow-root"]) == 1


def test_a_party_on_one_host_has_nothing_to_follow(config: Path) -> None:
    (fault,) = checks.look_at_host(config, 1, allow_root=True, code=False).faults
    assert fault.name == "no-hosts"


def test_hosts_that_give_up_before_a_peer_is_late_are_found(config: Path) -> None:
    joined(config, "patience_s = 60")
    (fault,) = checks.look(config, now(), allow_root=True, code=False).faults
    assert (fault.name, fault.warning) == ("short-patience", False)
    assert "hosts.patience_s" in fault.where
