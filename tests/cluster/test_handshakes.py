"""TLS 1.3 between identities that were made: the right ones open, and each bad certificate is refused at either end."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from jmpc.cluster import Identity, Roster, change, keys, make
from jmpc.cluster.authority import Authority
from jmpc.errors import DeadlineError, HandshakeError, JMPCError
from jmpc.runtime.certificates import DIALS
from jmpc.runtime.control import ControlLink
from jmpc.runtime.duplex import PING
from jmpc.runtime.identity import Credentials, name_of
from jmpc.runtime.tls import Endpoint
from jmpc.service.words import PEERS
from tests.runtime.helpers import LONG_S, accepted_by, tcp_pair, together

from .planted import CLIENTS, DAY, HOSTS, authority_of, certify, signing

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A cluster that is valid by the clock of today."""
    make.create(tmp_path / "study", make.Order(HOSTS, CLIENTS), NOW)
    return tmp_path / "study"


def credentials(folder: Path, own: str = "party-0") -> Credentials:
    """What lies in a folder, whatever it is."""
    roster = Roster.read(folder / "cluster.toml")
    pem, certificate = ((folder / own / file).read_bytes() for file in ("key.pem", "certificate.pem"))
    return Credentials(own, pem, certificate, roster.authority.encode())


def good(folder: Path, name: str) -> Endpoint:
    roster = Roster.read(folder / "cluster.toml")
    identity = Identity.read(folder / name.replace("/", "-"), roster)
    assert identity.name == name
    assert identity.credentials.identity == roster.uri(name)
    return Endpoint(identity.credentials, roster.refusal)


def handshake(client: Endpoint, server: Endpoint, dialled: str, awaited: list[str]) -> list[object]:
    """Both ends, after a word from each to the other: a socket, or why it is none."""
    one, other = tcp_pair()
    deadline = time.monotonic() + LONG_S

    def greeted(sock: ssl.SSLSocket) -> ssl.SSLSocket:
        try:
            link = ControlLink(sock, None, "the peer", PEERS)
            link.send(PING, {}, deadline)
            link.receive((PING,), deadline)
        except JMPCError:
            sock.close()
            raise
        return sock

    return together(
        [
            lambda: greeted(client.dial(one, dialled, deadline)),
            lambda: greeted(accepted_by(server, other, awaited, deadline)),
        ]
    )


@pytest.mark.parametrize("dials", ["party/0", "client/hospital-a"])
def test_members_open_tls_1_3_and_know_each_other(dials: str, live: Path) -> None:
    uri = Roster.read(live / "cluster.toml").uri
    ends = handshake(good(live, dials), good(live, "party/1"), uri("party/1"), [uri(dials)])
    assert [end.version() for end in ends if isinstance(end, ssl.SSLSocket)] == ["TLSv1.3"] * 2
    for end in ends:
        assert isinstance(end, ssl.SSLSocket)
        end.close()


def of_another(folder: Path) -> None:
    certify(folder, "jmpc://study/party/0", Authority.new("study", NOW, 90))


def expired(folder: Path) -> None:
    certify(folder, "jmpc://study/party/0", authority_of(folder)[1], end=NOW - DAY, begin=NOW - 9 * DAY)


def not_yet(folder: Path) -> None:
    certify(folder, "jmpc://study/party/0", authority_of(folder)[1], end=NOW + 9 * DAY, begin=NOW + DAY)


def another_key(folder: Path) -> None:
    """Signed by the cluster's authority for the right name, and in nobody's cluster.toml."""
    keep = (folder / "cluster.toml").read_bytes()
    change.rotate(folder, "party/0", signing(NOW))
    (folder / "cluster.toml").write_bytes(keep)


def rotated(folder: Path) -> None:
    before = {file: (folder / "party-0" / file).read_bytes() for file in ("key.pem", "certificate.pem")}
    change.rotate(folder, "party/0", signing(NOW))
    for file, content in before.items():
        (folder / "party-0" / file).write_bytes(content)


def renewed(folder: Path) -> None:
    before = (folder / "party-0" / "certificate.pem").read_bytes()
    change.rotate(folder, "party/0", signing(NOW), same_key=True)
    (folder / "party-0" / "certificate.pem").write_bytes(before)


def built(
    names: Sequence[x509.GeneralName], issuer: str = "authority", broken: bool = False, authority: bool = False
) -> Callable[[Path], None]:
    """A certificate for party 0's key with these alternative names. issuer: who signs, also itself and another member.
    broken: its signature is not right.  authority: it may sign others."""

    def plant(folder: Path) -> None:
        own, other = (folder / f"party-{n}" for n in (0, 1))
        key = keys.read_pem((own / "key.pem").read_bytes())
        _, of_cluster = authority_of(folder)
        signers = {
            "authority": (of_cluster.certificate.subject, of_cluster.key),
            "itself": (x509.Name([]), key),
            "party 1": (
                x509.load_pem_x509_certificate((other / "certificate.pem").read_bytes()).subject,
                keys.read_pem((other / "key.pem").read_bytes()),
            ),
        }
        subject, signer = signers[issuer]
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(subject)
        builder = builder.public_key(key.public_key()).serial_number(7)
        builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        der = builder.sign(signer, SHA256()).public_bytes(Encoding.DER)
        der = der[:-1] + bytes([der[-1] ^ broken])
        pem = base64.encodebytes(der).decode()
        (own / "certificate.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{pem}-----END CERTIFICATE-----\n")

    return plant


