"""The parties of a test session: the executor that was chosen, under the faults that were chosen, started once.

What goes in: the options of the pytest plugin. What comes out: contexts in which secure calls run. `active` is what
`jmpc.testing` asks; without a session, calls run where they always do. Imports the rest of jmpc when it is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

LOCAL, MESH, PROCESSES = "local", "mesh", "processes"
EXECUTORS = (LOCAL, MESH, PROCESSES)

_active: list[Session] = []


def active() -> Session | None:
    """The session that runs now; the innermost one where pytest runs in pytest."""
    return _active[-1] if _active else None


class Session:
    """executor: what tests get that name none. faults: a plan's text, a seed, or nothing.

    With a seed, each run of each test meets a fault of its own; `begin` says which test.
    """

    def __init__(self, executor: str = LOCAL, faults: str | None = None) -> None:
        self.executor, self.faults, self.test = executor, faults, ""
        self._runs = 0
        self._plans: list[str] = []
        self._made: dict[tuple[str, str], Any] = {}
        self._stack = contextlib.ExitStack()

    def open(self) -> None:
        _active.append(self)

    def close(self) -> None:
        """End what was started."""
        if self in _active:
            _active.remove(self)
        self._made.clear()
        self._stack.close()

    def begin(self, test: str) -> None:
        self.test, self._runs, self._plans = test, 0, []

    @property
    def last_plan(self) -> str:
        """The faults of the latest run of this test."""
        return self._plans[-1] if self._plans else ""

    @contextlib.contextmanager
    def use(self, name: str | None = None) -> Generator[Any]:
        """Run secure calls on an executor, the chosen one by default, under the session's faults."""
        from jmpc import backends

        name = name or self.executor
        backend = self._under_faults(name) if self.faults else self._once("plain", name)
        with backends.use(backend):
            yield backend

    @contextlib.contextmanager
    def use_faulty(self, name: str | None = None) -> Generator[Any]:
        """Run secure calls at parties whose links a test makes fail by itself."""
        from jmpc import backends

        backend = self._once("faulty", name or self.executor)
        with backends.use(backend):
            yield backend

    def next_plan(self) -> Any:
        """The plan for the next run."""
        from jmpc.testing.faults.plan import FaultPlan

        assert self.faults is not None
        self._runs += 1
        of_run = f"{self.faults.strip()} {self.test} {self._runs}"
        plan = FaultPlan.from_seed(of_run) if self._seeded else FaultPlan.parse(self.faults)
        self._plans.append(str(plan))
        return plan

    @property
    def _seeded(self) -> bool:
        return self.faults is not None and self.faults.strip().isdecimal()

    def _under_faults(self, name: str) -> Any:
        from jmpc.testing.faulty import UnderFaults

        # A plan that was written down is for these tests; one of a seed may be for later rounds than they have.
        return UnderFaults(self._once("faulty", name), self.next_plan, must_act=not self._seeded)

    def _once(self, kind: str, name: str) -> Any:
        if (kind, name) not in self._made:
            make = self._faulty if kind == "faulty" else self._plain
            self._made[kind, name] = make(name)
        return self._made[kind, name]

    def _faulty(self, name: str) -> Any:
        from jmpc.testing.faulty import faulty_backend

        return self._stack.enter_context(faulty_backend(name))

    def _plain(self, name: str) -> Any:
        from jmpc import backends

        if name == PROCESSES:
            from jmpc.client.processes import started
            from jmpc.daemon.children import Settings

            return self._stack.enter_context(started(Settings()))
        if name == MESH:
            from jmpc.executors.placement import Placement

            return backends.MeshBackend(Placement.of_each())
        return backends.LOCAL
