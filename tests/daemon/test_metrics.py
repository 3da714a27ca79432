"""Metrics are counted from events, health is asked over HTTP, and neither names a client, a program or a value."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jmpc.daemon import health, status
from jmpc.daemon.health import Health, State
from jmpc.daemon.metrics import Metrics
from jmpc.daemon.settings import Settings
from jmpc.errors import ConfigError, PeerError, StoreError
from jmpc.service.events import EVENTS, Field

from .conftest import free_ports

PEERS = ("party/0", "party/2")
LOOPBACK = "127.0.0.1"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("study", 3, "party/1", PEERS)


def numbers(metrics: Metrics) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
    return found


def session(metrics: Metrics, name: str, **ends: Field) -> None:
    metrics.event("session waiting", session=name, program="p" * 64, clients="hospital-a")
    metrics.event("session started", session=name, program="p" * 64, clients="hospital-a", waited_s=0.5, memory=10)
    metrics.event("session finished" if "seconds" in ends else "session failed", session=name, program="p", **ends)


def test_sessions_are_counted_by_how_they_ended(metrics: Metrics) -> None:
    for number in range(3):
        session(metrics, f"s{number}", seconds=0.02, rounds=5, sent=100, received=200)
    session(metrics, "s3", error="DeadlineError", phase="run", round=3, peer="party 2", why="it did not answer")
    metrics.event("session started", session="s4", waited_s=0.0)
    metrics.event("session waiting", session="s5")
    found = numbers(metrics)
    assert found["jmpc_sessions_total[result=finished]"] == 3
    assert found["jmpc_sessions_total[result=failed]"] == 1
    assert found["jmpc_session_failures_total[error=DeadlineError]"] == 1
    assert (found["jmpc_sessions_running"], found["jmpc_sessions_waiting"]) == (1, 1)
    assert found["jmpc_rounds_total"] == 15
    assert found["jmpc_bytes_total[direction=sent]"] == 300
    assert found["jmpc_bytes_total[direction=received]"] == 600
    assert found["jmpc_session_seconds_bucket[le=0.01]"] == 0
    assert found["jmpc_session_seconds_bucket[le=0.03]"] == 3
    assert found["jmpc_session_waited_seconds_count"] == 5


def test_a_session_that_never_started_waits_no_more(metrics: Metrics) -> None:
    metrics.event("session waiting", session="s")
    metrics.event("session failed", session="s", error="DeadlineError")
    assert numbers(metrics)["jmpc_sessions_waiting"] == 0


def test_peers_and_clients_are_counted(metrics: Metrics) -> None:
    assert metrics.peers == {"party/0": False, "party/2": False}
    metrics.event("peer connected", peer="party/0", post_quantum=True)
    metrics.event("peer connected", peer="party/2", post_quantum=True)
    metrics.event("peer lost", peer="party/2", why="it went away")
    metrics.event("peer connected", peer="a stranger")
    for _ in range(3):
        metrics.event("client connected", client="hospital-a", links=1)
    metrics.event("client left", client="hospital-a")
    metrics.event("client refused", client="mallory", why="it is revoked")
    metrics.event("peer refused", peer="party/2", why="it disagrees")
    assert metrics.peers == {"party/0": True, "party/2": False}
    found = numbers(metrics)
    assert (found["jmpc_peer_connected[peer=party/0]"], found["jmpc_peer_connected[peer=party/2]"]) == (1, 0)
    assert found["jmpc_client_links"] == 2
    assert (found["jmpc_refused_total[what=client]"], found["jmpc_refused_total[what=peer]"]) == (1, 1)


def test_the_revision_is_the_one_that_was_read_last(metrics: Metrics) -> None:
    def revisions() -> list[str]:
        return [name for name in numbers(metrics) if name.startswith("jmpc_party_info")]

    assert "revision=3" in revisions()[0]
    metrics.event("cluster read", revision=4, hash="h", changed="")
    assert len(revisions()) == 1
    assert "revision=4" in revisions()[0]


def test_no_event_makes_a_series_of_a_name(metrics: Metrics) -> None:
    """A thousand of each event, with other names each time, and as many series as with one."""
    sizes: list[int] = []
    for count in (100, 1000):
        for number in range(count):
            for name, fields in EVENTS.items():
                metrics.event(name, **dict.fromkeys(fields, f"secret-name-{count}-{number}"))
        sizes.append(len(numbers(metrics)))
    assert sizes[0] == sizes[1]
    told = {name for name in numbers(metrics) if "secret-name" in name and "_created" not in name}
    requests = {name for name in told if name.startswith("jmpc_requests_refused_total")}
    assert len(requests) <= 50  # the service's vocabulary, which has fewer
    assert [name.partition("[")[0] for name in told - requests] == ["jmpc_party_info"]  # the revision


@pytest.mark.parametrize("value", [None, "x", True, -1, float("nan")])
def test_numbers_that_are_none_break_nothing(metrics: Metrics, value: Field) -> None:
    session(metrics, "s", seconds=value, rounds=value, sent=value, received=value)
    assert numbers(metrics)["jmpc_sessions_total[result=finished]"] == 1
    assert numbers(metrics)["jmpc_rounds_total"] in (0, 1)


def test_a_number_that_cannot_be_asked_for_hides_no_other(metrics: Metrics) -> None:
    def closed() -> float:
        raise StoreError("this store is closed")

    metrics.watch("stored_bytes", "Bytes.", closed)
    metrics.watch("quota_bytes", "Bytes.", lambda: 10)
    found = numbers(metrics)
    assert found["jmpc_stored_bytes"] != found["jmpc_stored_bytes"]
    assert found["jmpc_quota_bytes"] == 10
    assert found["process_open_fds"] > 0


READY = State("party/1", "study", dict.fromkeys(PEERS, True))
Served = Callable[..., Health]


@pytest.fixture
def serve(metrics: Metrics) -> Iterator[Served]:
    made: list[Health] = []

    def start(state: Callable[[], State] = lambda: READY, **more: object) -> Health:
        (port,) = free_ports(1)
        made.append(Health((LOOPBACK, port), metrics.text, state, **more))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for each in made:
        each.close()


def get(served: Health, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(*served.address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], content


def test_metrics_health_and_readiness_are_served(serve: Served) -> None:
    served = serve()
    code, kind, text = get(served, "/metrics")
    assert (code, kind) == (200, health.METRICS_TYPE)
    assert b"jmpc_sessions_total" in text
    assert get(served, "/healthz")[::2] == (200, b"ok\n")
    code, kind, text = get(served, "/readyz?verbose")
    assert (code, kind) == (200, "application/json")
    assert json.loads(text) == {
        "ready": True,
        "party": "party/1",
        "cluster": "study",
        "peers": READY.peers,
        "why": [],
        "devices": "",
    }
    assert get(served, "/")[0] == get(served, "/metrics/../etc/passwd")[0] == 404
    assert get(served, "/readyz", "HEAD")[::2] == (200, b"")
    assert get(served, "/readyz", "POST")[0] == 501


def test_who_is_not_ready_says_why(serve: Served) -> None:
    served = serve(lambda: State("party/1", "study", {"party/0": False}, ("party/0 is not connected",)))
    code, _, text = get(served, "/readyz")
    assert code == 503
    assert json.loads(text)["why"] == ["party/0 is not connected"]
    assert get(served, "/healthz")[0] == 200


def test_what_breaks_while_answering_is_told_and_not_shown(serve: Served) -> None:
    def broken() -> State:
        raise ValueError("c0ffee-is-a-share")

    told: list[tuple[str, str]] = []
    served = serve(broken, fault=lambda kind, where: told.append((kind, where)))
    code, _, text = get(served, "/readyz")
    assert (code, told) == (500, [("ValueError", "answering /readyz")])
    assert b"c0ffee" not in text


def test_who_does_not_ask_is_dropped_and_keeps_nobody_waiting(
    serve: Served, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.3)
    monkeypatch.setattr(health._Handler, "timeout", 0.3)
    served = serve()
    silent = [socket.create_connection(served.address) for _ in range(3 * health.MOST_AT_ONCE)]
    silent[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: x")
    assert get(served, "/healthz")[0] == 200
    for sock in silent:
        sock.settimeout(10)
        assert b"ok" not in sock.recv(100)  # it was closed
        sock.close()
    assert capfd.readouterr() == ("", "")


def test_who_asks_letter_by_letter_is_dropped(serve: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.3)
    with socket.create_connection(serve().address) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        sock.settimeout(0.05)
        for _ in range(400):  # each well within the patience for one read
            try:
                assert sock.recv(100) == b""
                return
            except TimeoutError:
                sock.sendall(b"y")
            except ConnectionError:
                return
    pytest.fail("it listens for as long as somebody talks")


def test_an_address_that_is_taken_is_a_config_error(metrics: Metrics) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = taken.getsockname()[:2]
        with pytest.raises(ConfigError, match=f"{address[1]}") as caught:
            Health(address, metrics.text, lambda: READY)
    assert "metrics" in caught.value.where
    assert "in use" in caught.value.why


@pytest.fixture
def asked(config: Path, metrics: Metrics, serve: Served) -> tuple[Settings, Health]:
    for name in ("stored_bytes", "stored_values", "quota_bytes"):
        metrics.watch(name, "A number.", lambda: 7)
    metrics.watch("certificate_ends_days", "Days.", lambda: 89.7512345)
    served = serve()
    text = config.read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("metrics"))
    config.write_text(text.replace(line, f'metrics = "{LOOPBACK}:{served.address[1]}"'))
    return Settings.read(config), served


def test_status_says_what_readiness_and_metrics_say(asked: tuple[Settings, Health], metrics: Metrics) -> None:
    session(metrics, "s", seconds=0.02, rounds=5, sent=100, received=200)
    found = status.ask(asked[0])
    assert (found.party, found.cluster, found.ready, found.why) == ("party/1", "study", True, ())
    assert found.peers == READY.peers
    fields = found.fields()
    assert fields["sessions_finished"] == 1
    assert fields["certificate_ends_days"] == 89.751
    assert None not in fields.values()
    assert set(fields) == {*status._NUMBERS, "party", "cluster", "ready", "why", "peers", "devices"}


def test_status_of_nobody_and_of_somebody_else_is_a_peer_error(asked: tuple[Settings, Health], config: Path) -> None:
    settings, served = asked
    config.write_text(config.read_text().replace('"party/1"', '"party/0"'))
    with pytest.raises(PeerError, match="party/0 does not answer") as caught:
        status.ask(Settings.read(config))
    assert caught.value.why == "party/1 answers there"
    served.close()
    with pytest.raises(PeerError) as caught:
        status.ask(settings)
    assert caught.value.why == "nobody listens there"
    assert "jmpc party run" in caught.value.todo[0]


@pytest.mark.parametrize("answer", [b"", b"no http", b"HTTP/1.0 200 OK\r\n\r\n[]", b"HTTP/1.0 200 OK\r\n\r\n{}"])
def test_whatever_answers_status_is_a_status_or_a_peer_error(
    config: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    with socket.create_server((LOOPBACK, 0)) as server:
        monkeypatch.setattr(status, "_PATIENCE_S", 5.0)
        settings = Settings.read(config)
        fields = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
        settings = Settings(**{**fields, "metrics": server.getsockname()[:2]})

        def serve() -> None:
            with contextlib.suppress(OSError):  # the test is over, and nobody has asked again
                while True:
                    sock, _ = server.accept()
                    with sock, contextlib.suppress(OSError):  # who asks hangs up as soon as it knows enough
                        sock.recv(1000)
                        sock.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(PeerError, match="does not answer"):
            status.ask(settings)
