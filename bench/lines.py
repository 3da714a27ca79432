"""Requests and answers between the harness and one side, as lines of JSON over the side's standard input and output.

A side is a process that stays up: the harness asks it to prepare a workload, to run it, to quit. This file knows
nothing of workloads. A library that prints cannot break an answer: `take_output` keeps the real output apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

Answer = dict[str, Any]
Handler = Callable[[Answer], Answer]


class SideFailed(RuntimeError):
    """A side answered with an error, or ended."""


def take_output() -> TextIO:
    """Keep the real standard output for answers, and let whatever else is printed go to standard error.

    Call it first of all: threads and child processes made before would still write into the answers.
    """
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w")


def serve(handle: Handler, answers: TextIO) -> None:
    """Answer each request line until "quit" or the end of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            break
        try:
            answer = handle(request)
        except Exception as error:  # a fault of one workload must not end the whole comparison
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Side:
    """The harness's end of one side."""

    def __init__(self, command: list[str], root: Path, log: Path) -> None:
        self._log = log
        environment = dict(os.environ, PYTHONPATH=str(root))
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def send(self, do: str, **fields: Any) -> None:
        """Write one request without waiting for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> Answer:
        """Wait for the answer to the oldest open request."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise SideFailed(answer["error"])
        return answer

    def ask(self, do: str, **fields: Any) -> Answer:
        """One request and its answer."""
        self.send(do, **fields)
        return self.receive()

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let the process quit; end it if it does not."""
        with contextlib.suppress(SideFailed):
            self.send("quit")
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _ended(self) -> SideFailed:
        tail = self._log.read_text(errors="replace")[-2000:]
        return SideFailed(f"the process ended with status {self._process.wait()}\n{tail}")
