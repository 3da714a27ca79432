"""Moves bytes between pairs of sockets, each direction through a `Shaper`: order, ends and resets come out as they
went in.

In: connected sockets. Out: nothing, until they end. One thread waits for all of them, to the microsecond. A direction
holds what its link has under way; where the reader is slow it stops reading, so that the writer is held back.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.links.shaper import Shaper

END, RESET = "end", "reset"
_NO_LINGER = struct.pack("ii", 1, 0)
_IDLE_S = 1.0
_BUFFERS = 256


class Buffers:
    """Memory of one size, used again: fresh memory of this size costs the kernel more than copying does."""

    def __init__(self) -> None:
        self._free: dict[int, list[bytearray]] = {}

    def take(self, size: int) -> bytearray:
        free = self._free.get(size)
        return free.pop() if free else bytearray(size)

    def give(self, buffer: bytearray) -> None:
        free = self._free.setdefault(len(buffer), [])
        if len(free) < _BUFFERS:
            free.append(buffer)


@dataclass(eq=False)
class Flow:
    """One direction of a connection. held: (when it arrives, its memory, what of it is undelivered, or how it ends)."""

    source: socket.socket
    sink: socket.socket
    link: Shaper
    held: deque[tuple[float, bytearray, memoryview | str]] = field(
        default_factory=deque[tuple[float, bytearray, memoryview | str]]
    )
    under_way: int = 0
    ended: bool = False  # nothing more is read
    done: bool = False  # nothing more is delivered
    blocked: bool = False  # the sink takes nothing at the moment

    def may_read(self) -> bool:
        return not self.ended and self.under_way < self.link.window

    def read(self, now: float, buffers: Buffers) -> None:
        """Take in what the source has, once."""
        buffer = buffers.take(self.link.chunk)
        try:
            size = self.source.recv_into(buffer)
        except BlockingIOError:
            buffers.give(buffer)
            return
        except OSError:
            self.end(now, RESET)
            return
        if not size:
            self.end(now, END)
            return
        self.held.append((self.link.admit(now, size), buffer, memoryview(buffer)[:size]))
        self.under_way += size

    def end(self, now: float, how: str) -> None:
        """What comes last; it arrives after all that is under way."""
        if not self.ended:
            self.ended = True
            self.held.append((self.link.admit(now, 0), bytearray(), how))

    def deliver(self, now: float, buffers: Buffers) -> str:
        """Hand over what has arrived; RESET where that ends the connection."""
        while self.held and self.held[0][0] <= now:
            arrives, buffer, data = self.held[0]
            if isinstance(data, str):
                self.held.popleft()
                self.done = True
                if data == END:
                    with contextlib.suppress(OSError):
                        self.sink.shutdown(socket.SHUT_WR)
                return data
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                self.blocked = True
                return ""
            self.under_way -= sent
            if sent < len(data):
                self.held[0] = (arrives, buffer, data[sent:])
                self.blocked = True
                return ""
            self.held.popleft()
            data.release()
            buffers.give(buffer)
        return ""


class Pump:
    """All connections of one pair of hosts. clock, wait: the machine's; a test has its own."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[..., tuple[list[int], list[int], list[int]]] = select.select,
    ) -> None:
        self._clock, self._wait = clock, wait
        self._buffers = Buffers()
        self._flows: list[tuple[Flow, Flow]] = []

    def connect(self, near: socket.socket, far: socket.socket, there: Shaper, back: Shaper) -> None:
        """Pass on what comes at either of two sockets to the other, until both have ended."""
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._flows.append((Flow(near, far, there), Flow(far, near, back)))

    @property
    def connections(self) -> int:
        return len(self._flows)

    def step(self, others: Sequence[int] = ()) -> bool:
        """Wait until something can be done and do it; whether one of `others` can be read."""
        now = self._clock()
        readers: dict[int, Flow] = {}
        writers: dict[int, Flow] = {}
        wakes = now + _IDLE_S
        for flow in (flow for pair in self._flows for flow in pair):
            if flow.may_read():
                opens = flow.link.opens_at()
                if opens <= now:
                    readers[flow.source.fileno()] = flow
                else:
                    wakes = min(wakes, opens)
            if flow.blocked:
                writers[flow.sink.fileno()] = flow
            elif flow.held:
                wakes = min(wakes, flow.held[0][0])
        ready, free, _ = self._wait([*readers, *others], list(writers), [], max(0.0, wakes - now))
        now = self._clock()
        for fd in ready:
            if fd in readers:
                readers[fd].read(now, self._buffers)
        for fd in free:
            writers[fd].blocked = False
        self._deliver()
        return any(fd in others for fd in ready)

    def close(self) -> None:
        """End every connection."""
        for pair in self._flows:
            self._cut(pair)
        self._flows = []

    def _deliver(self) -> None:
        ended: list[tuple[Flow, Flow]] = []
        for pair in self._flows:
            now = self._clock()
            for flow, other in (pair, pair[::-1]):
                try:
                    how = flow.deliver(now, self._buffers) if not flow.blocked else ""
                except OSError:  # the sink is gone: its end of the other direction says so to the source
                    flow.held.clear()
                    flow.ended = flow.done = True
                    other.end(now, RESET)
                    continue
                if how == RESET:
                    self._cut(pair)
                    ended.append(pair)
                    break
            else:
                if all(flow.done for flow in pair):
                    self._close(pair)
                    ended.append(pair)
        self._flows = [pair for pair in self._flows if pair not in ended]

    @staticmethod
    def _cut(pair: tuple[Flow, Flow]) -> None:
        """Reset both ends, whatever is under way."""
        for flow in pair:
            with contextlib.suppress(OSError):
                flow.sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            flow.sink.close()

    @staticmethod
    def _close(pair: tuple[Flow, Flow]) -> None:
        for flow in pair:
            flow.sink.close()
