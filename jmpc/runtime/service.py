"""What a party does for its driver: load, compile, run, unload, drop, one command at a time.

In: commands over the driver's control link. Out: one answer to each, `failed` included. Outputs leave, and
arrays are stored, only once the driver says that all parties finished. Ends with the driver's link.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jmpc.errors import ArgumentError, HandshakeError, JMPCError, PartyError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.engine import Engine
from jmpc.runtime.failure import Place, completed, foreign, from_engine, to_record
from jmpc.runtime.messages import describe, sizes_checked
from jmpc.runtime.session import Neighbourhood, Outcome, Session

_COMMANDS = ("load", "compile", "run", "unload", "drop", "abort")


class PartyService:
    """One party's engine and stored arrays, at the driver's service."""

    def __init__(self, here: Neighbourhood, engine: Engine) -> None:
        self._here, self._engine = here, engine
        self._driver: ControlLink = here.driver
        self._programs: set[str] = set()
        self._stored: dict[str, np.ndarray] = {}

    def serve(self) -> None:
        """Answer commands until the driver is gone; raises if the driver breaks the protocol."""
        while self._driver.alive:
            self._driver.phase = "idle"
            try:
                kind, fields = self._driver.receive(_COMMANDS, None)
            except PartyError:
                if self._driver.alive:
                    raise
                return
            self._answer(kind, fields)

    def _answer(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "abort":
            return  # It crossed our own report of the same failure.
        if kind == "run":
            self._run(fields)
            return
        self._driver.phase = kind
        body = self._driver.receive_bytes(fields["bytes"], self._deadline()) if kind == "load" else b""
        try:
            answer, more = self._simple(kind, fields, body)
        except Exception as exc:
            self._report(self._own(exc, kind), kind, relayed=False)
        else:
            self._driver.send(answer, more, self._deadline())

    def _simple(self, kind: str, fields: dict[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
        if kind == "load":
            program = self._engine.load(body.decode("utf-8"))
            self._programs.add(program)
            return "loaded", {"program": program}
        if kind == "compile":
            self._need(fields["program"])
            self._engine.compile(fields["program"])
            return "compiled", {}
        if kind == "unload":
            if fields["program"] in self._programs:
                self._programs.remove(fields["program"])
                self._engine.unload(fields["program"])
            return "unloaded", {}
        self._stored.pop(fields["handle"], None)
        return "dropped", {}

    def _run(self, fields: dict[str, Any]) -> None:
        self._driver.phase = "input"
        with foreign(Place(party=self._here.party, phase="input", peer=self._driver.peer)):
            specs = sizes_checked([(dtype, shape) for handle, dtype, shape in fields["inputs"] if not handle])
        sent = self._driver.receive_arrays(specs, self._deadline())
        session = Session(self._here, fields["epoch"], fields["session"], fields["program"])
        try:
            self._need(fields["program"])
            outcome = session.run(self._engine, self._inputs(fields["inputs"], sent))
            session.phase = "output"
            self._finish(session, outcome, dict(fields["keep"]))
        except Exception as exc:
            error = session.give_up(self._own(exc, session.phase))
            if self._driver.alive:
                self._report(error, session.phase, session.relayed)

    def _inputs(self, described: list[list[Any]], sent: list[np.ndarray]) -> list[np.ndarray]:
        """The arrays of a run in order: those that just came, and those stored earlier."""
        missing = [handle for handle, _, _ in described if handle and handle not in self._stored]
        if missing:
            raise ArgumentError(f"no array is stored as {missing[0]!r}", todo="store it again with `keep`")
        fresh = iter(sent)
        return [self._stored[handle] if handle else next(fresh) for handle, _, _ in described]

    def _finish(self, session: Session, outcome: Outcome, keep: dict[int, str]) -> None:
        """Say that the run is done; deliver and store when the driver has heard so from all."""
        unknown = [index for index in keep if index >= len(outcome.outputs)]
        if unknown:
            raise ArgumentError(f"the program has no output {unknown[0]} to keep")
        sent = [array for index, array in enumerate(outcome.outputs) if index not in keep]
        count = outcome.traffic
        done = {
            "epoch": session.epoch,
            "seconds": outcome.seconds,
            "rounds": count.rounds,
            "sent": [[peer, count.sent_to[peer]] for peer in self._here.peers],
            "received": [[peer, count.received_from[peer]] for peer in self._here.peers],
            "outputs": [describe(array) for array in sent],
        }
        self._driver.send("done", done, self._deadline())
        self._driver.phase = "output"
        while True:
            kind, fields = self._driver.receive(("deliver", "abort"), None)
            if fields["epoch"] == session.epoch:
                break
        if kind == "abort":
            self._here.drop_bulk()
            return
        self._stored.update({handle: outcome.outputs[index] for index, handle in keep.items()})
        self._driver.send_arrays(sent, self._deadline())

    def _need(self, program: str) -> None:
        if program not in self._programs:
            raise HandshakeError("the parties disagree on program", why="this party has not loaded it")

    def _own(self, exc: Exception, phase: str) -> JMPCError:
        if isinstance(exc, JMPCError):
            return exc
        return from_engine(exc, Place(party=self._here.party, phase=phase))

    def _report(self, error: JMPCError, phase: str, relayed: bool) -> None:
        record = to_record(completed(error, self._here.party, phase, None), relayed)
        self._driver.send("failed", record, self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self._here.deadline_s
