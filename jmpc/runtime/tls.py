"""Mutual TLS 1.3 between the processes of a cluster.

In: a connected socket, credentials, and the identities that may be at the other end. Out: a TLS socket and
the identity that the peer's certificate proved. A peer is known by the URI in its certificate, never by its
port or by the order of arrival. This file sends no message.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from jmpc.errors import HandshakeError
from jmpc.runtime.failure import Place, foreign
from jmpc.runtime.identity import Credentials, name_of


class Endpoint:
    """One process's TLS settings, for the links that it dials and those that it accepts."""

    def __init__(self, credentials: Credentials) -> None:
        self.identity = credentials.identity
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)
        self._server = _context(ssl.PROTOCOL_TLS_SERVER, credentials)

    def dial(self, sock: socket.socket, expected: str, deadline: float) -> ssl.SSLSocket:
        """Open TLS as the side that connected; the peer must prove to be `expected`."""
        return self._wrap(sock, self._client, (expected,), deadline)[0]

    def accept(self, sock: socket.socket, expected: Collection[str], deadline: float) -> tuple[ssl.SSLSocket, str]:
        """Open TLS as the side that listened; the peer must prove to be one of `expected`."""
        return self._wrap(sock, self._server, expected, deadline)

    def _wrap(
        self, sock: socket.socket, context: ssl.SSLContext, expected: Collection[str], deadline: float
    ) -> tuple[ssl.SSLSocket, str]:
        peer = " or ".join(sorted(name_of(identity) for identity in expected))
        place = Place(phase="handshake", peer=peer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped = sock
        try:
            with foreign(place):
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                wrapped = context.wrap_socket(sock, server_side=context is self._server)
            return wrapped, _proven(wrapped, expected, place)
        except BaseException:
            wrapped.close()
            raise


def _proven(sock: ssl.SSLSocket, expected: Collection[str], place: Place) -> str:
    """The one identity in the peer's certificate, if it is expected here."""
    certificate = sock.getpeercert() or {}
    names = [entry for entry in certificate.get("subjectAltName", ()) if isinstance(entry, tuple)]
    if len(names) == 1 and names[0][0] == "URI" and names[0][1] in expected:
        return str(names[0][1])
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
def _as_file(content: bytes) -> Iterator[str]:
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
