"""The process of a standing party, once it is confined (`party_boot.py`): from its settings to its end.

In: its command line, with the path of `party.toml`. Out: an exit code. 0: it was told to stop, and did.  1: something
is wrong that starting again does not help; the log says what.  3: it could not start or go on, as where one of its own
hosts is lost.  128 and a signal's
number: it was told to stop twice. The log goes to standard error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import faulthandler
import os
import queue
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import disable_created_metrics

from jmpc.cluster import change, doctor
from jmpc.cluster.faults import Fault
from jmpc.cluster.identity import Identity
from jmpc.cluster.names import Address
from jmpc.cluster.roster import FILE as CLUSTER_FILE
from jmpc.cluster.roster import Roster
from jmpc.daemon import checks, confinement, foreign, meeting, notify, signals
from jmpc.daemon.health import Health, State, cannot_listen, family
from jmpc.daemon.logs import Logs
from jmpc.daemon.metrics import Metrics
from jmpc.daemon.notify import Notify
from jmpc.daemon.settings import Limits, Settings
from jmpc.daemon.signals import Word
from jmpc.errors import HostError, JMPCError, StoreError
from jmpc.runtime.door import BACKLOG
from jmpc.service.events import Field, Observer, Several
from jmpc.store import StorageKey, Store

OK, REFUSED, FAILED = 0, 1, 3
_DAY_S = 86400.0
_LOOK_S = _DAY_S / 2  # how often certificates are looked at, which run out
FLUSH_S = 2.0
_BROKEN_S = 5.0  # for sessions to end, once nothing can be computed any more


class Party(Protocol):
    """What this file asks of a service."""

    @property
    def ready(self) -> bool:
        """All peers are connected, and it takes work."""
        ...

    def start(self) -> None:
        """Begin to serve, in threads of its own."""
        ...

    def stop(self, grace_s: float) -> None:
        """Take no more work, let sessions finish for so long, then end all."""
        ...

    def reload(self, roster: Roster, identity: Identity) -> None:
        """Go by another revision of the cluster's file, or another certificate, from now on."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """What it says of itself to clients that ask for its status."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Of what a service is made; the names are those of `Service`."""

    roster: Roster
    identity: Identity
    listener: socket.socket
    store: Store
    settings: Settings
    limits: Limits
    observer: Observer
    when_lost: Callable[[HostError], None]  # to be told that a host of the party itself is gone


Make = Callable[[Parts], Party]


def make_service(parts: Parts) -> Party:
    """The service, with its engine and its programs."""
    from jmpc.approval.programs import Bounds, Programs  # takes seconds: a fault of the settings is told before
    from jmpc.approval.restores import Restores
    from jmpc.daemon import devices
    from jmpc.executors.engine import PartyEngine, make_engine
    from jmpc.service.service import Service

    settings = parts.settings
    if settings.hosts:
        engine: PartyEngine = meeting.head(settings, settings.hosts, parts.observer, parts.when_lost)
    else:
        engine = make_engine(settings.index, lambda: devices.placement(settings))
    parts.observer.event("devices found", devices=engine.placement.said)
    return Service(
        roster=parts.roster,
        identity=parts.identity,
        listener=parts.listener,
        store=parts.store,
        programs=Programs(
            settings.programs,
            settings.policy,
            len(parts.roster.parties),
            bounds=Bounds(text_bytes=settings.limits.text),
        ),
        engine=engine,
        limits=parts.limits,
        observer=parts.observer,
        allowed=Restores(settings.state),
    )


def main(arguments: Sequence[str], make: Make = make_service) -> int:
    """Run the party of a command line until it is told to stop."""
    signals.block()
    options = parser("party").parse_args(arguments)
    calls, faults = confined(options)
    found = checks.look(options.config, now(), allow_root=options.allow_root, code=False)
    logs, code = logs_of(found), REFUSED
    try:
        sound = say_faults(logs, options, calls, [*faults, *found.wrong])
        if sound and found.settings and found.roster and found.identity and found.key:
            process = Process(found.settings, found.roster, found.identity, logs, Notify(options.notify))
            code = process.run(found.key, make)
    finally:
        logs.flush(FLUSH_S)
    if options.hosts:
        os._exit(code)  # JAX may still wait for a host that is gone, and the interpreter for JAX
    return code


