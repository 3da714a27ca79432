"""`python -m bench.network`: programs between three party processes and a client over links as slow as real ones.

What goes in: which programs, links and way of shaping. What comes out: what was measured beside what the cost model
says before the run, and beside SPU over the same links; a table, JSON. Each program is compiled for the profile of the
configuration that suits the link. Over each link it runs in turns with links without limits, which measures what is
local in it under the load of the moment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import jmpc
from bench import machine, network_table
from bench.lines import Side, SideFailed
from bench.links.namespaces import Namespaces, Unavailable
from bench.links.profiles import PROFILES, Profile
from bench.links.relay import PARTIES, UNLIMITED, Links
from bench.links.toll import toll
from bench.measure import exact_result
from bench.network_table import Row
from bench.rivals.environment import RivalMissing, spu_python
from bench.rivals.ports import free_ports
from bench.speed import PROGRAMS, Ran, fitted, scaled
from bench.task import Workload
from bench.workloads import WORKLOADS
from jmpc.backends import use
from jmpc.client.processes import started
from jmpc.config import Network
from jmpc.daemon.children import Settings
from jmpc.ir.plan import Plan
from jmpc.party.forecast import Speed, forecast

ROOT = Path(__file__).parents[1]
DEFAULT = (
    "mlp_b1", "mlp_b128", "minionn_b16", "lenet_b16", "chameleon_b128",
    "logreg_10it", "sort_10k", "gpt2_block_s32",
)  # fmt: skip
WAYS = ("relay", "namespaces", "tunnel")
RIVALS_SECONDS = 20.0  # a rival that takes this long in a link's turn is not run again
# One after the other around a run: the request with the inputs; what the parties offer one another; the outputs.
TRIPS_OF_A_CALL = 3


@dataclass(frozen=True)
class Compiled:
    """A program at the parties."""

    workload: Workload
    args: tuple[np.ndarray, ...]
    function: Any
    lowered: Any
    max_error: float

    @property
    def plans(self) -> Sequence[Plan]:
        return self.lowered.flow.plans


def compiled(name: str, config: str) -> Compiled:
    """Compile a program and run it once; the links must be without limits."""
    workload = WORKLOADS[name]
    args = workload.inputs(0)
    lowered = jmpc.secure(workload.function, config=jmpc.Config(network=config)).lower(*args)
    function = lowered.compile()
    error = workload.error(args, exact_result(workload, args), np.asarray(function(*args)))
    return Compiled(workload, args, function, lowered, error)


def one_call(program: Compiled) -> tuple[float, float]:
    """Seconds of the run, and of the whole call."""
    start = time.perf_counter()
    np.asarray(program.function(*program.args))
    return program.function.last_run.seconds, time.perf_counter() - start


def call_forecast(program: Compiled, link: Network, run: float, local: float) -> float:
    """Seconds of a call whose run takes so long: the client has a link of its own to each party, and what it does
    itself takes as long as without limits (local)."""
    inputs = max(program.lowered.cost().upload_bytes)
    outputs = max(sum(int(np.prod(s)) * d.itemsize for s, d in p.output_specs) for p in program.plans)
    wire = TRIPS_OF_A_CALL * link.latency_s + (inputs + outputs) / link.bandwidth
    return run + local + wire


class Rival:
    """SPU's three processes over the same links. Made when first asked for."""

    def __init__(self, python: Path, links: Links, scratch: Path) -> None:
        self._python, self._links, self._scratch = python, links, scratch
        self._side: Side | None = None
        self.program = ""

    def prepare(self, name: str) -> dict[str, Any]:
        """Load a program; the links must be without limits."""
        self._side = self._side or self._start()
        return self._side.ask("prepare", workload=name, seed=0)

    def run(self) -> float:
        assert self._side is not None
        return self._side.ask("run")["seconds"]

    def close(self) -> None:
        if self._side is not None:
            self._side.close()
        self._side = None

    def _start(self) -> Side:
        own = free_ports(PARTIES)
        ports = [
            [
                own[host] if host == party else self._links.port(host, ("127.0.0.1", own[host]), dialler=party)[1]
                for host in range(PARTIES)
            ]
            for party in range(PARTIES)
        ]
        command = [str(self._python), "-m", "bench.rivals.spu_side", "processes", json.dumps(ports)]
        return Side(command, ROOT, self._scratch / "spu.log")


def row(program: Compiled, profile: Profile, way: str, speed: Speed, runs: int, links: Links) -> Row:
    """Measure a program over links of a profile, and without limits in between."""
    taken, local = list[tuple[float, float]](), list[tuple[float, float]]()
    for _ in range(runs):
        local.append(one_call(program))
        links.shape(profile.link)
        taken.append(one_call(program))
        links.shape(UNLIMITED)
    local_run, local_call = (min(seconds) for seconds in zip(*local, strict=True))
    reckoned = forecast(program.plans, profile.link, scaled(speed, Ran(program.plans, local_run)))
    stats = program.function.last_run
    return Row(
        program=program.workload.name,
        link=profile.link.name,
        way=way,
        config=profile.config,
        rounds=stats.rounds,
        bytes_sent=max(stats.bytes_sent),
        round_trip_s=2 * profile.link.latency_s,
        runs=tuple(r for r, _ in taken),
        calls=tuple(c for _, c in taken),
        local_run=local_run,
        local_call=local_call,
        wire=forecast(program.plans, profile.link),
        estimated_run=forecast(program.plans, profile.link, speed),
        reckoned_run=reckoned,
        reckoned_call=call_forecast(program, profile.link, reckoned, local_call - local_run),
        max_error=program.max_error,
        load=os.getloadavg()[0],
    )


