"""The SPU side: compiles a workload, shares its inputs once, and runs it as often as the harness asks.

Runs under the rival's virtual environment (`python -m bench.rivals.spu_side local|processes [PORTS]`); JSON lines.
"local" is three threads of this process over SPU's memory link; "processes" is three processes over its brpc link.
Timings leave out compiling, sharing and opening. It compares nothing: the opened result goes to a file.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
import spu  # pyright: ignore[reportMissingImports]
from spu import libspu  # pyright: ignore[reportMissingImports]
from spu.utils import frontend  # pyright: ignore[reportMissingImports]

from bench import lines
from bench.rivals import spu_party
from bench.rivals.ports import free_ports
from bench.workloads import WORKLOADS

PARTIES = range(3)
ROOT = Path(__file__).parents[2]
Traffic = list[tuple[int, int]]


class Trio(Protocol):
    """Three SPU parties, wherever they live."""

    def load(self, executable: Any, shares: list[list[Any]], accurate: bool) -> Traffic: ...
    def run(self) -> tuple[float, float]: ...
    def outputs(self) -> list[list[Any]]: ...
    def close(self) -> None: ...


class Threads:
    """Three threads over the memory link, as SPU's own simulator does it."""

    def __init__(self, scratch: Path) -> None:
        self._log = scratch / "spu.log"
        spu_party.log_to(self._log)
        description = libspu.link.Desc()
        for rank in PARTIES:
            description.add_party(f"id_{rank}", f"thread_{rank}")
        self._pool = ThreadPoolExecutor(3)
        links = list(self._pool.map(lambda rank: libspu.link.create_mem(description, rank), PARTIES))
        self._parties = [spu_party.Party(link) for link in links]

    def _each(self, work: Callable[[int], Any]) -> list[Any]:
        return list(self._pool.map(work, PARTIES))

    def load(self, executable: Any, shares: list[list[Any]], accurate: bool) -> Traffic:
        start = len(self._log.read_text())
        self._each(lambda rank: self._parties[rank].load(executable, shares[rank], True, accurate))
        self._each(lambda rank: self._parties[rank].run())
        traffic = spu_party.traffic_in(self._log, start)
        self._each(lambda rank: self._parties[rank].load(executable, shares[rank], False, accurate))
        return traffic

    def run(self) -> tuple[float, float]:
        before = spu_party.user_seconds()
        seconds = max(self._each(lambda rank: self._parties[rank].run()))
        return seconds, spu_party.user_seconds() - before

    def outputs(self) -> list[list[Any]]:
        return [party.outputs() for party in self._parties]

    def close(self) -> None:
        self._each(lambda rank: self._parties[rank].close())
        self._pool.shutdown()


class Processes:
    """Three processes over the brpc link on the loopback interface. ports: by party, its own and those where it reaches
    the others; all the same where nothing lies between."""

    def __init__(self, scratch: Path, ports: Sequence[Sequence[int]] | None = None) -> None:
        self._scratch = scratch
        ports = ports or [free_ports(3)] * 3
        self._sides = [
            lines.Side(
                [sys.executable, "-m", "bench.rivals.spu_party", str(rank), *map(str, ports[rank])],
                ROOT,
                scratch / "party.log",
            )
            for rank in PARTIES
        ]
        self._ask("connect", [{}] * 3)

    def _ask(self, do: str, fields: list[dict[str, Any]]) -> list[lines.Answer]:
        for side, each in zip(self._sides, fields, strict=True):
            side.send(do, **each)
        return [side.receive() for side in self._sides]

    def load(self, executable: Any, shares: list[list[Any]], accurate: bool) -> Traffic:
        code = self._scratch / "executable"
        code.write_bytes(executable.SerializeToString())
        paths = [self._scratch / f"inputs{rank}.npz" for rank in PARTIES]
        for path, own in zip(paths, shares, strict=True):
            spu_party.save_shares(path, own)
        answers = self._ask(
            "load", [{"executable": str(code), "shares": str(path), "accurate": accurate} for path in paths]
        )
        return [(answer["bytes_sent"], answer["sends"]) for answer in answers]

    def run(self) -> tuple[float, float]:
        answers = self._ask("run", [{}] * 3)
        return max(a["seconds"] for a in answers), sum(a["cpu_seconds"] for a in answers)

    def outputs(self) -> list[list[Any]]:
        paths = [self._scratch / f"outputs{rank}.npz" for rank in PARTIES]
        self._ask("save", [{"path": str(path)} for path in paths])
        return [spu_party.load_shares(path) for path in paths]

    def close(self) -> None:
        for side in self._sides:
            side.send("quit")
        for side in self._sides:
            side.close()


def compile_for(function: Callable[..., Any], args: tuple[np.ndarray, ...]) -> Any:
    """SPU's executable of a function whose arguments are all secret."""
    names = [f"in{i}" for i in range(len(args))]
    secret = [libspu.Visibility.VIS_SECRET] * len(args)
    executable, _ = frontend.compile(
        frontend.Kind.JAX, function, args, {}, names, secret, lambda flat: [f"out{i}" for i in range(len(flat))]
    )
    return executable


def _warm_up(x: Any) -> Any:
    return jnp.sum(x * x)


class SPUSide:
    """The requests: prepare a workload, run it, write its output."""

    def __init__(self, trio: Trio) -> None:
        self._trio = trio
        self._io = spu.Io(3, spu_party.configuration())
        compile_for(_warm_up, (np.ones(3, np.float32),))  # what the first compile costs any process is left out

    def handle(self, request: lines.Answer) -> lines.Answer:
        if request["do"] == "versions":
            return {name: importlib.metadata.version(name) for name in ("spu", "jax")} | {
                "python": platform.python_version()
            }
        if request["do"] == "prepare":
            return self._prepare(request["workload"], request["seed"])
        if request["do"] == "run":
            seconds, cpu_seconds = self._trio.run()
            return {"seconds": seconds, "cpu_seconds": cpu_seconds}
        if request["do"] == "output":
            [output] = [self._io.reconstruct(list(shares)) for shares in zip(*self._trio.outputs(), strict=True)]
            np.save(request["path"], output, allow_pickle=False)
            return {}
        raise ValueError(f"no such request: {request['do']}")

    def _prepare(self, name: str, seed: int) -> lines.Answer:
        workload = WORKLOADS[name]
        args = workload.inputs(seed)
        start = time.perf_counter()
        executable = compile_for(workload.function, args)
        compile_seconds = time.perf_counter() - start
        by_input = [self._io.make_shares(arg, libspu.Visibility.VIS_SECRET) for arg in args]
        shares = [[one[rank] for one in by_input] for rank in PARTIES]
        traffic = self._trio.load(executable, shares, workload.accurate_rival)
        self._trio.run()
        sent, sends = max(traffic)
        return {"compile_seconds": compile_seconds, "bytes_sent": sent, "steps": sends}


def _trio(scratch: Path, executor: str, ports: str = "") -> Trio:
    """ports: of `Processes`, as JSON."""
    if executor == "processes":
        return Processes(scratch, json.loads(ports) if ports else None)
    return Threads(scratch)


def main() -> None:
    answers = lines.take_output()
    with tempfile.TemporaryDirectory() as scratch:
        trio = _trio(Path(scratch), *sys.argv[1:])
        lines.serve(SPUSide(trio).handle, answers)
        trio.close()


if __name__ == "__main__":
    main()