def spanning(begin: dt.timedelta, end: dt.timedelta) -> Callable[[Path], None]:
    """Party 0's certificate, valid from and until so far from now: as a clock that is wrong makes it."""
    return lambda folder: certify(
        folder, "jmpc://study/party/0", authority_of(folder)[1], begin=NOW + begin, end=NOW + end
    )


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


OWN, HOUR, YEAR = "jmpc://study/party/0", dt.timedelta(hours=1), dt.timedelta(days=365)
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no name": (built([]), "not one identity"),
    "a host's name": (built([x509.DNSName("party-0.example")]), "it names a stranger"),
    "an address": (built([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), "it names a stranger"),
    "two names": (built([uri(OWN), uri("jmpc://study/party/1")]), "not one identity"),
    "a name and a host's": (built([uri(OWN), x509.DNSName("party-0.example")]), "not one identity"),
    "its name twice": (built([uri(OWN), uri(OWN)]), "not one identity"),
    "a client's name": (built([uri("jmpc://study/client/hospital-a")]), "it names client hospital-a"),
    "its name in capitals": (built([uri(OWN.upper())]), "it names a stranger"),
    "its name with a slash": (built([uri(OWN + "/")]), "it names a stranger"),
    "its name with a port": (built([uri("jmpc://study:1/party/0")]), "it names a stranger"),
    "its name with two digits": (built([uri("jmpc://study/party/00")]), "it names party 00"),
    "its name in escapes": (built([uri("jmpc://study/party/%30")]), "it names a stranger"),
    "its name and a zero": (built([uri(OWN + "\0.example")]), "it names a stranger"),
    "signed by itself": (built([uri(OWN)], issuer="itself"), "certificate"),
    "signed by another member": (built([uri(OWN)], issuer="party 1"), "certificate"),
    "an authority signed by itself": (built([uri(OWN)], issuer="itself", authority=True), "certificate"),
    "a broken signature": (built([uri(OWN)], broken=True), "certificate"),
    "expired an hour ago": (spanning(-DAY, -HOUR), "expired"),
    "expired a year ago": (spanning(-YEAR, -YEAR + DAY), "expired"),
    "valid in an hour": (spanning(HOUR, DAY), "not yet valid"),
    "valid in a year": (spanning(YEAR, YEAR + DAY), "not yet valid"),
    "another authority": (of_another, "certificate"),
    "expired": (expired, "expired"),
    "not yet valid": (not_yet, "not yet valid"),
    "another member": (lambda f: certify(f, "jmpc://study/party/2", authority_of(f)[1]), "it names party 2"),
    "another cluster": (lambda f: certify(f, "jmpc://other/party/0", authority_of(f)[1]), "it names party 0"),
    "a stranger": (lambda f: certify(f, "https://party/0", authority_of(f)[1]), "it names a stranger"),
    "revoked": (lambda f: change.revoke(f, "party/0", NOW), "revoked"),
    "rotated": (rotated, "revoked"),
    "renewed": (renewed, "revoked"),
    "another key": (another_key, "not the one in the cluster's file"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dials", [True, False])
def test_a_bad_certificate_is_refused_and_shows_at_both_ends(bad: str, dials: bool, live: Path) -> None:
    plant, word = BAD[bad]
    plant(live)
    wrong, right = Endpoint(credentials(live)), good(live, "party/1")
    zero, one = "jmpc://study/party/0", "jmpc://study/party/1"
    if dials:
        found, refused = handshake(wrong, right, one, [zero])
    else:
        refused, found = handshake(right, wrong, zero, [one])
    assert isinstance(refused, HandshakeError)
    assert word in str(refused)
    assert isinstance(found, JMPCError)  # the other end is closed, and no word came
    assert not isinstance(found, DeadlineError)


def test_a_client_is_no_server(live: Path) -> None:
    uri = Roster.read(live / "cluster.toml").uri
    client = good(live, "client/hospital-a")
    refused, found = handshake(good(live, "party/1"), client, uri("client/hospital-a"), [uri("party/1")])
    assert isinstance(refused, HandshakeError)
    assert isinstance(found, JMPCError)
    certify(live, uri("party/0"), authority_of(live)[1], purposes=(DIALS,))
    refused, found = handshake(good(live, "party/1"), Endpoint(credentials(live)), uri("party/0"), [uri("party/1")])
    assert isinstance(refused, HandshakeError)
    assert isinstance(found, JMPCError)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("jmpc://study/party/0", "party 0"),
        ("jmpc://study/client/hospital-a", "client hospital-a"),
        ("jmpc://party/0", "a stranger"),
        ("jmpc://driver", "a stranger"),
        ("jmpc://study/party/000", "a stranger"),
        ("jmpc://study/client/a\nb", "a stranger"),
        ("jmpc://study/client/", "a stranger"),
    ],
)
def test_how_messages_call_a_peer(uri: str, name: str) -> None:
    assert name_of(uri) == name