def parser(name: str) -> argparse.ArgumentParser:
    """Of what `launch.py` writes."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--config", type=Path, required=True)
    for flag in ("--allow-root", "--start-programs", "--hosts"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--notify", default="")
    return parser


def confined(options: argparse.Namespace) -> tuple[int, list[Fault]]:
    """Refuse system calls, in a process that is confined otherwise; how many, and what is wrong."""
    faults = confinement.process_faults()
    return (0, faults) if faults else confinement.refuse_calls(options.start_programs, options.hosts)


def say_faults(logs: Logs, options: argparse.Namespace, calls: int, faults: Sequence[Fault]) -> bool:
    """What there is to say before it runs; whether it may."""
    for fault in sorted(faults, key=lambda fault: fault.warning):
        logs.event("warning" if fault.warning else "party refused", **fields_of(fault))
    sound = all(fault.warning for fault in faults)
    if sound and calls:
        logs.event("calls refused", calls=calls, programs=options.start_programs)
    return sound


def logs_of(found: checks.Found) -> Logs:
    """Lines that say whose they are, to what is standard error now, whatever becomes of that name."""
    bound = {"cluster": found.roster.name} if found.roster else {}
    bound |= {"party": found.settings.party} if found.settings else {}
    level = found.settings.log_level if found.settings else "info"
    error = os.dup(sys.stderr.fileno())
    faulthandler.enable(error)  # there is no core: of a crash of native code, lines of Python are all that is left
    return Logs(os.fdopen(error, "wb", buffering=0), level, **bound)


def fields_of(fault: Fault) -> dict[str, Field]:
    """A fault as the fields of an event."""
    return {"fault": fault.name, "what": fault.what, "where": fault.where, "why": fault.why, "todo": fault.todo}


def now() -> dt.datetime:
    """By the clock of this machine."""
    return dt.datetime.now(dt.UTC)


class Process:
    """Everything around the service: what it is made of, who watches it, what the process is told."""

    def __init__(self, settings: Settings, roster: Roster, identity: Identity, logs: Logs, notify: Notify) -> None:
        self._settings, self._roster, self._identity, self._notify = settings, roster, identity, notify
        disable_created_metrics()  # a moment beside each number, which says nothing that the process's own does not
        peers = [party.name for party in roster.parties if party.name != settings.party]
        self._metrics = Metrics(roster.name, roster.revision, settings.party, peers)
        self._logs, self._observer = logs, Several(logs, self._metrics)
        self._store: Store | None = None
        self._service: Party | None = None
        self._words: queue.SimpleQueue[Word] = queue.SimpleQueue()
        self._lost: HostError | None = None
        self._stopping = False

    def run(self, key: StorageKey, make: Make) -> int:
        """From the first file that is opened to the last that is closed."""
        foreign.tell(self._observer)
        signals.Signals(self._told, self._words)
        told = False
        try:
            with ExitStack() as opened:
                service = make(self._opened(opened, key))
                self._warn()
                service.start()
                self._service = service
                self._notify(notify.READY)
                told = self._obey(service)
                self._stopping = True
                self._notify(notify.STOPPING)
                service.stop(self._settings.grace_s if told else _BROKEN_S)
        except Exception as exc:
            foreign.tell_fault(self._observer, type(exc), exc, exc.__traceback__)
            return FAILED
        return OK if told else FAILED

    def _opened(self, opened: ExitStack, key: StorageKey) -> Parts:
        """What a service is made of. Health is served first: it takes a while until the rest is there."""
        settings = self._settings
        confinement.take_descriptors()
        health = Health(settings.metrics, self._metrics.text, self.state, self._broken)
        opened.callback(health.close)
        listener = listen(settings.listen)
        opened.callback(listener.close)
        store = self._store = Store.open(
            settings.store, key, quota=settings.quota, client_quota=settings.client_quota_of
        )
        opened.callback(store.close)
        self._metrics.watch("stored_bytes", "Bytes of stored values.", lambda: store.used)
        self._metrics.watch("stored_values", "Values that are stored.", lambda: len(store.values()))
        self._metrics.watch("quota_bytes", "Bytes that stored values may have.", lambda: settings.quota)
        self._metrics.watch("certificate_ends_days", "Days until the certificate ends.", lambda: self._days(False))
        self._metrics.watch("authority_ends_days", "Days until the authority's ends.", lambda: self._days(True))
        return Parts(
            self._roster, self._identity, listener, store, settings, settings.limits, self._observer, self._ended
        )

    def _days(self, of_the_authority: bool) -> float:
        ends = self._roster.certificate.not_valid_after_utc if of_the_authority else self._identity.ends
        return (ends - now()).total_seconds() / _DAY_S

    def _told(self, name: str, again: bool) -> None:
        event = "told to read" if name == "SIGHUP" else "stopped at once" if again else "told to stop"
        self._observer.event(event, signal=name)
        if again:
            self._logs.flush(FLUSH_S)

    def _ended(self, error: HostError) -> None:
        """Nothing can be computed any more until all hosts of the party are started again."""
        self._lost = error
        self._observer.event("fault", fault=type(error).__name__, **foreign.said_of(error))
        self._words.put(Word.ENDED)

    def _broken(self, kind: str, where: str) -> None:
        self._observer.event("foreign fault", kind=kind, where=where)

    def state(self) -> State:
        """Whether it can take work now."""
        peers, service = self._metrics.peers, self._service
        if service is None:
            why = ["it is starting"]
        elif self._stopping:
            why = ["it is stopping"]
        elif self._lost:
            why = [self._lost.what]
        else:
            why = [f"{peer} is not connected" for peer, connected in peers.items() if not connected]
            why += self._of_the_store()
            if not why and not service.ready:
                why = ["the service is not ready"]
        return State(self._settings.party, self._roster.name, peers, tuple(why), self._metrics.devices)

    def _of_the_store(self) -> list[str]:
        try:
            assert self._store is not None
            _ = self._store.used
        except StoreError as exc:
            return [exc.what]
        return []

    def _obey(self, service: Party) -> bool:
        """Until it is told to stop, or cannot go on; whether it was told."""
        while True:
            try:
                word = self._words.get(timeout=_LOOK_S)
            except queue.Empty:
                self._warn()
                continue
            if word is Word.RELOAD:
                self._reload(service)
            else:
                return word is Word.STOP

    def _warn(self) -> None:
        """Tell what works now, and will not for long."""
        found = checks.look(self._settings.path, now(), allow_root=True, code=False)
        for fault in found.faults:
            self._observer.event("warning", **fields_of(fault))

    def _reload(self, service: Party) -> None:
        """Take the cluster's file and this party's certificate as they are now, if the file comes after the one before
        and the certificate counts by it. What is approved is read anew whenever it changed, without being told."""
        settings, old = self._settings, self._roster
        path = settings.cluster / CLUSTER_FILE
        new, identity, faults = doctor.check_member(path, settings.identity, settings.party, now())
        faults += change.follows(old, new, str(path)) if new else []
        wrong = [fault for fault in faults if not fault.warning]
        for fault in wrong:
            self._observer.event("cluster refused", **fields_of(fault))
        if wrong or new is None or identity is None:
            return
        try:
            service.reload(new, identity)
        except JMPCError as exc:
            self._observer.event("cluster refused", fault=type(exc).__name__, **foreign.said_of(exc))
            return
        self._roster, self._identity = new, identity
        changed = "; ".join(change.differences(old, new))
        self._observer.event("cluster read", revision=new.revision, hash=new.hash, changed=changed)


def listen(address: Address) -> socket.socket:
    """A socket that clients and parties connect to."""
    try:
        return socket.create_server(address, family=family(address), backlog=BACKLOG)
    except OSError as exc:
        raise cannot_listen("listen", address, exc) from exc
