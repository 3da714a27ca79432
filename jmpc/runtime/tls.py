"""Mutual TLS 1.3 between the processes of a cluster.

In: a connected socket, credentials, and the identities that may be at the other end. Out: a TLS socket and
the identity that the peer's certificate proved. A peer is known by the URI in its certificate, never by its
port or by the order of arrival. What a cluster's roster knows besides (which key is whose, what was revoked) it says
by `Refusal`. This file sends no message.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager

from jmpc.errors import HandshakeError
from jmpc.runtime.door import Proof
from jmpc.runtime.failure import Place, foreign
from jmpc.runtime.identity import Credentials, name_of

# From an identity that a chain of certificates proved, and its certificate (DER): why it is refused here, or "".
Refusal = Callable[[str, bytes], str]


def _refuse_none(_identity: str, _certificate: bytes) -> str:
    return ""


class Endpoint:
    """One process's TLS settings, for the links that it dials and those that it accepts."""

    def __init__(self, credentials: Credentials, refusal: Refusal = _refuse_none) -> None:
        self.identity = credentials.identity
        self._refusal = refusal
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)
        self._server = _context(ssl.PROTOCOL_TLS_SERVER, credentials)

    def dial(self, sock: socket.socket, expected: str, deadline: float) -> ssl.SSLSocket:
        """Open TLS as the side that connected; the peer must prove to be `expected`."""
        place = Place(phase="handshake", peer=name_of(expected))
        wrapped = sock
        try:
            with foreign(place):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                wrapped = self._client.wrap_socket(sock)
            _proven(wrapped, (expected,), place, self._refusal)
            return wrapped
        except BaseException:
            wrapped.close()
            raise

    def accepting(self, sock: socket.socket, expected: Collection[str]) -> Proof[tuple[ssl.SSLSocket, str]]:
        """Open TLS as the side that listened, step by step (door.py); the peer must prove to be one of `expected`."""
        place = Place(phase="handshake", peer=" or ".join(sorted(name_of(identity) for identity in expected)))
        wrapped = sock
        try:
            with foreign(place):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not _has_spoken(sock):
                    yield select.POLLIN
                wrapped = self._server.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            while (waits_for := _handshake(wrapped, place)) is not None:
                yield waits_for
            return wrapped, _proven(wrapped, expected, place, self._refusal)
        except BaseException:
            wrapped.close()
            raise


def first_byte(sock: socket.socket) -> Proof[int]:
    """What a connection begins with, which stays to be read; as a step of a proof (door.py)."""
    try:
        while (found := _peek(sock)) is None:
            yield select.POLLIN
        return found
    except BaseException:
        sock.close()
        raise


def _has_spoken(sock: socket.socket) -> bool:
    return _peek(sock) is not None


def _peek(sock: socket.socket) -> int | None:
    """The byte that waits, if one does. Raises OSError for a socket that is gone, which `ssl` would not close when
    asked to wrap it."""
    try:
        if found := sock.recv(1, socket.MSG_PEEK):
            return found[0]
    except BlockingIOError:
        return None
    raise ConnectionResetError


def _handshake(sock: ssl.SSLSocket, place: Place) -> int | None:
    """Go on with a handshake; what it waits for, or None once it is done."""
    with foreign(place):
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            return select.POLLIN
        except ssl.SSLWantWriteError:
            return select.POLLOUT
    return None


def _proven(sock: ssl.SSLSocket, expected: Collection[str], place: Place, refusal: Refusal) -> str:
    """The one identity in the peer's certificate, if it is expected here and not refused."""
    certificate = sock.getpeercert() or {}
    names = [entry for entry in certificate.get("subjectAltName", ()) if isinstance(entry, tuple)]
    if len(names) == 1 and names[0][0] == "URI" and names[0][1] in expected:
        identity = str(names[0][1])
        if why := refusal(identity, sock.getpeercert(binary_form=True) or b""):
            raise HandshakeError(f"{name_of(identity)} is refused", where=place, why=why)
        return identity
    found = name_of(str(names[0][1])) if len(names) == 1 else "not one identity"
    raise HandshakeError("the peer is not who it must be", where=place, why=f"certificate: it names {found}")


def _context(protocol: int, credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # Identities are URIs of ours, checked in `_proven`; hosts may share one name.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=credentials.ca.decode("ascii"))
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # No resumption: and a ticket would wake a poll with nothing to read.
    with _as_file(credentials.certificate + credentials.key) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _as_file(content: bytes) -> Generator[str]:
    """A path that holds `content` for a moment: memory where the system can, else a private folder."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("jmpc", os.MFD_CLOEXEC)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{fd}"
        return
    folder = tempfile.mkdtemp()  # mode 0700
    try:
        path = os.path.join(folder, "leaf")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        yield path
    finally:
        shutil.rmtree(folder)