def with_rival(found: Row, profile: Profile, rival: Rival, links: Links) -> Row:
    """The row, with the rival over the same links."""
    try:
        prepared = rival.prepare(found.program)
        links.shape(profile.link)
        seconds: list[float] = []
        while len(seconds) < len(found.runs) and sum(seconds) < RIVALS_SECONDS:
            seconds.append(rival.run())
        return replace(
            found, rival_runs=tuple(seconds), rival_sends=prepared["steps"], rival_bytes=prepared["bytes_sent"]
        )
    except SideFailed as error:
        rival.close()
        return replace(found, rival_failure=str(error))
    finally:
        links.shape(UNLIMITED)


def measured(options: argparse.Namespace, links: Links, rival: Rival | None, facts: dict[str, str]) -> Iterator[Row]:
    """A row for each program and link, once it is there."""
    facts["relay"] = toll(links).text
    with started(Settings(route=links.route)) as backend, use(backend):
        speed = _speed(options.runs)
        facts["speed of a party"] = (
            f"{1e6 * speed.segment:.0f} us a segment, {1e9 * speed.operation:.3f} ns an operation, "
            f"{1e9 * speed.byte:.2f} ns a byte"
        )
        for name in options.programs:
            ready: dict[str, Compiled] = {}
            for profile in (PROFILES[link] for link in options.links):
                if profile.config not in ready:
                    ready[profile.config] = compiled(name, profile.config)
                found = row(ready[profile.config], profile, options.shaping, speed, options.runs, links)
                yield with_rival(found, profile, rival, links) if rival else found


def _speed(runs: int) -> Speed:
    programs = [compiled(name, "lan") for name in PROGRAMS]
    taken = [[one_call(program)[0] for program in programs] for _ in range(runs)]
    return fitted([Ran(p.plans, min(runs)) for p, runs in zip(programs, zip(*taken, strict=True), strict=True)])


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 2 if the links or the rival cannot be had, 130 if interrupted; what is there is reported."""
    options = _parse(argv)
    if options.list:
        for name, profile in PROFILES.items():
            print(f"{name}: {profile.text} ({profile.source})")
        return 0
    facts, rows = machine.facts(ROOT), list[Row]()
    try:
        with contextlib.ExitStack() as stack:
            spaces = None
            if options.shaping != "relay":
                spaces = stack.enter_context(Namespaces(tunnels=options.shaping == "tunnel"))
            links = stack.enter_context(Links(spaces))
            facts["links"] = spaces.used if spaces else "a relay in user space, for latency and bandwidth"
            rival = None
            if not options.no_spu:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                rival = Rival(spu_python(options.spu_python), links, scratch)
                stack.callback(rival.close)
            for found in measured(options, links, rival, facts):
                rows.append(found)
                print("  ".join(network_table.cells(found)), file=sys.stderr, flush=True)
    except (Unavailable, RivalMissing) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if rows:
            _report(options, facts, rows)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.network", description="Programs over links as slow as real ones."
    )
    parser.add_argument(
        "--programs", type=_names(WORKLOADS), default=DEFAULT, metavar="A,B", help="see python -m bench --list"
    )
    parser.add_argument("--links", type=_names(PROFILES), default=tuple(PROFILES), metavar="A,B", help="see --list")
    parser.add_argument("--shaping", choices=WAYS, default=WAYS[0], help="all but the relay: as root, with ip and tc")
    parser.add_argument("--runs", type=int, default=5, help="runs over each link (default 5)")
    parser.add_argument("--no-spu", action="store_true", help="measure jmpc alone")
    parser.add_argument("--spu-python", type=Path, metavar="PATH", help="a Python that has SPU (default: make one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--list", action="store_true", help="print the links and end")
    return parser.parse_args(argv)


def _names(known: Any) -> Any:
    """A parser of names with commas between them, for argparse."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} unknown; there are {', '.join(known)}")
        return names

    return parse


def _report(options: argparse.Namespace, facts: dict[str, str], rows: Sequence[Row]) -> None:
    facts = facts | {"load at the end": f"{os.getloadavg()[0]:.1f}"}
    for name, value in facts.items():
        print(f"{name}: {value}")
    Console(width=None if sys.stdout.isatty() else 220).print(network_table.rich_table(rows))
    print("\n".join(network_table.remarks(rows)))
    if options.json:
        options.json.write_text(json.dumps(network_table.as_json(rows, facts), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(network_table.markdown(rows, facts))


if __name__ == "__main__":
    sys.exit(main())
