"""Certificates: only the right CA, the right identity and the right time open a link."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import time

import pytest

from jmpc.errors import HandshakeError, JMPCError
from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.control import ControlLink
from jmpc.runtime.identity import Credentials
from jmpc.runtime.requests import REQUESTS
from jmpc.runtime.tls import Endpoint

from .helpers import DRIVER, LONG_S, accepted_by, authority_and, party_identity, tcp_pair, tls_pair, together

P0, P1, P2 = (party_identity(index) for index in range(3))


def end(*sides: object) -> None:
    for side in sides:
        if isinstance(side, ssl.SSLSocket):
            side.close()


def first_read(side: object) -> object:
    """What the dialling end finds when it first reads: its refusal comes with that."""
    if not isinstance(side, ssl.SSLSocket):
        return side
    try:
        return ControlLink(side, None, "party 1", REQUESTS).receive(("hello",), time.monotonic() + LONG_S)
    except JMPCError as exc:
        return exc


def test_the_right_two_open_tls_1_3_and_know_each_other() -> None:
    client, server = authority_and(P0, P1)
    dialled, accepted = tls_pair(client, server, P1, [P0, DRIVER])
    assert isinstance(dialled, ssl.SSLSocket)
    assert isinstance(accepted, ssl.SSLSocket)
    assert dialled.version() == accepted.version() == "TLSv1.3"
    end(dialled, accepted)


def test_a_client_of_another_ca_is_refused_at_both_ends() -> None:
    stranger, server = authority_and(P0)[0], authority_and(P1)[0]
    mixed = Credentials(P0, stranger.key, stranger.certificate, server.ca)
    dialled, accepted = tls_pair(mixed, server, P1, [P0])
    assert isinstance(accepted, HandshakeError)
    assert "certificate" in str(accepted)
    assert isinstance(first_read(dialled), JMPCError)
    end(dialled)


def test_a_server_of_another_ca_is_refused_at_both_ends() -> None:
    client, stranger = authority_and(P0)[0], authority_and(P1)[0]
    dialled, accepted = tls_pair(client, stranger, P1, [P0])
    assert isinstance(dialled, HandshakeError)
    assert "certificate" in str(dialled)
    assert isinstance(accepted, JMPCError)


@pytest.mark.parametrize("wrong", [P0, P2, DRIVER, "jmpc://party/7", "https://party/1"])
def test_a_server_with_another_identity_is_refused(wrong: str) -> None:
    client, server = authority_and(P0, wrong)
    dialled, accepted = tls_pair(client, server, P1, [P0])
    assert isinstance(dialled, HandshakeError)
    assert "certificate" in str(dialled)
    end(accepted)


@pytest.mark.parametrize("wrong", [P1, P2, "jmpc://party/7"])
def test_a_client_with_another_identity_is_refused(wrong: str) -> None:
    client, server = authority_and(wrong, P1)
    dialled, accepted = tls_pair(client, server, P1, [P0, DRIVER])
    assert isinstance(accepted, HandshakeError)
    assert "certificate" in str(accepted)
    end(dialled)


@pytest.mark.parametrize(("days", "word"), [(-3, "expired"), (3, "not yet valid")])
def test_an_expired_or_future_certificate_is_refused(days: int, word: str) -> None:
    authority = CertificateAuthority()
    start = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    late, good = authority.issue(P1, start=start, lifetime=dt.timedelta(days=1)), authority.issue(P0)
    dialled, accepted = tls_pair(good, late, P1, [P0])
    assert isinstance(dialled, HandshakeError)
    assert word in str(dialled)
    assert isinstance(accepted, JMPCError)
    dialled, accepted = tls_pair(late, good, P0, [P1])
    assert isinstance(accepted, HandshakeError)
    assert word in str(accepted)
    end(dialled)


def test_a_client_without_a_certificate_is_refused() -> None:
    (server,) = authority_and(P1)
    one, other = tcp_pair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=server.ca.decode())

    def dial() -> None:
        with context.wrap_socket(one) as sock:
            sock.recv(1)

    _, accepted = together([dial, lambda: accepted_by(Endpoint(server), other, [P0], time.monotonic() + LONG_S)])
    assert isinstance(accepted, HandshakeError)


def test_loading_credentials_leaves_no_file(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (leaf,) = authority_and(P0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    Endpoint(leaf)
    monkeypatch.delattr(os, "memfd_create")
    Endpoint(leaf)
    assert os.listdir(tmp_path) == []
    assert set(os.listdir("/proc/self/fd")) == before
