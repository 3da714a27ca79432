"""The process of one party, once it is set up (party_boot.py).

In: its command line, with a listening socket by its descriptor; a bootstrap on standard input. It prints nothing and
serves until its driver's link ends. It never imports the front end.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import socket
import sys
import time
from collections.abc import Sequence

from jmpc.errors import JMPCError, LaunchError, PartyError
from jmpc.runtime.bootstrap import Bootstrap, read_bootstrap
from jmpc.runtime.engine import Engine
from jmpc.runtime.failure import Place, completed, from_engine, to_record
from jmpc.runtime.handshake import Terms, library_version
from jmpc.runtime.identity import DRIVER, party_identity
from jmpc.runtime.join import config_hash, join, roster_hash
from jmpc.runtime.service import PartyService
from jmpc.runtime.session import Neighbourhood
from jmpc.runtime.tls import Endpoint

EXIT_REFUSED = 3  # the links could not be made, or the driver broke the protocol


def main(arguments: Sequence[str]) -> int:
    """Run the party of a command line to the end of its driver."""
    parser = argparse.ArgumentParser(prog="party")
    parser.add_argument("--party", type=int, help="shown in process lists; what comes over standard input decides")
    parser.add_argument("--factory", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--module", action="append", default=[], help="a module to import, which declares ops")
    options = parser.parse_args(arguments)
    return run(options.factory, options.listen_fd, options.module)


def run(factory: str, listen_fd: int, modules: Sequence[str] = ()) -> int:
    """Run one party to the end of its driver; returns the process's exit status. modules: to be imported first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends its parties.
    start = read_bootstrap(sys.stdin.fileno())
    listener = socket.socket(fileno=listen_fd)
    try:
        here = _connect(start, factory, listener, modules)
        engine = _make_engine(factory, here, modules)
        if engine is None:
            return EXIT_REFUSED
        here.driver.send("ready", {}, time.monotonic() + start.deadline_s)
        PartyService(here, engine).serve()
    except PartyError:
        return EXIT_REFUSED  # The other ends see the links close; there is nobody else to tell.
    return 0


def _connect(start: Bootstrap, factory: str, listener: socket.socket, modules: Sequence[str]) -> Neighbourhood:
    terms = Terms(
        config=config_hash(factory, start.deadline_s, modules),
        roster=roster_hash(start.addresses, start.credentials.ca),
        version=library_version(),
    )
    endpoint = Endpoint(start.credentials)
    deadline = time.monotonic() + start.launch_s
    links = join(start.party, listener, start.addresses, endpoint, terms, deadline)
    peers = {peer: links[party_identity(peer)] for peer in range(len(start.addresses)) if peer != start.party}
    return Neighbourhood(start.party, peers, links[DRIVER], listener, start.addresses, terms, start.deadline_s)


def _make_engine(factory: str, here: Neighbourhood, modules: Sequence[str]) -> Engine | None:
    """The engine, or None once the driver knows why there is none."""
    name = factory
    try:
        for name in modules:
            importlib.import_module(name)
        name = factory
        module, _, function = factory.partition(":")
        return getattr(importlib.import_module(module), function)(here.party)
    except Exception as exc:
        place = Place(party=here.party, phase="launch")
        cause = exc if isinstance(exc, JMPCError) else from_engine(exc, place)
        error = LaunchError(f"party {here.party} has no engine", where=place, why=f"{name}: {cause.why or cause.what}")
        record = to_record(completed(error, here.party, "launch", None), relayed=False)
        here.driver.send("failed", record, time.monotonic() + here.deadline_s)
        return None
