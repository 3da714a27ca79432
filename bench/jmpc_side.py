"""The jmpc side: compiles a workload and runs it as often as the harness asks.

Runs as `python -m bench.jmpc_side local|mesh|processes` and speaks JSON lines, as the rival does. Seconds are those
jmpc reports: execution alone, the slowest party. CPU seconds cover the whole call, sharing and opening included.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
import time
from typing import Any

import jax
import numpy as np

import jmpc
from bench import lines
from bench.cpu import tree_user_seconds
from bench.workloads import WORKLOADS


def _warm_up(x: Any) -> Any:
    return x * x


class JMPCSide:
    """The requests: prepare a workload, run it, write its output."""

    def __init__(self) -> None:
        self._compiled: Any = None
        self._args: tuple[np.ndarray, ...] = ()
        self._result: Any = None
        self._compile(_warm_up, (np.ones(3, np.float32),))  # what the first compile costs any process is left out

    def handle(self, request: lines.Answer) -> lines.Answer:
        if request["do"] == "versions":
            return {name: importlib.metadata.version(name) for name in ("jmpc", "jax")} | {
                "python": platform.python_version()
            }
        if request["do"] == "prepare":
            return self._prepare(request["workload"], request["seed"])
        if request["do"] == "run":
            return self._run()
        if request["do"] == "output":
            np.save(request["path"], np.asarray(self._result), allow_pickle=False)
            return {}
        raise ValueError(f"no such request: {request['do']}")

    def _compile(self, function: Any, args: tuple[np.ndarray, ...]) -> float:
        """Seconds to lower and compile, with what the first call costs above the second: a party may compile then."""
        start = time.perf_counter()
        self._compiled = jmpc.secure(function).lower(*args).compile()
        self._args = args
        compiled = time.perf_counter()
        self._compiled(*args)
        called = time.perf_counter()
        self._result = self._compiled(*args)
        second_call = time.perf_counter() - called
        return (compiled - start) + max(called - compiled - second_call, 0.0)

    def _prepare(self, name: str, seed: int) -> lines.Answer:
        workload = WORKLOADS[name]
        self._compiled = self._result = None  # let go of the previous workload before the next one needs memory
        compile_seconds = self._compile(workload.function, workload.inputs(seed))
        stats = self._compiled.last_run
        return {"compile_seconds": compile_seconds, "bytes_sent": max(stats.bytes_sent), "steps": stats.rounds}

    def _run(self) -> lines.Answer:
        before, start = tree_user_seconds(), time.perf_counter()
        self._result = np.asarray(self._compiled(*self._args))  # waits for a result still under way
        call_seconds, after = time.perf_counter() - start, tree_user_seconds()
        cpu_seconds = None if before is None or after is None else after - before
        return {"seconds": self._compiled.last_run.seconds, "call_seconds": call_seconds, "cpu_seconds": cpu_seconds}


def main() -> None:
    answers = lines.take_output()
    os.environ.setdefault("JMPC_CODE", "best")  # runs are measured as those after the first hundreds are
    with contextlib.ExitStack() as stack:
        if sys.argv[1] == "processes":
            stack.enter_context(jmpc.processes())
        if sys.argv[1] == "mesh":
            jax.config.update("jax_num_cpu_devices", 3)  # before JAX starts its backend
            stack.enter_context(jmpc.mesh())
        lines.serve(JMPCSide().handle, answers)


if __name__ == "__main__":
    main()
