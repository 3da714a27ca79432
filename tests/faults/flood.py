"""A live port under strangers: half-open connections, slow ones, random bytes, broken handshakes, while a job runs.

What goes in: how many of each. What comes out: how many calls ran right meanwhile, and what was left open.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jmpc.errors import PartyError
from jmpc.service import lines
from jmpc.service.limits import Limits
from tests.faults.programs import program
from tests.service.raw_client import RawClient
from tests.service.three import LOOPBACK, Three

STRANGERS = 8  # threads that connect
RETURN_S = 60.0  # for descriptors and threads to be given back
# Two sessions at once keep a line each between every two parties, both ends of which are in this process; and a party
# keeps the thread that ran a session.
SECOND_LINES, SECOND_THREADS = 6, 3


@dataclass
class Counts:
    half_open: int = 0
    bad: int = 0
    calls: int = 0
    newcomers: int = 0
    descriptors: tuple[int, int] = (0, 0)
    threads: tuple[int, int] = (0, 0)
    wrong: list[str] = field(default_factory=list[str])


def garbage(draw: random.Random) -> bytes:
    """What no honest end says."""
    rest = draw.randbytes(draw.randrange(1, 400))
    size = len(rest).to_bytes(2, "big")
    return draw.choice(
        [
            rest,
            b"\x16\x03\x01" + size + rest,  # a record of a handshake
            b"\x16\x03\x01" + size + b"\x01\x00" + size + rest,  # a client's hello, of no sense
            b"\x16\x03\x01\xff\xff" + rest,
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"GET / HTTP/1.1\r\nHost: party\r\n\r\n",
            lines.MAGIC + rest,
            lines.MAGIC + bytes([0, 1]) + draw.randbytes(24),
        ]
    )


def knock(address: tuple[str, int], content: bytes) -> None:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=30.0) as sock:
        sock.sendall(content)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 12):
            pass


def state() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()


@contextlib.contextmanager
def silent(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """Connections of which half say nothing, and half begin to say something."""
    found: list[socket.socket] = []
    try:
        for number in range(count):
            sock = socket.create_connection(address, timeout=30.0)
            found.append(sock)
            if number % 2:
                sock.sendall(b"\x16" if number % 4 == 1 else lines.MAGIC[:3])
        yield found
    finally:
        for sock in found:
            sock.close()


def work(client: RawClient, until: threading.Event, counts: Counts) -> None:
    p = program("relu_product")
    while not until.is_set():
        counts.calls += 1
        if not p.is_right(client.run(p.call("working"))):
            counts.wrong.append("a result is wrong")


def run(half_open: int = 500, bad: int = 5000, seed: int = 0) -> Counts:
    counts, p = Counts(half_open, bad), program("relu_product")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    draws = [random.Random(seed * 1000 + n) for n in range(bad)]
    with tempfile.TemporaryDirectory() as folder, Three(Path(folder), ["alice", "bob"], Limits(), 60.0) as three:
        address, done = (LOOPBACK, three.addresses[0][1]), threading.Event()
        with RawClient(three, "alice") as alice:
            alice.run(p.call())
            before = state()
            working = threading.Thread(target=work, args=(alice, done, counts))
            with silent(address, half_open) as quiet, ThreadPoolExecutor(STRANGERS) as pool:
                working.start()
                knocking = [pool.submit(knock, address, garbage(draw)) for draw in draws]
                while not all(job.done() for job in knocking):
                    newcomer(three, counts)
                    for sock in quiet[1::4]:  # a byte at a time
                        with contextlib.suppress(OSError):
                            sock.send(b"\x03")
            done.set()
            working.join()
            after = returned(before)
            counts.descriptors, counts.threads = (before[0], after[0]), (before[1], after[1])
            alice.run(p.call())
    if after[0] > before[0] + SECOND_LINES or after[1] > before[1] + SECOND_THREADS:
        counts.wrong.append(f"left open: descriptors {counts.descriptors}, threads {counts.threads}")
    return counts


def newcomer(three: Three, counts: Counts) -> None:
    """A client that comes in the middle of it."""
    p = program("relu_product")
    try:
        with RawClient(three, "bob") as bob:
            if p.is_right(bob.run(p.call("newcomer"))):
                counts.newcomers += 1
            else:
                counts.wrong.append("a newcomer's result is wrong")
    except PartyError as exc:
        counts.wrong.append(f"a newcomer is not served: {exc.what} ({exc.where}): {exc.why}")


def returned(before: tuple[int, int]) -> tuple[int, int]:
    """What is open once it is no more than before, or after so long."""
    until = time.monotonic() + RETURN_S
    most = before[0] + SECOND_LINES, before[1] + SECOND_THREADS
    while any(now > was for now, was in zip(state(), most, strict=True)) and time.monotonic() < until:
        threading.Event().wait(0.05)
    return state()
