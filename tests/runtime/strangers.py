"""Connections that nobody asked for, of every kind that a port on a network meets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence

from jmpc.runtime.certificates import CertificateAuthority
from jmpc.runtime.tls import Endpoint

from .helpers import DRIVER, party_identity

Address = tuple[str, int]


def _connected(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=5)


def closes(address: Address) -> socket.socket:
    sock = _connected(address)
    sock.close()
    return sock


def resets(address: Address) -> socket.socket:
    sock = _connected(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return sock


def is_silent(address: Address) -> socket.socket:
    return _connected(address)


def ends_its_side(address: Address) -> socket.socket:
    sock = _connected(address)
    sock.shutdown(socket.SHUT_WR)
    return sock


def says(data: bytes) -> Callable[[Address], socket.socket]:
    def stranger(address: Address) -> socket.socket:
        sock = _connected(address)
        sock.sendall(data)
        return sock

    return stranger


def _hello() -> bytes:
    """The first message of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(into, out).do_handshake()
    return out.read()


def forges(identity: str) -> Callable[[Address], socket.socket]:
    """A client with a certificate of the right name, by an authority of its own: it begins the handshake."""

    def stranger(address: Address) -> socket.socket:
        end = Endpoint(CertificateAuthority().issue(identity))
        sock = _connected(address)
        sock.setblocking(False)
        wrapped = end._client.wrap_socket(sock, do_handshake_on_connect=False)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLCertVerificationError):  # it need not know the party
            wrapped.do_handshake()
        return wrapped

    return stranger


HELLO = _hello()
KINDS: dict[str, Callable[[Address], socket.socket]] = {
    "closes at once": closes,
    "resets": resets,
    "is silent": is_silent,
    "ends its side": ends_its_side,
    "one byte": says(b"\x16"),
    "http": says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "zeros": says(bytes(4096)),
    "half a hello": says(HELLO[: len(HELLO) // 2]),
    "a hello and no more": says(HELLO),
    "a hello and garbage": says(HELLO + bytes(range(256))),
    "half a frame": says(bytes(40)),
    "a forged party": forges(party_identity(0)),
    "a forged driver": forges(DRIVER),
}


@contextlib.contextmanager
def strangers(
    addresses: Sequence[Address], kinds: Sequence[str] = tuple(KINDS), silent: int = 0
) -> Iterator[list[socket.socket]]:
    """One of each kind, and `silent` more that say nothing, at each address, connected until the block ends."""
    with contextlib.ExitStack() as stack:
        made = []
        for address in addresses:
            for kind in [*kinds, *["is silent"] * silent]:
                made.append(stack.enter_context(contextlib.closing(KINDS[kind](address))))
        yield made
