"""A call that runs by itself at a cluster: how far it is, what it gives, and how to give it up.

In: the work, which a thread of its own does. Out: a `Job`, which is waited for or awaited. What it is expected to take
comes from the cost model while no round is done, and from the pace of the rounds after that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from jmpc.client.waiting import Waker
from jmpc.compiler import Flow
from jmpc.errors import DeadlineError
from jmpc.party.report import cost_report


@dataclass(frozen=True)
class Progress:
    """rounds, of: done by the slowest party, and of all; 0 of 0 until the parties have the call.  waits: for what it
    has not begun yet, or nothing.  remaining_s: what is expected, None where nothing can be."""

    rounds: int = 0
    of: int = 0
    waits: str = ""
    remaining_s: float | None = None
    done: bool = False

    def __str__(self) -> str:
        if self.done:
            return "done"
        if self.waits or not self.of:
            return f"waits {self.waits}" if self.waits else "is prepared"
        left = "" if self.remaining_s is None else f", {self.remaining_s:.3g} s left"
        return f"round {self.rounds} of {self.of}{left}"


class Watch:
    """What is known of one call while it runs. Its thread tells it, any may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[int, tuple[int, int, str]] = {}
        self._predicted = 0.0
        self._began: tuple[float, int] | None = None  # when the first round was seen done, and which

    def started(self, flow: Flow) -> None:
        """The parties have the call."""
        predicted = cost_report(flow.plans, flow.config.network).seconds
        with self._lock:
            self._predicted = predicted

    def heard(self, party: int, fields: dict[str, Any]) -> None:
        """A party says how far it is."""
        with self._lock:
            self._said[party] = fields["rounds"], fields["of"], fields["waits"]
            rounds = min(rounds for rounds, _, _ in self._said.values())
            if rounds and self._began is None:
                self._began = time.monotonic(), rounds

    @property
    def parties(self) -> list[int]:
        """Those that have the call."""
        with self._lock:
            return sorted(self._said)

    @property
    def progress(self) -> Progress:
        with self._lock:
            if not self._said:
                return Progress(remaining_s=self._predicted or None)
            rounds, of = min(r for r, _, _ in self._said.values()), max(of for _, of, _ in self._said.values())
            waits = next((why for _, _, why in self._said.values() if why), "")
            return Progress(rounds, of, waits, None if waits else self._remaining(rounds, of))

    def _remaining(self, rounds: int, of: int) -> float:
        if self._began is None or rounds <= self._began[1]:
            return self._predicted * (1 - rounds / of) if of else self._predicted
        since, first = self._began
        return (time.monotonic() - since) / (rounds - first) * (of - rounds)


class Job:
    """A call on its way: `await` it, or ask for its `result()`. It ends with this process, unless it is detached."""

    def __init__(self, name: str, work: Callable[[Job], Any]) -> None:
        """name: of the function.  work: makes the call, and tells `watch` and `waker` how it goes."""
        self.name, self.watch, self.waker = name, Watch(), Waker()
        self._future: Future[Any] = Future()
        context = copy_context()  # the settings of JAX among others, as they are here

        def run() -> None:
            try:
                found = context.run(work, self)
            except BaseException as error:
                self._end(self._future.set_exception, error)
            else:
                self._end(self._future.set_result, found)
            finally:
                self.waker.close()

        self._future.add_done_callback(self._given_up)
        threading.Thread(target=run, name=f"jmpc call {name}", daemon=True).start()

    @staticmethod
    def _end(tell: Callable[[Any], None], found: Any) -> None:
        with suppress(InvalidStateError):  # it was cancelled, and nobody waits for what it gives
            tell(found)

    def _given_up(self, future: Future[Any]) -> None:
        if future.cancelled():
            self.waker.wake()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(done=True) if self._future.done() else self.watch.progress

    def done(self) -> bool:
        """It has a result, or an error, or was cancelled."""
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> Any:
        """What the call gives, once it does. Raises what it raises, CancelledError, and DeadlineError where it is not
        done in time: then it goes on."""
        try:
            return self._future.result(timeout_s)
        except TimeoutError:
            if self._future.done():
                raise
            raise DeadlineError(
                f"{self.name} is not done",
                where="result(timeout_s=...)",
                why=f"{timeout_s:g} s have passed; {self.progress}",
                todo="wait for longer, or give it up: cancel()",
            ) from None

    def cancel(self) -> bool:
        """Give the call up: all parties end it, and nothing of it stays. False where it was done already. Cancelling a
        task that awaits the job does the same."""
        return self._future.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self._future).__await__()

    def __repr__(self) -> str:
        return f"<job {self.name}: {self.progress}>"
