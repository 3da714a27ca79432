"""What a party says of itself over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts it or
sends it work. On loopback, unless the operator says otherwise: it is not encrypted, and asks nobody who they are.

In: an address, and what to answer. Out: a server with threads of its own. It reads the first line of a request and
the headers, never a body; a slow or silent reader is dropped, and more than a few at once wait.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from jmpc.cluster.names import Address, address_text
from jmpc.errors import ConfigError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_AT_ONCE = 16
PATIENCE_S = 5.0  # with one request
Answer = Callable[[str], tuple[HTTPStatus, str, bytes]]


@dataclass(frozen=True, slots=True)
class State:
    """Whether a party can take work, and if not, why not. devices: on which it computes, once it knows."""

    party: str
    cluster: str
    peers: dict[str, bool]
    why: tuple[str, ...] = ()
    devices: str = ""

    @property
    def ready(self) -> bool:
        return not self.why

    def fields(self) -> dict[str, object]:
        """As `/readyz` says it."""
        return {
            "ready": self.ready,
            "party": self.party,
            "cluster": self.cluster,
            "peers": self.peers,
            "why": list(self.why),
            "devices": self.devices,
        }


class Health:
    """Serves from when it is made until it is closed. metrics, state: asked at each request, from several threads.
    fault: told of what went wrong while answering, as fields of the event `foreign fault`."""

    def __init__(
        self,
        address: Address,
        metrics: Callable[[], bytes],
        state: Callable[[], State],
        fault: Callable[[str, str], None] = lambda kind, where: None,
    ) -> None:
        self._metrics, self._state = metrics, state
        try:
            self._server = _Server(address, self._answer, fault)
        except OSError as exc:
            raise cannot_listen("metrics", address, exc) from exc
        self.address: Address = (address[0], self._server.server_port)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        match path.partition("?")[0]:
            case "/metrics":
                return HTTPStatus.OK, METRICS_TYPE, self._metrics()
            case "/healthz":
                return HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n"
            case "/readyz":
                state = self._state()
                status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
                return status, "application/json", json.dumps(state.fields()).encode() + b"\n"
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/metrics, /healthz, /readyz\n"


def family(address: Address) -> socket.AddressFamily:
    """Of the sockets that an address is for."""
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0]


def cannot_listen(key: str, address: Address, exc: OSError) -> ConfigError:
    """What the system says, as an error of the settings."""
    return ConfigError(
        f"the party cannot listen at {address_text(address)}",
        where=f"party.toml ({key})",
        why=(exc.strerror or type(exc).__name__).lower(),
        todo="is another party running? else give an address of this machine, and a port that is free and above 1023",
    )


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: Address, answer: Answer, fault: Callable[[str, str], None]) -> None:
        self.address_family, self.answer, self.fault = family(address), answer, fault
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that HTTPServer makes, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(timeout=PATIENCE_S):
            return self.shutdown_request(request)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = threading.Timer(PATIENCE_S, _shut, (request,))  # of who sends a byte now and then
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away. What breaks while answering is told in `_Handler`."""


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE_S
    server_version, sys_version = "jmpc", ""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        try:
            status, kind, body = server.answer(self.path)
        except Exception as exc:
            server.fault(type(exc).__name__, f"answering {self.path.partition('?')[0][:40]}")
            status, kind, body = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", b"see the log\n"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they come every few seconds."""
