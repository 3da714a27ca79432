"""`python -m bench`: the command line. Parses, starts the sides, shows progress, prints the table, writes files."""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine, table
from bench.lines import Side, SideFailed
from bench.measure import Contestant, Pair, measure
from bench.rivals.environment import RivalMissing, spu_python
from bench.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
EXECUTORS = ("local", "processes")  # measured unless others are named
KNOWN_EXECUTORS = (*EXECUTORS, "mesh")
JMPC, BEFORE = "jmpc", "before"
SIDE_MODULES = {JMPC: "bench.jmpc_side", BEFORE: "bench.jmpc_side", table.SPU: "bench.rivals.spu_side"}


@dataclass(frozen=True)
class Place:
    """Where a side runs: a Python, and the checkout whose code it runs."""

    python: Path
    root: Path = ROOT


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 if a side failed on some workload, 2 if a side could not start, 130 if interrupted."""
    options = _parse(argv)
    if options.list:
        print("\n".join(WORKLOADS))
        return 0
    facts, pairs, status = machine.facts(ROOT), [], 0
    try:
        places = {JMPC: Place(Path(sys.executable))}
        if options.against:
            places[BEFORE] = Place(Path(sys.executable), options.against)
            facts |= {f"commit {BEFORE}": machine.commit(options.against)}
        elif not options.no_spu:
            places[table.SPU] = Place(spu_python(options.spu_python))
        _run(options, places, facts, pairs)
    except (RivalMissing, SideFailed) as error:
        print(error, file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    if pairs:  # what is finished is worth reporting, whatever ended the run
        _report(options, facts, pairs)
    return status or int(any(side is not None and side.failure for pair in pairs for side in (pair.jmpc, pair.other)))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure jmpc beside SPU or another checkout.")
    parser.add_argument("--workloads", type=_names(tuple(WORKLOADS)), default=tuple(WORKLOADS), metavar="A,B")
    parser.add_argument("--executors", type=_names(KNOWN_EXECUTORS), default=EXECUTORS, metavar="A,B")
    parser.add_argument("--runs", type=_positive, default=5, help="turns of each side (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--no-spu", action="store_true", help="measure jmpc alone")
    parser.add_argument("--against", type=_checkout, metavar="FOLDER", help="another checkout of jmpc, instead of SPU")
    parser.add_argument("--spu-python", type=Path, metavar="PATH", help="a Python that has SPU (default: make one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and end")
    return parser.parse_args(argv)


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A parser of names with commas between them, for argparse."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} unknown; there are {', '.join(known)}")
        return names

    return parse


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not (folder / "bench" / "jmpc_side.py").exists():
        raise argparse.ArgumentTypeError(f"{text!r} is no checkout of jmpc: it has no bench/jmpc_side.py")
    return folder


def _run(options: argparse.Namespace, places: dict[str, Place], facts: dict[str, str], pairs: list[Pair]) -> None:
    """Add a pair for each workload on each executor, and the versions of the sides to the facts."""
    total = len(options.executors) * len(options.workloads) * options.runs * len(places)
    with tempfile.TemporaryDirectory() as scratch, _progress() as progress:
        task = progress.add_task("", total=total)
        for executor in options.executors:
            contestants = [_contestant(name, place, executor, Path(scratch)) for name, place in places.items()]
            try:
                for contestant in contestants:
                    facts |= _versions(contestant)
                for name in options.workloads:
                    progress.update(task, description=f"{name} ({executor})")
                    advance = functools.partial(progress.advance, task)
                    sides = list(measure(contestants, WORKLOADS[name], options.runs, options.seed, advance))
                    pairs.append(Pair(name, executor, sides[0], sides[1] if len(sides) > 1 else None))
                    _say(progress, pairs[-1])
            finally:
                for contestant in contestants:
                    contestant.close()


def _progress() -> Progress:
    """A bar on a terminal's error stream; nothing where that is a file."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _say(progress: Progress, pair: Pair) -> None:
    """One line a finished pair, so that a long run can be followed and a broken one is not lost."""
    if not progress.disable:
        return
    print("  ".join(table.cells(pair)[:5]), file=sys.stderr, flush=True)


def _contestant(name: str, place: Place, executor: str, scratch: Path) -> Contestant:
    command = [str(place.python), "-m", SIDE_MODULES[name], executor]
    return Contestant(name, lambda: Side(command, place.root, scratch / f"{name}-{executor}.log"))


def _versions(contestant: Contestant) -> dict[str, str]:
    versions = contestant.side.ask("versions")
    return {f"{contestant.name} side": ", ".join(f"{name} {version}" for name, version in versions.items())}


def _report(options: argparse.Namespace, facts: dict[str, str], pairs: list[Pair]) -> None:
    rival = BEFORE if options.against else table.SPU
    for name, value in facts.items():
        print(f"{name}: {value}")
    width = None if sys.stdout.isatty() else 200  # a file has no width of its own
    Console(width=width).print(table.rich_table(pairs, rival))
    for remark in table.remarks(pairs, rival):
        print(remark)
    if options.json:
        options.json.write_text(json.dumps(table.as_json(pairs, facts), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(table.markdown(pairs, facts, rival))


if __name__ == "__main__":
    sys.exit(main())
