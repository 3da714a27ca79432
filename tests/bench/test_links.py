"""Shaped links: what goes in comes out, in order and to the end; when it does is reckoned on a clock of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.links import namespaces
from bench.links.dialler import party_of, process_at
from bench.links.profiles import PROFILES
from bench.links.pump import Flow, Pump
from bench.links.relay import CLIENT, Links
from bench.links.shaper import Shaper
from bench.links.tunnel import Way
from jmpc.config import NETWORKS, Network

PATIENCE_S = 10.0  # of a test that would wait for ever if what it tests were wrong
FAST = Network("fast", 0.0005, 50e6)
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    yield
    socket.setdefaulttimeout(before)


# --- the arithmetic of a link


@given(
    st.floats(0.0, 0.1),
    st.floats(1e4, 1e9),
    st.lists(st.tuples(st.floats(0.0, 0.5), st.integers(0, 1 << 20)), min_size=1, max_size=30),
)
def test_a_link_is_a_queue_of_its_bandwidth_and_then_its_latency(
    latency_s: float, bandwidth: float, given_in: list[tuple[float, int]]
) -> None:
    link, now, last, busy_until = Shaper(latency_s, bandwidth), 0.0, 0.0, 0.0
    for wait, size in given_in:
        now += wait
        busy_until = max(busy_until, now) + size / bandwidth
        arrives = link.admit(now, size)
        assert arrives == pytest.approx(busy_until + latency_s)
        assert arrives >= max(last, now + latency_s)
        last = arrives


@given(st.integers(1, 1 << 22), st.integers(1, 40), st.floats(0.0, 0.05))
def test_a_message_takes_latency_and_its_bytes_however_it_is_cut(size: int, parts: int, latency_s: float) -> None:
    whole, cut = Shaper(latency_s, 12.5e6), Shaper(latency_s, 12.5e6)
    sizes = [size // parts] * (parts - 1) + [size - size // parts * (parts - 1)]
    assert [cut.admit(0.0, each) for each in sizes][-1] == pytest.approx(whole.admit(0.0, size))


def test_all_connections_of_a_link_share_its_bandwidth_and_what_is_not_used_is_lost() -> None:
    link = Shaper(0.0, 1000.0)
    assert link.admit(0.0, 500) == 0.5
    assert link.admit(0.0, 500) == 1.0  # another connection's, at the same time
    assert link.admit(5.0, 100) == 5.1


def test_a_link_takes_little_before_its_turn() -> None:
    link = Shaper(0.02, 12.5e6)
    while link.opens_at() <= 0.0:
        link.admit(0.0, link.chunk)
    assert link.free_at <= 0.06


def test_profiles_state_one_way_as_the_configuration_does() -> None:
    assert {p.config for p in PROFILES.values()} <= set(NETWORKS)
    for name in ("metro", "wan"):
        assert (PROFILES[name].link.latency_s, PROFILES[name].link.bandwidth) == (
            NETWORKS[name].latency_s,
            NETWORKS[name].bandwidth,
        )
    assert "100 Mbit/s, 40 ms round trip" in PROFILES["wan"].text


# --- the pump, on a clock of its own


class Clock:
    """A clock that stands still but for waits, which end when asked to and not before."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def wait(self, readers: list[int], writers: list[int], _: list[int], wait_s: float) -> tuple[list[int], ...]:

        ready = select.select(readers, writers, [], 0)
        if not any(ready):
            self.now += wait_s
        return ready


def joined(link: Shaper, back: Shaper) -> tuple[Pump, Clock, socket.socket, socket.socket]:
    clock = Clock()
    pump = Pump(clock.read, clock.wait)  # pyright: ignore[reportArgumentType]
    one, other = through(pump, link, back)
    return pump, clock, one, other


def through(pump: Pump, link: Shaper, back: Shaper) -> tuple[socket.socket, socket.socket]:
    """The ends of a connection through the pump."""
    (one, near), (far, other) = connected(), connected()
    pump.connect(near, far, link, back)
    return one, other


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


def arrival(pump: Pump, clock: Clock, flow: Flow, sock: socket.socket, size: int) -> tuple[float, bytes]:
    """When the last of so many bytes, which were sent at one end, is handed over at the other; and the bytes."""
    while unread(flow.source) < size:
        pass  # the kernel's time is none of the clock's
    while unread(flow.source) or flow.held:
        pump.step()
        assert clock.now < 600.0, "they do not arrive"
    return clock.now, received(sock, size)


