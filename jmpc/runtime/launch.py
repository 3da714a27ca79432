"""Start party processes on this machine, and end them for certain.

In: the engine's factory, deadlines. Out: a Cluster, or LaunchError. Each child gets its key over its standard
input; listening sockets are made here and inherited, so no port is guessed. This file runs no program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jmpc.errors import ConfigError, DeadlineError, LaunchError, PartyError
from jmpc.runtime.bootstrap import Bootstrap
from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.client import Cluster
from jmpc.runtime.collect import ENDING_S
from jmpc.runtime.control import ControlLink
from jmpc.runtime.door import BACKLOG
from jmpc.runtime.failure import Place, from_record
from jmpc.runtime.handshake import Terms, library_version
from jmpc.runtime.identity import DRIVER, party_identity
from jmpc.runtime.join import Address, config_hash, dial, roster_hash
from jmpc.runtime.spawn import spawn
from jmpc.runtime.tls import Endpoint

DEFAULT_FACTORY = "jmpc.executors.engine:make_engine"
_LOOPBACK = "127.0.0.1"
Route = Callable[[Sequence[Address]], Sequence[Address]]


@dataclass(frozen=True)
class Settings:
    """How to launch. deadline_s: for a peer within one round; launch_s: for all processes to come up; route: from
    the addresses that the parties listen at to those where they are reached, if these are others; modules: what the
    parties import, for the ops that these declare."""

    factory: str = DEFAULT_FACTORY
    deadline_s: float = 60.0
    launch_s: float = 120.0
    path: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    show_stderr: bool = False
    route: Route | None = None
    parties: int = 3
    modules: tuple[str, ...] = ()


class LocalParties:
    """Running processes and the driver's links to them."""

    def __init__(self, settings: Settings) -> None:
        self.deadline_s = settings.deadline_s
        self.links: list[ControlLink] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._end = weakref.finalize(self, _end_processes, os.getpid(), self._processes, self.links)
        try:
            self._start(settings)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids by party."""
        return [process.pid for process in self._processes]

    def all_run(self) -> bool:
        """No process has ended."""
        return all(process.poll() is None for process in self._processes)

    def ended(self, party: int, wait_s: float) -> str:
        """How a party's process ended, or an empty text if it still runs after `wait_s`."""
        try:
            status = self._processes[party].wait(wait_s)
        except subprocess.TimeoutExpired:
            return ""
        return (
            f"its process was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"its process ended ({status})"
        )

    def close(self) -> None:
        """End all processes, whatever they do, and wait for them."""
        self._end()

    def _start(self, settings: Settings) -> None:
        authority = CertificateAuthority()
        listeners = [socket.create_server((_LOOPBACK, 0), backlog=BACKLOG) for _ in range(settings.parties)]
        listening = tuple(listener.getsockname()[:2] for listener in listeners)
        addresses = tuple(settings.route(listening)) if settings.route else listening
        try:
            for party, listener in enumerate(listeners):
                bootstrap = Bootstrap(
                    party,
                    authority.issue(party_identity(party)),
                    addresses,
                    settings.deadline_s,
                    settings.launch_s,
                )
                arguments = ["--party", str(party), "--factory", settings.factory]
                self._processes.append(
                    spawn(
                        arguments,
                        listener.fileno(),
                        settings.path,
                        settings.environment,
                        settings.show_stderr,
                        settings.modules,
                    )
                )
                _hand_over(self._processes[-1], bootstrap)
        finally:
            for listener in listeners:
                listener.close()
        self._connect(settings, addresses, Endpoint(authority.issue(DRIVER)), authority.pem)

    def _connect(self, settings: Settings, addresses: Sequence[Address], endpoint: Endpoint, ca: bytes) -> None:
        deadline = time.monotonic() + settings.launch_s
        config = config_hash(settings.factory, settings.deadline_s, settings.modules)
        terms = Terms(config=config, roster=roster_hash(addresses, ca), version=library_version())
        for party in range(settings.parties):
            try:
                self.links.append(dial(addresses[party], party_identity(party), endpoint, terms, None, deadline))
                self.links[party].phase = "launch"
            except PartyError as exc:
                raise self._launch_error(party, exc) from exc
        for party, link in enumerate(self.links):
            try:
                kind, fields = link.receive(("ready", "failed"), deadline)
            except PartyError as exc:
                raise self._launch_error(party, exc) from exc
            if kind == "failed":
                raise from_record(fields, party)

    def _launch_error(self, party: int, exc: PartyError) -> LaunchError:
        lost = not isinstance(exc, DeadlineError)
        dead = [
            (index, self.ended(index, ENDING_S if index == party and lost else 0.0))
            for index in range(len(self._processes))
        ]
        why = "; ".join(f"party {index}: {how}" for index, how in dead if how) or exc.what
        return LaunchError(
            f"party {party} did not come up", where=Place(phase="launch", peer=f"party {party}"), why=why
        )


def launch(
    deadline_s: float = 60.0,
    factory: str = DEFAULT_FACTORY,
    *,
    launch_s: float = 120.0,
    path: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    show_stderr: bool = False,
    route: Route | None = None,
    parties: int = 3,
    modules: Sequence[str] = (),
) -> Cluster:
    """Start the parties and return the cluster; use it as a context manager.

    factory: `module:function` that makes the engine. path: folders that the parties import from, besides those of
    jmpc and what it needs. environment: variables that they get, besides those that spawn.py lists.
    show_stderr: let the parties' standard error through, to find out why one crashed. route: given the addresses
    that the parties listen at, those where they reach one another, such as those of a relay. modules: what each party
    imports by name, from where this process would, for the ops that they declare (`jmpc.extend`).
    """
    if not deadline_s > 0 or not launch_s > 0:
        raise ConfigError("a deadline must be positive", where="jmpc.runtime.launch")
    module, colon, function = factory.partition(":")
    if not (module and colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ConfigError("the factory is not `module:function`", where="jmpc.runtime.launch")
    for name in modules:
        _check_module(name)
    variables = _checked(environment or {})
    settings = Settings(
        factory, float(deadline_s), float(launch_s), tuple(path), variables, show_stderr, route, parties, tuple(modules)
    )
    return Cluster(lambda: LocalParties(settings))


def _check_module(name: object) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")) or name == "__main__":
        raise ConfigError(
            f"{name!r} is no module that a party can import",
            where="jmpc.processes(modules=...)",
            why="a party imports modules by their names, and has no script or notebook of yours",
            todo="put what declares an op into a module of its own, and give its name",
        )


def _checked(environment: Mapping[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        _check_variable(name, value)
    return dict(environment)


def _check_variable(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
        raise ConfigError(
            "an environment variable is a name and a text",
            where="jmpc.processes(environment=...)",
            why=f"{name!r} is not one, or its value is not",  # the value may be a secret
            todo='write environment={"NAME": "value"}',
        )


def _hand_over(process: subprocess.Popen[bytes], bootstrap: Bootstrap) -> None:
    """Write the bootstrap; the pipe stays open for as long as this process lives."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # A child that died already is found when we dial it.
        process.stdin.write(bootstrap.to_bytes())
        process.stdin.flush()


def _end_processes(owner: int, processes: list[subprocess.Popen[bytes]], links: list[ControlLink]) -> None:
    if os.getpid() != owner:
        return  # A fork of the driver ends; the parties are not its own.
    for link in links:
        with contextlib.suppress(OSError):
            link.close()
    for process in processes:
        process.kill()  # A party keeps nothing that an orderly end would save, and it may be stopped.
    for process in processes:
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
