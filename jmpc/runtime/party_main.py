"""The process of one party: `python -m jmpc.runtime.party_main --party 0 --factory module:function --listen-fd 5`.

In: a bootstrap on standard input, a listening socket by its descriptor. It prints nothing, dumps no core, and
lives no longer than its launcher: the kernel kills it with its parent, and the end of standard input or of
the driver's link ends it. It never imports the front end.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
import threading
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

_PR_SET_PDEATHSIG = 1
EXIT_REFUSED = 3  # the links could not be made, or the driver broke the protocol
EXIT_ORPHAN = 4  # the launcher went away


def main(argv: Sequence[str] | None = None) -> int:
    """Run one party to the end of its driver."""
    options = _options(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends its parties.
    start = read_bootstrap(sys.stdin.fileno())
    _die_with_launcher(start.parent_thread_stays)
    listener = socket.socket(fileno=options.listen_fd)
    try:
        here = _connect(start, options.factory, listener)
        engine = _make_engine(options.factory, here)
        if engine is None:
            return EXIT_REFUSED
        here.driver.send("ready", {}, time.monotonic() + start.deadline_s)
        PartyService(here, engine).serve()
    except PartyError:
        return EXIT_REFUSED  # The other ends see the links close; there is nobody else to tell.
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="jmpc.runtime.party_main")
    parser.add_argument("--party", type=int, required=True, help="shown in process lists; the bootstrap decides")
    parser.add_argument("--factory", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    return parser.parse_args(argv)


def _connect(start: Bootstrap, factory: str, listener: socket.socket) -> Neighbourhood:
    terms = Terms(
        config=config_hash(factory, start.deadline_s),
        roster=roster_hash(start.addresses, start.credentials.ca),
        version=library_version(),
    )
    endpoint = Endpoint(start.credentials)
    deadline = time.monotonic() + start.launch_s
    links = join(start.party, listener, start.addresses, endpoint, terms, deadline)
    peers = {peer: links[party_identity(peer)] for peer in ((start.party + 1) % 3, (start.party - 1) % 3)}
    return Neighbourhood(start.party, peers, links[DRIVER], listener, start.addresses, terms, start.deadline_s)


def _make_engine(factory: str, here: Neighbourhood) -> Engine | None:
    """The engine, or None once the driver knows why there is none."""
    try:
        module, _, function = factory.partition(":")
        return getattr(importlib.import_module(module), function)(here.party)
    except Exception as exc:
        place = Place(party=here.party, phase="launch")
        cause = exc if isinstance(exc, JMPCError) else from_engine(exc, place)
        error = LaunchError(
            f"party {here.party} has no engine", where=place, why=f"{factory}: {cause.why or cause.what}"
        )
        record = to_record(completed(error, here.party, "launch", None), relayed=False)
        here.driver.send("failed", record, time.monotonic() + here.deadline_s)
        return None


def _die_with_launcher(parent_thread_stays: bool) -> None:
    """Two guards: the kernel's, which acts when the launching thread ends, and the end of standard input."""
    if parent_thread_stays and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_stdin, name="launcher watch", daemon=True).start()


def _watch_stdin() -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    os._exit(EXIT_ORPHAN)


if __name__ == "__main__":
    sys.exit(main())
