"""A cluster of three parties on this machine, for as long as a block lasts: real services, keys, TLS, processes.

with trial(["model-owner", "hospital"]) as cluster:
    jmpc.connect(cluster.folder, identity="hospital")

In: the names of clients, and what their programs may do. Out: a folder like that of any cluster, and three processes
that run as `jmpc party run` does. When the block ends they are stopped, and everything is removed: keys, shares,
programs. All three parties are one user's on one machine, so that they protect nothing from it: for demonstrations,
tests, and to try a cluster out.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jmpc.cluster import make as clusters
from jmpc.cluster.names import party_name
from jmpc.daemon import launch, make, signals, status
from jmpc.daemon.settings import Settings
from jmpc.errors import LaunchError, PeerError

READY_S = 60.0
STOP_S = 10.0
_LOOPBACK = "127.0.0.1"
_PORTS = range(16_384, 32_768)  # below those that systems give to connections
_LOOK_S = 0.05
_TAIL = 5  # lines of a log
# For a trial all programs of the clients may run: openings, stored values and results that stay included.
POLICY = """\
[[allow]]
submitters = ["*"]
owners = ["*"]
receivers = ["*"]
opened = ["*"]
stored = true
kept = true
"""


@dataclass
class Trial:
    """folder: with `cluster.toml` and the keys of all.  settings: of each party.  followers: by party and host, of
    those that have several."""

    folder: Path
    settings: list[Settings]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    followers: dict[tuple[int, int], subprocess.Popen[bytes]] = field(
        default_factory=dict[tuple[int, int], subprocess.Popen[bytes]]
    )

    def log(self, party: int, host: int = 0) -> Path:
        """What a party says, or one of its hosts: JSON, a line for each event."""
        return self.settings[party].path.with_name(f"log-{host}" if host else "log")

    def start(self, party: int) -> None:
        """Start a party, again if it has ended: on all its hosts."""
        hosts = self.settings[party].hosts
        _end([process for (of, _), process in self.followers.items() if of == party])
        for host in range(1, hosts.count if hosts else 1):
            with signals.held_back():  # until it is known to `stop`
                self.followers[party, host] = self._started(party, host)
        with signals.held_back():
            self.processes[party : party + 1] = [self._started(party, None)]

    def _started(self, party: int, host: int | None) -> subprocess.Popen[bytes]:
        settings = self.settings[party]
        with self.log(party, host or 0).open("ab") as log, signals.blocked():
            return subprocess.Popen(
                launch.command(settings, allow_root=os.geteuid() == 0, host=host),
                env=launch.environment(settings),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def wait(self, timeout_s: float = READY_S) -> None:
        """Until all parties know each other. Raises LaunchError, with the last lines of a party that has ended."""
        until = time.monotonic() + timeout_s
        for party in range(len(self.settings)):
            while not self._is_ready(party):
                if self.processes[party].poll() is not None or time.monotonic() > until:
                    raise self._failed(party)
                time.sleep(_LOOK_S)

    def kill(self, party: int) -> None:
        """End a party as a crash would."""
        self.processes[party].kill()
        self.processes[party].wait()

    def stop(self) -> None:
        """End all parties in order; those that do not end, by force."""
        processes = [*self.processes, *self.followers.values()]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        _end(processes)

    def _is_ready(self, party: int) -> bool:
        try:
            return status.ask(self.settings[party]).ready
        except PeerError:
            return False

    def _failed(self, party: int) -> LaunchError:
        code = self.processes[party].poll()
        said = self.log(party).read_text(errors="replace").splitlines()[-_TAIL:]
        how = "it is not ready in time" if code is None else f"its process ended with {code}"
        return LaunchError(f"{party_name(party)} did not come up", why="; ".join([how, *said]))


@contextmanager
def trial(
    clients: Sequence[str],
    policy: str = POLICY,
    parties: int = 3,
    several: Mapping[int, int] | None = None,
    wait: bool = True,
) -> Generator[Trial]:
    """clients: who connects.  policy: the text of each party's `policy.toml`; all that clients submit may run by
    default.  several: of how many processes a party is, where it has hosts of its own.  wait: begin the block when the
    parties are ready; else at once, and `wait()` in it. Raises LaunchError where a party does not come up, ConfigError
    for names that no client has."""
    root = Path(tempfile.mkdtemp(prefix="jmpc-trial-"))  # of mode 0700
    made = Trial(root / "cluster", [])
    try:
        ports = free_ports(2 * parties)
        hosts = [f"{_LOOPBACK}:{port}" for port in ports[:parties]]
        clusters.create(made.folder, clusters.Order(hosts, clients, "trial"), dt.datetime.now(dt.UTC))
        for party in range(parties):
            metrics = f"{_LOOPBACK}:{ports[parties + party]}"
            order = make.Order(made.folder, party_name(party), listen=hosts[party], metrics=metrics)
            settings = make.create(root / f"party-{party}", order)
            _write(settings.policy, policy)
            if several and party in several:
                settings = _on_several(settings, several[party])
            made.settings.append(settings)
        for party in range(parties):
            made.start(party)
        if wait:
            made.wait()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for what was told to end, or ends by itself; by force where it does not."""
    until = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _on_several(settings: Settings, count: int) -> Settings:
    (port,) = free_ports(1)
    with settings.path.open("a") as file:
        file.write(f'[hosts]\naddress = "{_LOOPBACK}:{port}"\ncount = {count}\n')
    return Settings.read(settings.path)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now, and that the system gives to no connection of somebody else meanwhile."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            with contextlib.suppress(OSError):
                held.append(socket.create_server((_LOOPBACK, secrets.choice(_PORTS))))
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()