def unread(sock: socket.socket) -> int:
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]


def received(sock: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        part = sock.recv(size - len(got))
        assert part, "the connection ended"
        got += part
    return bytes(got)


@given(st.integers(1, 60_000), st.floats(0.0, 0.05), st.floats(1e5, 1e9))
@settings(max_examples=20, deadline=None)
def test_bytes_arrive_unchanged_when_the_link_says(size: int, latency_s: float, bandwidth: float) -> None:
    pump, clock, one, other = joined(Shaper(latency_s, bandwidth), Shaper(latency_s, bandwidth))
    with one, other, contextlib.closing(pump):
        (there, back) = pump._flows[0]
        data = random.Random(size).randbytes(size)
        one.sendall(data)
        when, got = arrival(pump, clock, there, other, size)
        assert got == data
        assert when == pytest.approx(latency_s + size / bandwidth, abs=1e-9)
        other.sendall(data[::-1])
        then, got = arrival(pump, clock, back, one, size)
        assert got == data[::-1]
        assert then - when == pytest.approx(latency_s + size / bandwidth, abs=1e-9)


def test_two_connections_share_a_link() -> None:
    link, size = Shaper(0.0, 1e6), 20_000
    pump, clock, one, other = joined(link, Shaper())
    two, another = through(pump, link, Shaper())
    with one, other, two, another, contextlib.closing(pump):
        one.sendall(bytes(size))
        two.sendall(bytes(size))
        while unread(pump._flows[1][0].source) < size:
            pass
        first, _ = arrival(pump, clock, pump._flows[0][0], other, size)
        assert first > 1.5 * size / 1e6  # they take turns
        while unread(pump._flows[1][0].source) or pump._flows[1][0].held:
            pump.step()
        assert clock.now == pytest.approx(2 * size / 1e6)
        assert received(another, size) == bytes(size)


def test_what_a_slow_reader_leaves_is_kept_for_it() -> None:
    pump = Pump()
    one, other = through(pump, Shaper(), Shaper())
    with one, other, contextlib.closing(pump):
        flow = pump._flows[0][0]
        data, sent, got = random.Random(0).randbytes(1 << 24), 0, list[bytes]()
        one.setblocking(False)
        while not flow.blocked:
            with contextlib.suppress(BlockingIOError):
                sent += one.send(data[sent : sent + (1 << 16)])
            pump.step()
            assert sent < len(data), "the sockets hold all of it"
        reader = threading.Thread(target=lambda: got.append(received(other, sent)))
        reader.start()
        until = time.monotonic() + PATIENCE_S
        while reader.is_alive() and time.monotonic() < until:
            pump.step()
        reader.join()
        assert got == [data[:sent]]


# --- real processes


def echo() -> tuple[socket.socket, threading.Thread]:
    """A host that returns what it gets, and ends its half when the other has."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                while data := sock.recv(1 << 16):
                    sock.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return server, thread


@pytest.fixture(scope="module")
def links() -> Iterator[Links]:
    with Links() as made:
        made.shape(FAST)
        yield made


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[str, int]]:
    server, thread = echo()
    yield server.getsockname()[:2]
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(PATIENCE_S)


@pytest.mark.parametrize("size", [1, 1000, 3 << 20, 5 << 20])
def test_a_relay_passes_on_what_is_sent_however_it_is_cut(links: Links, host: tuple[str, int], size: int) -> None:
    draw = random.Random(size)
    data = draw.randbytes(size)
    with socket.create_connection(links.port(0, host, dialler=1)) as sock:

        def send() -> None:
            at = 0
            while at < len(data):
                step = draw.choice((1, 100, 1 << 12, 1 << 18))
                sock.sendall(data[at : at + step])
                at += step
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        while part := sock.recv(draw.choice((1 << 10, 1 << 16))):
            got += part
        sender.join()
    assert got == data


def test_half_of_a_connection_may_end_and_the_other_goes_on(links: Links) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(links.port(1, server.getsockname()[:2], dialler=2)) as sock:
        sock.shutdown(socket.SHUT_WR)
        far, _ = server.accept()
        with far:
            assert far.recv(1) == b""
            far.sendall(b"still here")
            assert sock.recv(64) == b"still here"
        assert sock.recv(1) == b""


def test_a_reset_is_passed_on_as_one(links: Links) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server:
        for way in (0, 1):
            near = socket.create_connection(links.port(2, server.getsockname()[:2], dialler=0))
            far, _ = server.accept()
            near.sendall(b"x")
            assert far.recv(1) == b"x"
            ends, sees = (near, far) if way == 0 else (far, near)
            ends.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            ends.close()
            with sees, pytest.raises(ConnectionResetError):
                sees.recv(1)


def test_a_reader_that_waits_holds_the_writer_back(links: Links) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(links.port(0, server.getsockname()[:2], dialler=2)) as near:
        far, _ = server.accept()
        with far:
            near.setblocking(False)
            sent, data = 0, bytes(1 << 20)
            while sent < 1 << 28:  # far more than any link holds
                try:
                    sent += near.send(data)
                except BlockingIOError:
                    if not select.select([], [near], [], 2.0)[1]:
                        break
            assert sent < 1 << 28
            far.settimeout(10.0)
            assert len(far.recv(1 << 16)) > 0


def test_a_host_that_does_not_listen_is_an_ended_connection(links: Links) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()[:2]
    with socket.create_connection(links.port(0, address, dialler=1)) as sock:
        assert sock.recv(1) == b""


def test_a_cable_carries_packets_whole_each_in_its_time() -> None:
    (one, near), (far, other) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
    for sock in (near, far):
        sock.setblocking(False)
    way = Way(near.fileno(), far.fileno(), Shaper(0.02, 1e5))
    with one, near, far, other:
        one.send(b"a" * 1000)
        one.send(b"b" * 500)
        way.read(0.0)
        assert [arrives for arrives, _ in way.held] == pytest.approx([0.01 + 0.02, 0.015 + 0.02])
        way.deliver(0.029)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        way.deliver(0.036)
        assert [other.recv(4096) for _ in range(2)] == [b"a" * 1000, b"b" * 500]
        one.send(b"c" * 20_000)
        way.read(0.036)
        one.send(b"d")
        way.read(0.037)  # the link is busy for long: the device keeps it, or loses it
        assert len(way.held) == 1


# --- who dials


def test_who_dials_is_found_by_the_connection() -> None:
    program = (
        "import socket, sys\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "print('in', flush=True)\ninput()"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, "-c", program, port, "--party", "2"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            sock, came_from = server.accept()
            assert process_at(came_from, os.getpid()) == child.pid
            assert party_of(child.pid) == 2
            child.communicate(b"\n")
            sock.close()
        with socket.create_connection(server.getsockname()) as own:
            assert process_at(own.getsockname()[:2], os.getpid()) == os.getpid()
            assert party_of(os.getpid()) is None
    assert CLIENT == 3


# --- namespaces


def test_queues_of_the_kernel_are_told_the_bandwidth_and_what_latency_they_can_hold() -> None:
    link = PROFILES["wan"].link
    assert namespaces._queue(link, delays=True)[:5] == ["netem", "delay", "20000us", "rate", "100000000bit"]
    assert namespaces._queue(link, delays=False)[:5] == ["tbf", "rate", "100000000bit", "burst", "131072"]
    assert namespaces._queue(Network("none", 0.0, float("inf")), delays=False) == []
    assert namespaces._queue(Network("none", 0.0, float("inf")), delays=True) == []


def test_a_pair_of_hosts_has_its_own_addresses() -> None:
    found = {
        namespaces._address(a, b, host)
        for a in range(namespaces.HOSTS)
        for b in range(namespaces.HOSTS)
        if a != b
        for host in (a, b)
    }
    assert len(found) == namespaces.HOSTS * (namespaces.HOSTS - 1)


def made_or_reason(tunnels: bool = False) -> namespaces.Namespaces | str:
    try:
        return namespaces.Namespaces(tunnels=tunnels)
    except namespaces.Unavailable as reason:
        return str(reason)


def test_a_machine_without_the_tools_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert made_or_reason() == "there is no ip here"


@pytest.mark.parametrize("tunnels", [False, True])
def test_namespaces_carry_bytes_or_say_why_they_cannot(host: tuple[str, int], tunnels: bool) -> None:
    made = made_or_reason(tunnels)
    if isinstance(made, str):
        assert "ip" in made or "TUN" in made  # what was refused
        return
    with made, Links(made) as links:
        links.shape(FAST)
        data = random.Random(1).randbytes(1 << 20)
        with socket.create_connection(links.port(0, host, dialler=1)) as sock:
            sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
            sender.start()
            got = b""
            while part := sock.recv(1 << 16):
                got += part
            sender.join()
    assert got == data
