"""The processes of one party on several hosts of its own, joined by `jax.distributed`: its head says, the others hear.

In: where the head listens, how many processes there are, which of them this is. Out: `Hosts`, which carries what the
head says to all of them over JAX's collectives, and runs what they run together within a deadline.

JAX's connections between these processes are neither encrypted nor authenticated: shares, mask keys and programs
travel over them in the clear. They belong on a network of the party alone; a public address is refused unless its
operator says that it is such a network all the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from jmpc import _jax, _typed
from jmpc.errors import HostError
from jmpc.executors.host_order import HEAD, HostOrder, check_address

T = TypeVar("T")
_FIRST_BYTES, _HEADER = 1024, 3  # of the first message; words of it that say what follows
_HEARTBEAT_S = 10  # after which JAX takes a process for dead
_SHUTDOWN_S = 5
_NEVER_S = 86_400  # JAX ends the process where its own patience ends: ours ends before, and says what is wrong


class Word(IntEnum):
    """What the head says."""

    IDLE, GREET, LOAD, FORGET, RUN, ROUND, ABORT, STOP = range(8)


class Hosts:
    """Made by `join`, once in a process and before JAX is asked for a device. Threads take turns (`HeadEngine`).
    when_lost: told once, that nothing goes on here any more."""

    def __init__(self, order: HostOrder, when_lost: Callable[[HostError], None] = lambda error: None) -> None:
        self.order = order
        self.broken: HostError | None = None
        self._when_lost, self._losing = when_lost, threading.Lock()
        self._one = ThreadPoolExecutor(1, "jmpc hosts")

    @classmethod
    def join(cls, order: HostOrder, when_lost: Callable[[HostError], None] = lambda error: None) -> Hosts:
        """Wait for all processes of the party. Raises ConfigError for an address that is no place for them, HostError
        where they do not come: this process ends then, for JAX goes on to wait."""
        check_address(order.address, order.public)
        _typed.settings.update("jax_cpu_collectives_implementation", "gloo")
        # Without it JAX ends this process where another is lost, with no word to the sessions that run.
        _typed.settings.update("jax_enable_recoverability", True)
        hosts = cls(order, when_lost)
        try:
            hosts._one.submit(_initialize, order).result(order.launch_s)
        except (TimeoutError, RuntimeError, ValueError) as exc:
            raise HostError(
                f"the {order.count} hosts of this party did not meet",
                where=order.said,
                why=f"JAX gave up ({type(exc).__name__}): one is not started, or the address does not lead to the head",
                todo=f"start all of them within {order.launch_s:g} s, with the same address and count",
            ) from exc
        return hosts

    def say(self, word: Word, content: bytes = b"") -> None:
        """At the head: tell all followers."""
        first = np.zeros(_FIRST_BYTES // 4, np.uint32)
        first[:_HEADER] = word, len(content) & 0xFFFFFFFF, len(content) >> 32
        room = _FIRST_BYTES - 4 * _HEADER
        first[_HEADER:].view(np.uint8)[: len(content[:room])] = np.frombuffer(content[:room], np.uint8)
        self.together(lambda: _spread(first))
        if rest := content[room:]:
            padded = np.zeros(_padded(len(rest)), np.uint32)
            padded.view(np.uint8)[: len(rest)] = np.frombuffer(rest, np.uint8)
            self.together(lambda: _spread(padded))

    def hear(self) -> tuple[Word, bytes]:
        """At a follower: what the head says next, which says something every few seconds."""
        first = self.together(lambda: _spread(np.zeros(_FIRST_BYTES // 4, np.uint32)), self.order.patience_s)
        size = int(first[1]) | int(first[2]) << 32
        content = first[_HEADER:].tobytes()[:size]
        if (left := size - len(content)) > 0:
            content += self.together(lambda: _spread(np.zeros(_padded(left), np.uint32))).tobytes()[:left]
        return Word(int(first[0])), content

    def meet(self) -> None:
        """Wait until all processes are here."""
        self.together(lambda: _spread(np.zeros(1, np.uint32)), self.order.patience_s)

    def together(self, call: Callable[[], T], within_s: float | None = None) -> T:
        """What all processes do at once. Raises HostError where another does not take part in time, and from then on:
        what they did last is not known, so that they are started again, all of them."""
        if self.broken:
            raise self.broken
        limit = self.order.deadline_s if within_s is None else within_s
        try:
            return self._one.submit(_within_x64, call).result(limit)
        except TimeoutError:
            why = f"it took no part within {limit:g} s"
        except Exception as exc:
            why = f"JAX's collective ended with {type(exc).__name__}"
        raise self.lost(why)

    def lost(self, why: str) -> HostError:
        """From now on nothing goes on here. The error to raise."""
        with self._losing:
            if self.broken:
                return self.broken
            others = [f"host {index}" for index in range(self.order.count) if index != self.order.index]
            self.broken = HostError(
                f"{' or '.join(others)} of this party itself was lost",
                where=self.order.said,
                why=why,
                todo="start the party again on all its hosts; the other parties have done nothing wrong",
            )
        self._when_lost(self.broken)
        return self.broken

    def close(self) -> None:
        """Leave, the head last: JAX ends a process whose head is gone. A call that still waits for another process is
        left behind with its thread."""
        if not self.broken:
            if self.order.index == HEAD:
                with contextlib.suppress(HostError):  # it takes part in nothing any more, and then its connection ends
                    self.together(lambda: _spread(np.zeros(1, np.uint32)), _SHUTDOWN_S)
            jax.distributed.shutdown()
        self._one.shutdown(wait=False, cancel_futures=True)


def _initialize(order: HostOrder) -> None:
    jax.distributed.initialize(
        order.address,
        order.count,
        order.index,
        cluster_detection_method="deactivate",
        initialization_timeout=_NEVER_S,
        heartbeat_timeout_seconds=_HEARTBEAT_S,
        shutdown_timeout_seconds=_SHUTDOWN_S,
        coordinator_bind_address=order.address,
    )


def _within_x64(call: Callable[[], T]) -> T:
    with _jax.x64():
        return call()


def _spread(words: np.ndarray) -> np.ndarray:
    """Of the head's words to all."""
    found = cast(Any, multihost_utils).broadcast_one_to_all(words)
    return np.asarray(found)


def _padded(size: int) -> int:
    """Words for so many bytes: one of a few sizes, for each of which JAX compiles."""
    return 1 << max(size - 1, 3).bit_length() >> 2
