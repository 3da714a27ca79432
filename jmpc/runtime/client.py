"""The driver's side of a cluster: load programs, run them, keep arrays at the parties.

In: program texts and each party's pieces as numpy arrays. Out: each party's pieces of the results, with
counted rounds and bytes. After a failure the next call starts the parties anew if it must. This file splits
no value into shares and puts none together.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from jmpc.errors import ArgumentError, HandshakeError, JMPCError, LaunchError
from jmpc.runtime.collect import Collector, Failed, Parties
from jmpc.runtime.control import ControlLink
from jmpc.runtime.messages import ARRAYS_BYTES, SESSION_BYTES, TEXT_BYTES, describe, sizes_checked

LOAD_LIMIT_S = 600.0
RUN_LIMIT_S = 86_400.0  # for the first party to finish or fail; within a run, a deadline holds for each round


@dataclass(frozen=True, slots=True)
class StoredRef:
    """An array that each party stored in an earlier run under this handle."""

    handle: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run. outputs: by party; None where the output was kept. seconds: the engines' time, by party."""

    outputs: list[list[np.ndarray | None]] = field(repr=False)  # shares are not shown
    rounds: int
    bytes_sent: list[int]
    seconds: list[float]


class Cluster:
    """Parties at the service of this process, not of a fork of it; calls of threads take turns. parties: how many."""

    def __init__(self, start: Callable[[], Parties]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._ready: set[str] = set()
        self._stored: set[str] = set()
        self._lost: set[str] = set()
        self._epoch = 0
        self._closed = False
        self._owner = os.getpid()
        self.reports: dict[int, JMPCError] = {}
        self._parties: Parties | None = start()
        self.parties = len(self._parties.links)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the parties; empty between a failure and the next call."""
        return self._parties.pids if self._parties else []

    def close(self) -> None:
        """End the parties and everything they store."""
        self._closed = True
        self._stop()

    def load(self, text: str) -> str:
        """Load and compile a program at all parties; returns its hash. A text is loaded once."""
        if len(text.encode("utf-8")) > TEXT_BYTES:
            raise ArgumentError("the program's text is too long", why=f"the limit is {TEXT_BYTES} bytes")
        with self._lock, self._session() as parties:
            known = [program for program, old in self._texts.items() if old == text]
            if known and known[0] in self._ready:
                return known[0]
            program = self._load(parties, text)
            self._texts[program] = text
            return program

    def run(
        self,
        program_hash: str,
        inputs: Sequence[Sequence[np.ndarray | StoredRef]],
        keep: Sequence[Sequence[tuple[int, str]]] = (),
    ) -> RunResult:
        """Run a loaded program on each party's pieces.

        keep: by party, (output index, handle): outputs that stay there, to be passed as StoredRef later; none by
        default. A handle may be written again. Raises PartyError, naming party, phase and round; then nothing was
        delivered or stored.
        """
        described, arrays = _described(inputs)
        for kept in keep:
            _check_keep(kept)
        with self._lock, self._session() as parties:
            _check_rows(parties, inputs=inputs, keep=keep)
            if program_hash not in self._texts:
                raise ArgumentError("no program of this hash is loaded", todo="call load first")
            self._check_stored(inputs)
            if program_hash not in self._ready:
                self._load(parties, self._texts[program_hash])
            result = self._run(
                parties, program_hash, described, arrays, [dict(kept) for kept in keep or [()] * len(inputs)]
            )
            self._stored.update(handle for kept in keep for _, handle in kept)
            return result

    def unload(self, program_hash: str) -> None:
        """Have all parties forget a program; nothing happens if none of this hash is loaded."""
        with self._lock, self._session() as parties:
            if program_hash in self._ready:
                ask = Collector(parties, "unload", self._epoch)
                ask.send(lambda link, _: link.send("unload", {"program": program_hash}, _soon(parties)))
                ask.collect("unloaded", LOAD_LIMIT_S)
            self._ready.discard(program_hash)
            self._texts.pop(program_hash, None)

    def drop(self, handle: str) -> None:
        """Forget a stored array; nothing happens if there is none."""
        _check_handle(handle)
        with self._lock, self._session() as parties:
            if handle in self._stored:
                ask = Collector(parties, "drop", self._epoch)
                ask.send(lambda link, _: link.send("drop", {"handle": handle}, _soon(parties)))
                ask.collect("dropped", LOAD_LIMIT_S)
            self._stored.discard(handle)
            self._lost.discard(handle)

    @contextmanager
    def _session(self) -> Generator[Parties]:
        """Running parties for one call; decides what a failure leaves behind."""
        if self._closed:
            raise LaunchError("the cluster is closed", todo="launch a new one")
        if self._owner != os.getpid():
            why = f"process {self._owner} launched it, and this one is a fork: both would write to the same connections"
            raise LaunchError("the cluster is another process's", why=why, todo="launch a new one in this process")
        if self._parties is None or not self._parties.all_run():
            self._stop()
            self._parties = self._start()
        self.reports = {}
        try:
            yield self._parties
        except Failed as failed:
            self.reports = failed.reports
            if not failed.usable:
                self._stop()
            raise failed.error from failed.error.__cause__
        except ArgumentError:
            raise  # Found here, before anything was sent.
        except BaseException:
            self._stop()  # For example Ctrl-C in the middle of a message: only a fresh start is safe.
            raise

    def _stop(self) -> None:
        if self._parties is not None:
            self._parties.close()
            self._parties = None
        self._lost |= self._stored
        self._stored.clear()
        self._ready.clear()

    def _load(self, parties: Parties, text: str) -> str:
        body = text.encode("utf-8")
        ask = Collector(parties, "load", self._epoch)
        ask.send(lambda link, _: link.send("load", {"bytes": len(body)}, _soon(parties), body))
        hashes = [fields["program"] for fields in ask.collect("loaded", LOAD_LIMIT_S)]
        if len(set(hashes)) != 1:
            raise HandshakeError("the parties disagree on program", where="phase load", why="their hashes differ")
        ask = Collector(parties, "compile", self._epoch)
        ask.send(lambda link, _: link.send("compile", {"program": hashes[0]}, _soon(parties)))
        ask.collect("compiled", LOAD_LIMIT_S)
        self._ready.add(hashes[0])
        return hashes[0]

    def _run(
        self,
        parties: Parties,
        program: str,
        described: list[list[list[Any]]],
        arrays: list[list[np.ndarray]],
        keep: list[dict[int, str]],
    ) -> RunResult:
        self._epoch += 1
        epoch = self._epoch
        common = {"epoch": epoch, "session": os.urandom(SESSION_BYTES), "program": program}

        def begin(link: ControlLink, party: int) -> None:
            kept = [[index, handle] for index, handle in keep[party].items()]
            link.send("run", {**common, "inputs": described[party], "keep": kept}, _soon(parties), arrays=arrays[party])

        ask = Collector(parties, "run", epoch)
        ask.send(begin)
        done = ask.collect("done", RUN_LIMIT_S)
        outputs = self._deliver(parties, done, keep)
        return RunResult(
            outputs,
            max(fields["rounds"] for fields in done),
            [sum(count for _, count in fields["sent"]) for fields in done],
            [fields["seconds"] for fields in done],
        )

    def _deliver(
        self, parties: Parties, done: list[dict[str, Any]], keep: list[dict[int, str]]
    ) -> list[list[np.ndarray | None]]:
        """Tell all parties that all finished, then fetch what they do not keep."""
        outputs: list[list[np.ndarray | None]] = [[] for _ in done]

        def fetch(link: ControlLink, party: int) -> None:
            specs = sizes_checked(done[party]["outputs"])
            fresh = iter(link.receive_arrays(specs, _soon(parties)))
            stay = keep[party]
            outputs[party] = [None if index in stay else next(fresh) for index in range(len(specs) + len(stay))]

        ask = Collector(parties, "output", self._epoch)
        ask.send(lambda link, _: link.send("deliver", {"epoch": self._epoch}, _soon(parties)))
        ask.send(fetch)
        ask.require_all()
        return outputs

    def _check_stored(self, inputs: Sequence[Sequence[np.ndarray | StoredRef]]) -> None:
        for ref in (item for row in inputs for item in row if isinstance(item, StoredRef)):
            if ref.handle in self._stored:
                continue
            if ref.handle in self._lost:
                raise ArgumentError(
                    f"the stored array {ref.handle!r} is lost",
                    why="a party failed and the parties were started anew; they store arrays in memory only",
                    todo="run the program that kept it again",
                )
            raise ArgumentError(f"no array is stored as {ref.handle!r}", todo="store one with `keep` first")


def _soon(parties: Parties) -> float:
    return time.monotonic() + parties.deadline_s


def _described(
    inputs: Sequence[Sequence[np.ndarray | StoredRef]],
) -> tuple[list[list[list[Any]]], list[list[np.ndarray]]]:
    """What a `run` message says of the inputs of each party, and the arrays to send after it."""
    described: list[list[list[Any]]] = []
    arrays: list[list[np.ndarray]] = []
    for row in inputs:
        described.append([])
        arrays.append([])
        for item in row:
            if isinstance(item, StoredRef):
                _check_handle(item.handle)
                described[-1].append([item.handle, "", []])
                continue
            try:
                described[-1].append(["", *describe(item)])
            except (TypeError, AttributeError) as exc:
                raise ArgumentError("an input is not an array of unsigned integers") from exc
            arrays[-1].append(item)
        if sum(array.nbytes for array in arrays[-1]) > ARRAYS_BYTES:
            raise ArgumentError("the inputs of one run are too large", why=f"the limit is {ARRAYS_BYTES} bytes a party")
    return described, arrays


def _check_rows(parties: Parties, **rows: Sequence[Any]) -> None:
    """One row for each party; or none at all, where nothing is kept."""
    for name, found in rows.items():
        if len(found) != len(parties.links) and (found or name == "inputs"):
            wanted = f"{name} must hold one list for each of the {len(parties.links)} parties"
            todo = f"start as many as the program's family has: jmpc.processes(parties={len(found)})"
            raise ArgumentError(wanted, why=f"it holds {len(found)}", todo=todo)


def _check_keep(keep: Sequence[tuple[int, str]]) -> None:
    for index, handle in keep:
        _check_handle(handle)
        if index < 0:
            raise ArgumentError("an output index is not negative")
    if len({index for index, _ in keep}) != len(keep) or len({handle for _, handle in keep}) != len(keep):
        raise ArgumentError("keep names an output or a handle twice")


def _check_handle(handle: str) -> None:
    if not 0 < len(handle) <= 200 or "\n" in handle:
        raise ArgumentError("a handle is a text of 1 to 200 characters on one line")
