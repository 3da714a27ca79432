"""The party processes of one driver on this machine: started, and ended for certain.

In: how many, deadlines, modules. Out: processes that serve, with the roster and the identity by which the driver
connects; or LaunchError. Each gets its key over its standard input; listening sockets are made here and inherited, so
no port is guessed. This file runs no program.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import select
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmpc.cluster.names import Address
from jmpc.daemon.handover import ANSWERS, Handover, handovers
from jmpc.errors import ConfigError, LaunchError
from jmpc.runtime.door import BACKLOG
from jmpc.runtime.failure import Place, from_record, party_name
from jmpc.runtime.messages import decode
from jmpc.runtime.schema import SchemaError
from jmpc.runtime.spawn import spawn

ENDING_S = 5.0  # a process whose links have ended is about to end itself; on a busy machine that takes its time
_MAIN = "jmpc.daemon.child"
_LOOPBACK = "127.0.0.1"
_ANSWER_BYTES = 1 << 16
Route = Callable[[Sequence[Address]], Sequence[Address]]


@dataclass(frozen=True)
class Settings:
    """deadline_s: for a peer within one round.  launch_s: for all processes to come up.  path: folders that they import
    from, besides those of jmpc and what it needs.  environment: variables that they get, besides those that spawn.py
    lists.  show_stderr: their standard error is let through.  route: from the addresses that they listen at to those
    where they are reached, if these are others, such as those of a relay.  modules: what they import by name, from
    where this process would, for the ops and families that these declare. Raises ConfigError."""

    deadline_s: float = 60.0
    launch_s: float = 120.0
    path: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    show_stderr: bool = False
    route: Route | None = None
    parties: int = 3
    modules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.deadline_s > 0 or not self.launch_s > 0:
            raise ConfigError("a deadline must be positive", where="jmpc.processes(deadline_s=...)")
        for name in self.modules:
            _check_module(name)
        for name, value in self.environment.items():
            _check_variable(name, value)


class Children:
    """Running processes. roster, identity: of the driver's client."""

    def __init__(self, settings: Settings) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._end = weakref.finalize(self, _end_processes, os.getpid(), self._processes)
        listeners = [socket.create_server((_LOOPBACK, 0), backlog=BACKLOG) for _ in range(settings.parties)]
        try:
            listening = [listener.getsockname()[:2] for listener in listeners]
            addresses = settings.route(listening) if settings.route else listening
            given, self.identity = handovers(addresses, settings.deadline_s, settings.launch_s, dt.datetime.now(dt.UTC))
            self.roster = given[0].everybody.roster
            self._start(settings, listeners, given)
        except BaseException:
            self.close()
            raise
        finally:
            for listener in listeners:
                listener.close()

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

    def _start(self, settings: Settings, listeners: Sequence[socket.socket], given: Sequence[Handover]) -> None:
        answers: list[int] = []
        try:
            for listener, mine in zip(listeners, given, strict=True):
                answer, theirs = os.pipe2(os.O_CLOEXEC)
                answers.append(answer)
                try:
                    self._processes.append(_spawned(settings, mine.party, listener.fileno(), theirs))
                finally:
                    os.close(theirs)
                _hand_over(self._processes[-1], mine)
            self._await(answers, settings.launch_s)
        finally:
            for answer in answers:
                os.close(answer)

    def _await(self, answers: Sequence[int], launch_s: float) -> None:
        """Until all are ready. Raises LaunchError for the first that is not in time."""
        until = time.monotonic() + launch_s
        pending, poll = {fd: (party, bytearray()) for party, fd in enumerate(answers)}, select.poll()
        for fd in answers:
            poll.register(fd, select.POLLIN)
        while pending:
            ready = poll.poll(max(0, int(1000 * (until - time.monotonic()))))
            if not ready:
                raise self._failed(next(iter(pending.values()))[0], f"it was not ready within {launch_s:g} s")
            for fd, _ in ready:
                party, came = pending[fd]
                part = os.read(fd, _ANSWER_BYTES)
                came += part
                if not part:
                    poll.unregister(fd)
                    del pending[fd]
                    self._check(party, came)

    def _check(self, party: int, answer: bytearray) -> None:
        """What a party said before it closed its pipe."""
        try:
            kind, fields = decode(answer, [*ANSWERS.schemas], ANSWERS)
        except SchemaError:
            raise self._failed(party, "it said nothing") from None
        if kind == "failed":
            raise from_record(fields, party)

    def _failed(self, party: int, why: str) -> LaunchError:
        found = [(index, self.ended(index, ENDING_S if index == party else 0.0)) for index in range(len(self.pids))]
        how = "; ".join(f"{party_name(index)}: {how}" for index, how in found if how)
        return LaunchError(
            f"{party_name(party)} did not come up",
            where=Place(phase="launch", peer=party_name(party)),
            why=how or why,
            todo="read what it wrote to standard error; a machine that is busy or short of memory may take too long",
        )


def _spawned(settings: Settings, party: int, listen_fd: int, answer_fd: int) -> subprocess.Popen[bytes]:
    fds = {"--listen-fd": listen_fd, "--answer-fd": answer_fd}
    return spawn(
        _MAIN,
        ["--party", str(party)],
        fds,
        settings.path,
        settings.environment,
        settings.show_stderr,
        settings.modules,
    )


def _hand_over(process: subprocess.Popen[bytes], given: Handover) -> None:
    """Write it; the pipe stays open for as long as this process lives."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # A child that died already is found when its answer is read.
        process.stdin.write(given.to_bytes())
        process.stdin.flush()


def _end_processes(owner: int, processes: list[subprocess.Popen[bytes]]) -> None:
    if os.getpid() != owner:
        return  # A fork of the driver ends; the parties are not its own.
    for process in processes:
        process.kill()  # A party keeps nothing that an orderly end would save, and it may be stopped.
    for process in processes:
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()


def _check_module(name: object) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")) or name == "__main__":
        raise ConfigError(
            f"{name!r} is no module that a party can import",
            where="jmpc.processes(modules=...)",
            why="a party imports modules by their names, and has no script or notebook of yours",
            todo="put what declares an op into a module of its own, and give its name",
        )


def _check_variable(name: Any, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
        raise ConfigError(
            "an environment variable is a name and a text",
            where="jmpc.processes(environment=...)",
            why=f"{name!r} is not one, or its value is not",  # the value may be a secret
            todo='write environment={"NAME": "value"}',
        )
