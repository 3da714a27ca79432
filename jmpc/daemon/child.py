"""The process of a party that one driver started, for as long as that driver lives (party_boot.py sees to it).

In: its command line, with a listening socket and a pipe by their descriptors; a `Handover` on standard input. Out: the
service of any party, with shares in memory alone, for one client: the driver, which may do everything. Over the pipe
the driver hears, once, that the party is ready, or why it is not. It prints nothing and never imports the front end.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jmpc.errors import JMPCError, LaunchError
from jmpc.runtime.failure import Place, completed, from_engine, party_name, to_record
from jmpc.runtime.messages import encode

if TYPE_CHECKING:
    from jmpc.daemon.handover import Handover
    from jmpc.service.service import Service

EXIT_REFUSED = 3
_UNLIMITED = 1 << 62  # the driver's memory is this machine's too
_PATIENCE_S = 30.0  # for a connection to prove who it is: this machine may be busy


class Everything:
    """The programs of a driver: all of them. What is over is sent again by who needs it."""

    def submit(self, text: str, client: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def refusal(self, program: str, client: str) -> str:
        return ""

    def text(self, program: str) -> str | None:
        return None

    def started(self, program: str, client: str) -> None:
        """Nothing is counted."""


def main(arguments: Sequence[str]) -> int:
    """Serve until the driver is gone; returns where the service cannot be had."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends its parties.
    parser = argparse.ArgumentParser(prog="party")
    parser.add_argument("--party", type=int, help="shown in process lists; what comes over standard input decides")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--answer-fd", type=int, required=True)
    parser.add_argument("--module", action="append", default=[], help="a module to import, which declares ops")
    options = parser.parse_args(arguments)
    os.set_inheritable(options.answer_fd, False)
    service, kind, fields = _started(options.listen_fd, options.module)
    with open(options.answer_fd, "wb") as answer:
        answer.write(encode(kind, fields, _answers()))
    if service is None:
        return EXIT_REFUSED
    threading.Event().wait()
    return 0


def _answers() -> Any:
    from jmpc.daemon.handover import ANSWERS

    return ANSWERS


def _started(listen_fd: int, modules: Sequence[str]) -> tuple[Service | None, str, dict[str, Any]]:
    """The service, and what the driver is told."""
    from jmpc.daemon.handover import read_handover

    start, name = read_handover(sys.stdin.fileno()), "jmpc.service"
    place = Place(party=start.party, phase="launch")
    try:
        for name in modules:
            importlib.import_module(name)
        name = "jmpc.service"
        service = _service(start, socket.socket(fileno=listen_fd))
        service.start()
        if not service.peers.wait(start.everybody.launch_s):
            missing = [party_name(peer) for peer in service.peers.others if peer not in service.peers.connected]
            why = f"{' and '.join(missing)} did not connect in time"
            raise LaunchError(f"{party_name(start.party)} is alone", where=place, why=why)
    except Exception as exc:
        cause = exc if isinstance(exc, JMPCError) else from_engine(exc, place)
        why = f"{name}: {cause.why or cause.what}"
        error = LaunchError(f"{party_name(start.party)} did not come up", where=place, why=why)
        return None, "failed", to_record(completed(error, start.party, "launch", None))
    return service, "ready", {}


def _service(start: Handover, listener: socket.socket) -> Service:
    from jmpc.executors.engine import make_engine
    from jmpc.runtime.messages import TEXT_BYTES
    from jmpc.service.limits import Limits
    from jmpc.service.service import Service
    from jmpc.store import MemoryStore

    limits = Limits(
        memory=_UNLIMITED,
        held=_UNLIMITED,
        waiting_s=start.everybody.deadline_s,
        text=TEXT_BYTES,
        handshake_s=_PATIENCE_S,
    )
    return Service(
        roster=start.everybody.roster,
        identity=start.identity,
        listener=listener,
        store=MemoryStore(),
        programs=Everything(),
        engine=make_engine(start.party),
        limits=limits,
    )
