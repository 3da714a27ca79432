"""Who a party takes for whom: every assignment of identities, bad certificates both ways, lines that are no peer's."""

from __future__ import annotations

import datetime as dt
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jmpc.cluster import Identity, Roster, change, keys
from jmpc.cluster.authority import Authority
from jmpc.cluster.change import Signing
from jmpc.runtime.certificates import CLOCK_SKEW, DIALS, SERVES, key_pem, leaf_certificate, new_key
from jmpc.runtime.control import ControlLink
from jmpc.runtime.identity import Credentials
from jmpc.runtime.pairing import PairSecret
from jmpc.runtime.tls import Endpoint
from jmpc.service import lines
from jmpc.service.limits import Limits
from jmpc.service.words import GREETING
from jmpc.testing.faults.injection import Injection
from jmpc.testing.faults.relay import Relay
from tests.runtime.helpers import tcp_pair
from tests.service.raw_client import RawClient, soon
from tests.service.test_service import assert_works
from tests.service.three import LOOPBACK, Three

DAY = dt.timedelta(days=1)
RIGHT = (0, 1, 2)


# Every assignment of three identities to three addresses.


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Three:
    return Three(tmp_path_factory.mktemp("hosts"), ["alice"])


ASSIGNMENTS = list(itertools.product(range(3), repeat=3))


@pytest.mark.parametrize("identities", ASSIGNMENTS, ids=lambda ids: "".join(map(str, ids)))
def test_only_the_right_identities_find_each_other(hosts: Three, identities: tuple[int, int, int]) -> None:
    for events in hosts.events:
        events.seen.clear()
    try:
        services = [hosts.start(address, own) for address, own in enumerate(identities)]
        if identities == RIGHT:
            hosts.wait()
            assert all(service.ready for service in services)
            return
        for address, own in enumerate(identities):  # who dials has tried, and says what it met
            for peer in range(own + 1, 3):
                if identities[peer] != peer:
                    said = hosts.events[address].wait("peer refused", "certificate", peer=f"party {peer}")
                    assert "it names" in str(said["why"]), said
        assert not all(service.ready for service in services)
    finally:
        for address in range(3):
            hosts.stop(address, 0.1)


# Bad certificates, at the door and at the other end.


def made(folder: Path, uri: str, **how: object) -> Credentials:
    """A certificate of the cluster's authority, but for what `how` says."""
    roster, now = Roster.read(folder / "cluster.toml"), dt.datetime.now(dt.UTC)
    authority = how.get("authority") or Authority.open(folder, roster, lambda: b"not asked")
    assert isinstance(authority, Authority)
    key = how.get("key") or new_key()
    begin, end = how.get("span", (now - CLOCK_SKEW, now + 9 * DAY))  # type: ignore[misc]
    purposes = how.get("purposes", (SERVES, DIALS))
    leaf = leaf_certificate(uri, key.public_key(), authority.certificate, authority.key, begin, end, purposes)  # type: ignore
    pem = keys.certificate_pem(leaf).encode()
    return Credentials(uri, key_pem(key), pem, roster.authority.encode())  # type: ignore[arg-type]


def of_folder(folder: Path, name: str) -> Credentials:
    roster = Roster.read(folder / "cluster.toml")
    key, certificate = ((folder / name / file).read_bytes() for file in ("key.pem", "certificate.pem"))
    return Credentials(name, key, certificate, roster.authority.encode())


def own_key(folder: Path) -> object:
    return keys.read_pem((folder / "party-2" / "key.pem").read_bytes())


def revoked(folder: Path) -> Credentials:
    found = of_folder(folder, "party-2")
    change.rotate(folder, "party/2", Signing(lambda: b"not asked", dt.datetime.now(dt.UTC), 9))
    return found


PARTY_2 = "jmpc://three/party/2"
NOW = dt.datetime.now(dt.UTC)
BAD: dict[str, tuple[Callable[[Path], Credentials], str]] = {
    "expired": (lambda f: made(f, PARTY_2, key=own_key(f), span=(NOW - 9 * DAY, NOW - DAY)), "expired"),
    "not yet valid": (lambda f: made(f, PARTY_2, key=own_key(f), span=(NOW + DAY, NOW + 9 * DAY)), "not yet valid"),
    "another authority": (
        lambda f: made(f, PARTY_2, key=own_key(f), authority=Authority.new("three", NOW, 9)),
        "certificate",
    ),
    "another cluster's name": (lambda f: made(f, "jmpc://other/party/2", key=own_key(f)), "it names party 2"),
    "a stranger's name": (lambda f: made(f, "https://party/2"), "it names a stranger"),
    "no party's index": (lambda f: made(f, "jmpc://three/party/7"), "it names party 7"),
    "another key": (lambda f: made(f, PARTY_2), "not the one in the cluster's file"),
    "revoked": (revoked, "revoked"),
}


