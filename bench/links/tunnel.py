"""The process that is the cable between two namespaces: `python -m bench.links.tunnel FD TUN TUN`.

In: the descriptors of a TUN device in each namespace, and orders over an inherited Unix socket: what the cable does. It
carries packets, each in its time, so that the kernels' TCP at both ends sees the latency and the bandwidth of the link:
windows open, start slowly and start again after a pause as on a long line. What the device queues beyond that is
lost. Packets come as large as the kernel makes them (segmentation offload), or Python could carry no more than 100
Mbit/s.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from bench.links.shaper import Shaper
from bench.links.worker import ORDER_BYTES, be_prompt

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_CHECKSUM, _TSO4, _TSO6 = 1, 2, 4
_PACKET_BYTES = 1 << 17
_AT_ONCE = 64
_IDLE_S = 1.0


def open_device(name: str) -> int:
    """A new TUN device in the namespace of this thread. Raises OSError."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR))
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _CHECKSUM | _TSO4 | _TSO6)
    except OSError:
        os.close(fd)
        raise
    return fd


@dataclass
class Way:
    """One direction of the cable."""

    source: int
    sink: int
    link: Shaper = field(default_factory=Shaper)
    held: deque[tuple[float, bytes]] = field(default_factory=deque[tuple[float, bytes]])

    def read(self, now: float) -> None:
        """Take in what the device has, as far as the link does."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                if self.link.opens_at() > now:
                    return
                packet = os.read(self.source, _PACKET_BYTES)
                self.held.append((self.link.admit(now, len(packet)), packet))

    def deliver(self, now: float) -> None:
        """Hand over what has arrived."""
        while self.held and self.held[0][0] <= now:
            with contextlib.suppress(OSError):  # a packet that a device does not take is lost, as on a cable
                os.write(self.sink, self.held[0][1])
            self.held.popleft()


def main(orders_fd: int, one: int, other: int) -> None:
    be_prompt()
    orders = socket.socket(fileno=orders_fd)
    ways = Way(one, other), Way(other, one)
    while True:
        now = time.monotonic()
        reading = {way.source: way for way in ways if way.link.opens_at() <= now}
        wakes = [way.link.opens_at() for way in ways if way.source not in reading]
        wakes += [way.held[0][0] for way in ways if way.held]
        ready, _, _ = select.select([*reading, orders], [], [], max(0.0, min([*wakes, now + _IDLE_S]) - now))
        now = time.monotonic()
        for fd in ready:
            if isinstance(fd, int):
                reading[fd].read(now)
            elif not _obey(orders, ways):
                return
        now = time.monotonic()
        for way in ways:
            way.deliver(now)


def _obey(orders: socket.socket, ways: tuple[Way, Way]) -> bool:
    text = orders.recv(ORDER_BYTES)
    if not text:
        return False
    for way, (latency_s, bandwidth) in zip(ways, json.loads(text)["shape"], strict=True):
        way.link.latency_s, way.link.bandwidth = latency_s, bandwidth or math.inf
    orders.send(b"\0")
    return True


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*map(int, sys.argv[1:4]))
