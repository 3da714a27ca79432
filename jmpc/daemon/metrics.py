"""The metrics of a party, for Prometheus, in a registry of their own: counted from events, and asked for when read.

In: events. Out: numbers, whose labels are of small sets that are known ahead: no name of a client, a program or a
value is one, since each new label is a new series for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from jmpc import __version__, errors
from jmpc.errors import JMPCError
from jmpc.service.events import Field

SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
_OTHER, _MOST_KINDS = "other", 50
_ERRORS = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, JMPCError)}


class Metrics:
    """An Observer. peers: those that are to be connected, as `party/0`."""

    def __init__(self, cluster: str, revision: int, party: str, peers: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._waiting: set[str] = set()
        self._kinds: set[str] = set()
        self._connected = dict.fromkeys(peers, False)
        self._about = {"cluster": cluster, "party": party, "version": __version__}
        self._make_sessions()
        self._make_links(revision)
        self._make_values()
        self.devices = ""  # on which it computes
        self._tell = self._table()
        GCCollector(self.registry)
        ProcessCollector(registry=self.registry)

    def _make_sessions(self) -> None:
        self._sessions = self._counter("sessions", "Sessions that ended.", "result")
        self._failures = self._counter("session_failures", "Sessions that failed, by the error.", "error")
        self._seconds = self._histogram("session_seconds", "How long sessions that finished ran.")
        self._waited = self._histogram("session_waited_seconds", "How long sessions waited before they started.")
        self._rounds = self._counter("rounds", "Rounds of finished sessions.")
        self._bytes = self._counter("bytes", "Bytes between parties, of finished sessions.", "direction")
        self._asked("sessions_running", "Sessions that run.", lambda: len(self._running))
        self._asked(
            "sessions_waiting", "Sessions that wait for their turn, or for clients.", lambda: len(self._waiting)
        )
        for result in ("finished", "failed"):
            self._sessions.labels(result)  # 0 from the start: an alarm on a rate needs that

    def _make_links(self, revision: int) -> None:
        self._peers = Gauge("jmpc_peer_connected", "1 if the peer is connected.", ["peer"], registry=self.registry)
        for peer in self._connected:
            self._peers.labels(peer).set(0)
        self._links = Gauge("jmpc_client_links", "Links of clients.", registry=self.registry)
        self._refused = self._counter("refused", "Who or what was refused.", "what")
        self._requests = self._counter("requests_refused", "Requests of clients that were refused.", "request")
        self._programs = self._counter("programs_submitted", "Programs that clients sent.", "allowed")
        self._faults = self._counter("faults", "Errors that nobody handled.", "whose")
        self._info = Info("jmpc_party", "Which party this is.", registry=self.registry)
        self._read({"revision": revision})

    def _make_values(self) -> None:
        self._stored = self._counter("values_stored", "Values that were stored.")
        self._deleted = self._counter("values_deleted", "Values that were deleted.")
        self._restored = self._counter("values_restored", "Values that parties which lost them got back from here.")
        self._fetched = self._counter("results_fetched", "Results that receivers fetched.")
        self._uploads = self._counter("uploads", "Uploads that began.")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"jmpc_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"jmpc_{name}", text, buckets=SECONDS, registry=self.registry)

    def _asked(self, name: str, text: str, ask: Callable[[], float]) -> None:
        Gauge(f"jmpc_{name}", text, registry=self.registry).set_function(ask)

    def watch(self, name: str, text: str, ask: Callable[[], float]) -> None:
        """A number that is asked for when the metrics are read; where that fails, there is none."""

        def answer() -> float:
            try:
                return ask()
            except JMPCError:
                return float("nan")

        self._asked(name, text, answer)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

    @property
    def peers(self) -> dict[str, bool]:
        """Which of the peers are connected."""
        with self._lock:
            return dict(self._connected)

    def event(self, name: str, /, **fields: Field) -> None:
        """Count it."""
        if told := self._tell.get(name):
            with self._lock:
                told(fields)

    def _table(self) -> dict[str, Callable[[Mapping[str, Field]], object]]:
        return {
            "cluster read": self._read,
            "peer connected": lambda said: self._peer(said, True),
            "peer lost": lambda said: self._peer(said, False),
            "peer refused": lambda said: self._refused.labels("peer").inc(),
            "client connected": lambda said: self._links.inc(),
            "client left": lambda said: self._links.dec(),
            "client refused": lambda said: self._refused.labels("client").inc(),
            "cluster refused": lambda said: self._refused.labels("cluster").inc(),
            "program submitted": lambda said: self._programs.labels("yes" if said.get("allowed") else "no").inc(),
            "session waiting": lambda said: self._waiting.add(_text(said, "session")),
            "session started": self._started,
            "session finished": self._finished,
            "session failed": self._failed,
            "request refused": lambda said: self._requests.labels(self._request(said)).inc(),
            "upload started": lambda said: self._uploads.inc(),
            "value stored": lambda said: self._stored.inc(),
            "value restored": lambda said: self._restored.inc(),
            "restore refused": lambda said: self._refused.labels("restore").inc(),
            "value deleted": lambda said: self._deleted.inc(),
            "result fetched": lambda said: self._fetched.inc(),
            "devices found": self._found,
            "fault": lambda said: self._faults.labels("own").inc(),
            "foreign fault": lambda said: self._faults.labels("foreign").inc(),
        }

    def _request(self, said: Mapping[str, Field]) -> str:
        """The kind of a request: of a fixed vocabulary, but that is the service's to know."""
        kind = _text(said, "request")
        if kind not in self._kinds and len(self._kinds) < _MOST_KINDS:
            self._kinds.add(kind)
        return kind if kind in self._kinds else _OTHER

    def _read(self, said: Mapping[str, Field]) -> None:
        self._info.info({**self._about, "revision": str(said.get("revision", ""))})

    def _found(self, said: Mapping[str, Field]) -> None:
        self.devices = _text(said, "devices")

    def _peer(self, said: Mapping[str, Field], connected: bool) -> None:
        peer = _text(said, "peer")
        if peer in self._connected:
            self._connected[peer] = connected
            self._peers.labels(peer).set(connected)

    def _started(self, said: Mapping[str, Field]) -> None:
        session = _text(said, "session")
        self._waiting.discard(session)
        self._running.add(session)
        self._waited.observe(_number(said, "waited_s"))

    def _finished(self, said: Mapping[str, Field]) -> None:
        self._ended(said)
        self._sessions.labels("finished").inc()
        self._seconds.observe(_number(said, "seconds"))
        self._rounds.inc(_number(said, "rounds"))
        self._bytes.labels("sent").inc(_number(said, "sent"))
        self._bytes.labels("received").inc(_number(said, "received"))

    def _failed(self, said: Mapping[str, Field]) -> None:
        self._ended(said)
        self._sessions.labels("failed").inc()
        self._failures.labels(_one_of(_ERRORS, said, "error")).inc()

    def _ended(self, said: Mapping[str, Field]) -> None:
        self._waiting.discard(_text(said, "session"))
        self._running.discard(_text(said, "session"))


def _text(said: Mapping[str, Field], key: str) -> str:
    return str(said.get(key, ""))


def _number(said: Mapping[str, Field], key: str) -> float:
    found = said.get(key)
    return float(found) if isinstance(found, int | float) and found >= 0 else 0.0


def _one_of(known: Iterable[str], said: Mapping[str, Field], key: str) -> str:
    found = _text(said, key)
    return found if found in known else _OTHER