class Impostor:
    """Listens where party 2 should, with a certificate of its own; or dials."""

    def __init__(self, listener: socket.socket, credentials: Credentials) -> None:
        self._endpoint, self._listener = Endpoint(credentials), listener
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(5.0)
            try:
                with self._endpoint._server.wrap_socket(sock, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Three]:
    """A cluster whose party 2 is not there yet."""
    cluster = Three(tmp_path, ["alice"])
    yield cluster
    for party in range(3):
        cluster.stop(party, 0.1)
    for listener in cluster.listeners:
        listener.close()


@pytest.mark.parametrize("bad", [*BAD, "a client's"])
def test_a_bad_certificate_is_refused_where_it_is_met(bad: str, two: Three) -> None:
    plant, word = BAD.get(bad, (lambda f: of_folder(f, "client-alice"), "certificate"))
    credentials = plant(two.folder)
    two.roster = Roster.read(two.folder / "cluster.toml")
    impostor = Impostor(two.listeners[2], credentials)
    try:
        services = [two.start(party) for party in (0, 1)]
        for party in (0, 1):
            said = two.events[party].wait("peer refused", peer="party 2")
            assert word in str(said["why"]), said
        assert not any(service.ready for service in services)
        assert 2 not in services[0].peers.connected
    finally:
        impostor.close()


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_certificate_is_refused_at_the_door(bad: str, two: Three) -> None:
    plant, word = BAD[bad]
    credentials = plant(two.folder)
    two.roster = Roster.read(two.folder / "cluster.toml")
    service = two.start(0)
    knock(two, credentials)
    said = two.events[0].wait("connection refused", word)
    assert str(said["address"]).startswith(LOOPBACK)
    assert service.peers.connected == []
    assert service.clients.count == 0


def knock(three: Three, credentials: Credentials) -> None:
    """Dial party 0 with these, whatever becomes of it."""
    endpoint = Endpoint(credentials)
    raw = socket.create_connection((LOOPBACK, three.addresses[0][1]), timeout=10.0)
    try:
        with endpoint._client.wrap_socket(raw) as sock:
            sock.recv(1)
    except (OSError, ssl.SSLError):
        raw.close()


def test_a_client_is_no_party(two: Three) -> None:
    """It comes in as what it is; what parties say to each other is nothing that a client may say."""
    service = two.start(0)
    identity = Identity.read(two.folder / "client-alice", two.roster)
    raw = socket.create_connection((LOOPBACK, two.addresses[0][1]))
    sock = Endpoint(identity.credentials, two.roster.refusal).dial(raw, two.roster.uri("party/0"), soon())
    link = ControlLink(sock, None, "party 0", GREETING)
    half = {"nonce": bytes(32), "x25519": bytes(32), "kem": b"", "sessions": 8}
    link.send("hello", {**service.peers._terms(1), **half}, time.monotonic() + 10)
    two.events[0].wait("client refused", "malformed")
    link.close()
    assert service.peers.connected == []


# Lines.


def refused(address: tuple[str, int], hello: bytes) -> bool:
    """Whether a party hangs up on a hello."""
    with socket.create_connection((LOOPBACK, address[1]), timeout=20.0) as sock:
        sock.sendall(hello)
        try:
            return sock.recv(1) == b""
        except ConnectionError:
            return True


def test_lines_that_are_no_peers_are_refused(tmp_path: Path) -> None:
    """Replayed, forged, for another party, from the wrong end, of an earlier link: and the next call works."""
    relay = Relay(Injection())
    with Three(tmp_path, ["alice"], Limits(waiting_s=8.0), relay=relay) as three:
        with RawClient(three, "alice") as alice:
            assert_works(alice)
            (used,) = [hello for hello in relay.hellos if hello[10:12] == b"\0\1"]
            link = three.services[0].peers.link(1)  # type: ignore[union-attr]
            fresh = [lines.hello(link.secret, 0, 1, number) for number in range(50, 60)]
            assert refused(three.listening[1], used)
            for at in range(len(used)):
                bad = bytearray(fresh[at % 10])
                bad[at] ^= 1
                assert refused(three.listening[1], bytes(bad)), at
            assert refused(three.listening[2], fresh[0])
            assert refused(three.listening[0], lines.hello(link.secret, 1, 0, 50))
            three.events[1].wait("connection refused", "a line is of no peer")
            assert_works(alice)
        three.stop(1)
        three.start(1)
        three.wait()
        assert refused(three.listening[1], fresh[0])
        with RawClient(three, "alice") as alice:
            assert_works(alice)
    relay.close()


def test_a_line_remembers_a_bounded_number_of_hellos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_REMEMBERED", 64)
    secret = PairSecret(b"s" * 32, False)
    dialed = lines.Lines(1, 0, secret, None, idle=4)

    def admitted(number: int) -> bool:
        near, far = tcp_pair()
        tag = lines.hello(secret, 0, 1, number)[-16:]
        near.close()
        taken = dialed.admit(number, tag, far)
        if not taken:
            far.close()
        return taken

    order = np.arange(400).reshape(-1, 8)[:, ::-1].reshape(-1)  # lines overtake each other by a few
    assert all(admitted(int(number)) for number in order)
    assert len(dialed._used) <= lines._REMEMBERED + 1
    assert not any(admitted(number) for number in (0, 1, 99, 380, 399))
    assert admitted(401)
    assert admitted(400)
    dialed.close()
