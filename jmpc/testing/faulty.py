"""Three parties whose links can be made to fail: threads over memory channels, or processes behind a relay.

What goes in: an executor's name and a deadline. What comes out: a backend for secure calls; `inject` puts a fault plan
to work on them. The parties run what users' parties run: plans, masks, channels, sessions. Not here: what a run under
faults should end in (`expect.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jmpc import backends
from jmpc.backends import Fed, Kept, LocalBackend, RunStats
from jmpc.client.processes import ProcessBackend, Processes
from jmpc.compiler import Flow
from jmpc.daemon.children import Settings
from jmpc.errors import CheatingDetected, ConfigError, DeadlineError, FrameError, JMPCError, PartyError, PeerError
from jmpc.executors.engine import Wire
from jmpc.executors.local import fresh_keys
from jmpc.executors.masks import streams
from jmpc.executors.run import Counts, Run
from jmpc.executors.segment import Placed
from jmpc.ir.plan import Plan
from jmpc.runtime.failure import Place, completed, from_engine, party_name
from jmpc.runtime.memory import MemoryChannel, Message, memory_channels
from jmpc.testing.faults.expect import recovers, unexplained
from jmpc.testing.faults.injection import Cheating, Injection, Killed, MessageFaults, Way
from jmpc.testing.faults.plan import CORRUPT, ON_WIRES, Fault, FaultPlan, harmful
from jmpc.testing.faults.relay import Relay
from jmpc.testing.faults.virtual_clock import VirtualClock

# For a peer within one round. A message that is dropped between processes costs a test so long, and on a busy machine
# they wake up late; between threads it costs nothing, and who is slow is not late (virtual_clock.py).
DEADLINES_S = {"local": 1.0, "processes": 5.0}
HANGS_S = 200.0  # a run that takes longer than this and a deadline is taken to hang; compiling is part of it


class FaultyParties:
    """A backend whose links fail as they are told, and whose runs end: one that hangs is an AssertionError."""

    injection: Injection
    deadline_s: float

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]:
        """Run in a thread that may hang: the caller does not."""
        work: Future[Any] = Future()

        def guarded() -> None:
            try:
                work.set_result(super(FaultyParties, self).run(flow, fed))  # pyright: ignore[reportAttributeAccessIssue]
            except BaseException as error:
                work.set_exception(error)

        threading.Thread(target=guarded, name="run under faults", daemon=True).start()
        try:
            return work.result(HANGS_S + self.deadline_s)
        except PartyError as error:
            for one in self.injection.acted if self.injection.armed else ():
                error.add_note(f"under the fault {one}")
            raise
        except TimeoutError:
            if work.done():
                raise
            raise AssertionError(f"the run hangs under {self.injection.plan}") from None

    @contextlib.contextmanager
    def inject(self, plan: FaultPlan | Fault | str | int, *, must_act: bool = True) -> Generator[Injection]:
        """Put a plan to work on every run in the block; each of its faults acts once. must_act: a fault that meets no
        message is an AssertionError, since what the block shows it shows without it."""
        plan = FaultPlan.of(plan)
        self.refuse(plan)
        self.injection.arm(plan)
        try:
            yield self.injection
        finally:
            self.injection.disarm()
        ended = harmful([one.fault for one in self.injection.acted])  # nothing meets a message after that
        if must_act and not ended and (why := self.injection.unmet()):
            raise AssertionError(why)

    def refuse(self, plan: FaultPlan) -> None:
        """Raise ConfigError for faults that these parties cannot have."""


class FaultyThreads(FaultyParties, LocalBackend):
    """Three parties in this process, each in a thread, over channels in memory. deadline_s: in a time that passes only
    while all three wait."""

    name = "local"

    def __init__(self, deadline_s: float = DEADLINES_S["local"]) -> None:
        self.injection, self.deadline_s = Injection(), deadline_s
        self._earlier: dict[Way, list[Message]] = {}

    def refuse(self, plan: FaultPlan) -> None:
        if kinds := plan.kinds & {*ON_WIRES}:
            raise ConfigError(
                f"no fault {min(kinds)} between threads",
                where="a fault plan",
                why="it is one of frames, and threads send none",
                todo='use faulty_parties("processes")',
            )

    def prepare(self, flow: Flow) -> None:
        for placed in self._placed(flow):
            self.store.code(placed)

    def _placed(self, flow: Flow) -> list[Placed]:
        """By party."""
        found = flow.placed(self.placement)
        return [Placed([plan], found.placement, found.prf) for plan in found.plans]

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        if self.injection.armed and CORRUPT in self.injection.plan.kinds and not any(map(judges, flow.plans)):
            raise ConfigError(
                f"nothing would notice {self.injection.plan}",
                where=flow.share.name,
                why=f"no party checks what the others send in a program of the family {flow.config.protocol}",
                todo="corrupt what a protocol that verifies sends",
            )
        clock = VirtualClock(len(flow.plans))
        hook = MessageFaults(self.injection, self._earlier, clock.sleep)
        channels, keys = memory_channels(self.deadline_s, hook, clock, len(flow.plans)), fresh_keys(len(flow.plans))
        placed = self._placed(flow)
        errors: list[JMPCError] = []  # in the order in which they happened
        lost: list[JMPCError] = []

        def play(party: int) -> list[np.ndarray]:
            mine, channel = placed[party], channels[party]
            drawn = streams(mine.plans[0], keys[party], mine.prf, mine.inside)
            run = Run(mine, self.store.code(mine), [drawn], Wire(Cheating(channel, self.injection)))
            try:
                with clock.working():
                    (held,) = run([[np.asarray(a) for a in inputs[party]]])
            except Killed:
                lost.append(_lost(channel))
                channel.close()
                return []
            except Exception as error:
                errors.append(_of_party(error, channel))
                channel.close()
                return []
            return [np.asarray(a) for a in held]

        with ThreadPoolExecutor(len(flow.plans)) as pool:
            held = list(pool.map(play, range(len(flow.plans))))
        self._earlier = hook.seen
        if errors or lost:
            raise root(errors or lost)  # who was killed says nothing: it is for the others to miss it
        sent = [c.traffic.sent for c in channels]
        return held, Counts(max(c.traffic.rounds for c in channels), sent)


class FaultyProcesses(FaultyParties, ProcessBackend):
    """Three processes over TLS, all of whose connections go through a relay in this process."""

    def __init__(self, cluster: Processes, injection: Injection, deadline_s: float) -> None:
        super().__init__(cluster)
        self.injection, self.deadline_s = injection, deadline_s

    def refuse(self, plan: FaultPlan) -> None:
        if CORRUPT in plan.kinds:
            raise ConfigError(
                f"no fault {CORRUPT} between processes",
                where="a fault plan",
                why="what a party sends is sealed before it passes here",
                todo='use faulty_parties("local")',
            )


def judges(plan: Plan) -> bool:
    """Whether a party stops on what it finds, in a step or in a loop."""
    return any(step.verdicts or any(judges(loop.body) for loop in step.loops) for step in plan.steps)


def root(errors: Sequence[JMPCError]) -> JMPCError:
    """Of the errors of one run, in the order in which they happened, the one that explains the others: what
    somebody refused first, then the earliest round."""

    def rank(error: JMPCError) -> tuple[int, int]:
        place = error.where if isinstance(error.where, Place) else Place()
        found = isinstance(error, FrameError | CheatingDetected)
        kind = 0 if found else 1 if type(error) in (PartyError, DeadlineError) else 2
        return kind, place.round_no if place.round_no is not None else -1

    first = min(errors, key=rank)
    for error in errors:
        if error is not first:
            first.add_note(f"{type(error).__name__}: {error.what} ({error.where})")
    return first


def _of_party(error: BaseException, channel: MemoryChannel) -> JMPCError:
    round_no = max(channel.round_no, 0)
    if isinstance(error, JMPCError):
        return completed(error, channel.party, "run", round_no)
    return from_engine(error, Place(party=channel.party, phase="run", round_no=round_no))


def _lost(channel: MemoryChannel) -> JMPCError:
    """What the driver sees of a party that is gone when nobody waits for it any more."""
    name, place = party_name(channel.party), Place(party=channel.party, phase="run", round_no=channel.round_no)
    return PeerError(f"{name} was lost", where=place, why="it was killed")


@contextlib.contextmanager
def faulty_backend(
    executor: str = "local", deadline_s: float | None = None
) -> Generator[FaultyThreads | FaultyProcesses]:
    """Make three parties, and end them. executor: "local" or "processes". Raises ConfigError."""
    deadline_s = deadline_s or DEADLINES_S.get(executor, 0.0)
    if executor == "local":
        yield FaultyThreads(deadline_s)
    elif executor == "processes":
        injection = Injection()
        with contextlib.ExitStack() as stack:
            relay = stack.enter_context(contextlib.closing(Relay(injection)))
            settings = Settings(deadline_s=deadline_s, route=relay.route)
            cluster = stack.enter_context(contextlib.closing(Processes(settings)))
            relay.kill = lambda party: os.kill(cluster.pids[party], signal.SIGKILL)
            yield FaultyProcesses(cluster, injection, deadline_s)
    else:
        raise ConfigError(
            f"no faults on the executor {executor!r}",
            where="faulty_parties",
            why="its parties send no messages: there is nothing to drop",
            todo='use "local" or "processes"',
        )


@contextlib.contextmanager
def faulty_parties(
    executor: str = "local", deadline_s: float | None = None
) -> Generator[FaultyThreads | FaultyProcesses]:
    """Run secure calls at three parties whose links can be made to fail.

        with faulty_parties() as parties, parties.inject("flip:0-1@2"), aborts(FrameError, party=1, round_no=2):
            score(x)

    executor: "local", threads of this process, or "processes". deadline_s: for a peer within one round; between threads
    it passes only while all three wait, so that it takes no time, and a busy machine is not late.
    """
    with faulty_backend(executor, deadline_s) as backend, backends.use(backend):
        yield backend


class UnderFaults(backends.OfEverybody):
    """Runs each program under a plan of faults, sees to it that the run ends as it should, and runs it again.

    Calls that go through it give right results, or an AssertionError: so any test can be run under faults.
    plans: called for the plan of each run.  must_act: a plan that meets no message is an AssertionError too; not so by
    default, since plans that are drawn may be for later rounds than a program has.
    """

    def __init__(
        self, parties: FaultyThreads | FaultyProcesses, plans: Callable[[], FaultPlan], must_act: bool = False
    ) -> None:
        self.parties, self.plans, self.must_act, self.name = parties, plans, must_act, parties.name

    def prepare(self, flow: Flow) -> Any:
        return self.parties.prepare(flow)

    def run(self, flow: Flow, fed: Sequence[Fed]) -> tuple[list[np.ndarray | Kept], RunStats]:
        plan = self.plans()
        if plan.needs_earlier_session:
            self.parties.run(flow, fed)
        with self.parties.inject(plan, must_act=self.must_act) as injection:
            try:
                found = self.parties.run(flow, fed)
            except PartyError as error:
                if why := unexplained(error, injection.acted):
                    raise AssertionError(f"under {plan} the run aborted, but {why}\n{error}") from error
            else:
                if survived := harmful([one.fault for one in injection.acted]):
                    raise AssertionError(f"the run ended without an error under {survived[0]}")
                if not injection.acted:
                    return found
        return recovers(self.parties.run, flow, fed)
