"""Hosts as network namespaces of the kernel, a cable between each two, with its bandwidth and, where possible, latency.

In: a link's latency and bandwidth. Out: connected pairs of sockets, one in each namespace: what crosses between them is
carried by the kernel's TCP over its own queues (`netem` for both, else `tbf` for the bandwidth alone), or over a cable
in user space (tunnel.py, for both). Needs root, `ip` and `tc`. Processes stay where they are: a socket belongs to the
namespace in which it was made.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import math
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import TypeVar

from bench.links.carrier import Carrier
from bench.links.tunnel import open_device
from jmpc.config import Network

T = TypeVar("T")
HOSTS = 4
End = tuple[str, str]  # a namespace, and its device
_CLONE_NEWNET = 0x40000000
_QUEUE_MS = 50
_NETEM_PACKETS = 200_000
_LEAST_BURST = 1 << 17  # the kernel hands packets of 64 KiB to a device


class Unavailable(RuntimeError):
    """This machine cannot make them; the message says why."""


class Namespaces:
    """A namespace for each host. tunnels: whether cables are in user space.  `delays`: whether cables hold packets
    back; `used`: in words."""

    def __init__(self, hosts: int = HOSTS, tunnels: bool = False) -> None:
        self._names = [f"jmpc-bench-{os.getpid()}-{host}" for host in range(hosts)]
        self._devices: list[tuple[str, str]] = []  # (namespace, device)
        self._servers: list[socket.socket] = []
        self._carriers: list[Carrier] = []
        try:
            self._build(self._tunnel if tunnels else self._cable)
            self.delays = tunnels or self._can_delay()
        except BaseException:
            self.close()
            raise
        kernels = "netem" if self.delays else "tbf; latency by the relay"
        self.used = f"network namespaces, {'TUN devices joined in user space' if tunnels else kernels}"

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shape(self, link: Network) -> None:
        """Every cable, both ways."""
        for carrier in self._carriers:
            carrier.shape([link, link])
        for name, device in [] if self._carriers else self._devices:
            _quietly("ip", "netns", "exec", name, "tc", "qdisc", "del", "dev", device, "root")
            queue = _queue(link, self.delays)
            if queue:
                _run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", device, "root", *queue)

    def cross(self, one: int, other: int) -> tuple[socket.socket, socket.socket]:
        """A connection between two hosts: its ends, in the namespace of each."""
        target = _address(one, other, other), self._servers[other].getsockname()[1]
        leaving = _inside(self._names[one], lambda: socket.create_connection(target, timeout=10.0))
        arriving, _ = self._servers[other].accept()
        return leaving, arriving

    def close(self) -> None:
        for carrier in self._carriers:
            carrier.close()
        for server in self._servers:
            server.close()
        for name in self._names:
            _quietly("ip", "netns", "del", name)

    def _build(self, cable: Callable[[End, End], None]) -> None:
        for name in self._names:
            _run("ip", "netns", "add", name)
        for one, other in itertools.combinations(range(len(self._names)), 2):
            ends = [(self._names[a], f"to{b}", _address(one, other, a)) for a, b in ((one, other), (other, one))]
            cable(ends[0][:2], ends[1][:2])
            for name, device, address in ends:
                _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
                _run("ip", "-n", name, "link", "set", device, "up")
                self._devices.append((name, device))
        for name in self._names:
            self._servers.append(_inside(name, lambda: socket.create_server(("0.0.0.0", 0), backlog=64)))

    @staticmethod
    def _cable(one: End, other: End) -> None:
        (name, device), (peer, peers_device) = one, other
        _run("ip", "link", "add", device, "netns", name, "type", "veth", "peer", "name", peers_device, "netns", peer)

    def _tunnel(self, one: End, other: End) -> None:
        try:
            devices = [_inside(name, functools.partial(open_device, device)) for name, device in (one, other)]
        except OSError as error:
            raise Unavailable(f"no TUN device: {error}") from error
        self._carriers.append(Carrier("tunnel", devices))
        for fd in devices:
            os.close(fd)

    def _can_delay(self) -> bool:
        name, device = self._devices[0]
        try:
            _run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", device, "root", "netem", "delay", "1ms")
        except Unavailable:
            return False
        return True


def _queue(link: Network, delays: bool) -> list[str]:
    """What `tc` is told of a device: nothing for a link without limits."""
    limited, delayed = not math.isinf(link.bandwidth), link.latency_s > 0
    rate = f"{8 * link.bandwidth:.0f}bit" if limited else ""
    if delays:
        delay = ["delay", f"{1e6 * link.latency_s:.0f}us"] if delayed else []
        wanted = [*delay, *(["rate", rate] if limited else [])]
        return ["netem", *wanted, "limit", str(_NETEM_PACKETS)] if wanted else []
    if not limited:
        return []
    burst = max(_LEAST_BURST, int(link.bandwidth / 1000))
    return ["tbf", "rate", rate, "burst", str(burst), "latency", f"{_QUEUE_MS}ms"]


def _address(one: int, other: int, host: int) -> str:
    """The host's end of the cable of a pair."""
    low, high = sorted((one, other))
    return f"10.211.{16 * low + high}.{1 + host}"


def _inside(name: str, work: Callable[[], T]) -> T:
    """Do something in a thread of its own that is in a namespace."""
    found: list[T] = []
    failed: list[OSError] = []

    def run() -> None:
        try:
            with open(f"/run/netns/{name}") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"no way into the namespace {name}")
            found.append(work())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no {command[0]} here") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{' '.join(command)}: {error.stderr.strip()}") from error


def _quietly(*command: str) -> None:
    with contextlib.suppress(Unavailable):
        _run(*command)
