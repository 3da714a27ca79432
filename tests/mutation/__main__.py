"""`python -m tests.mutation [MODULE ...]`: mutate, test, and say what survived.

    python -m tests.mutation                          every module, 25 mutants each; writes docs/mutation.md
    python -m tests.mutation frames --sample 1000     all mutants of one module; writes nothing

A module is named by its end. `--jobs 2` runs two at a time. A run of all takes an hour or two: it may be
stopped, and goes on where it was with `--resume FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.mutation import mutants, runner
from tests.mutation.targets import TARGETS, Target

PAGE = runner.ROOT / "docs" / "mutation.md"
Row = dict[str, Any]
HEAD = """# Mutation testing

Written by `python -m tests.mutation` (seed {seed}, up to {count} places a module). Each mutant is one change at one
place: an operator, a comparison, a number, a condition, a decorator (cosmic-ray); another operation of `lax`, the
other neighbour, a sum without its second operand, which takes a mask away (tests/mutation/operators.py). It is killed
if a test of the module fails, does not end, or cannot import it. Changes of annotations and texts are left out.

| module | places | mutants run | killed | survived |
|---|---|---|---|---|
"""


def main() -> int:
    options = _options()
    runner.warm()
    done = _read(options.resume)
    rows = []
    for target in TARGETS:
        if options.modules and not any(target.module.endswith(f".{name}") for name in options.modules):
            continue
        row = done.get(target.module) or module_row(target, options)
        rows.append(row)
        if options.resume:
            options.resume.write_text(json.dumps({r["module"]: r for r in [*done.values(), *rows]}, indent=1))
    page = as_page(rows, options)
    print(page)
    if not options.modules:
        PAGE.write_text(page)
    return 0 if rate(rows) >= options.least else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="ends of module names; all by default")
    parser.add_argument("--sample", type=int, default=25, help="mutants a module (25)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--least", type=float, default=0.85, help="share that must be killed (0.85)")
    parser.add_argument("--resume", type=Path, help="a file of results, read and written")
    return parser.parse_args()


def _read(path: Path | None) -> dict[str, Row]:
    return json.loads(path.read_text()) if path and path.exists() else {}


def module_row(target: Target, options: argparse.Namespace) -> Row:
    """Run the sample of a module."""
    source = runner.path_of(target.module).read_text()
    chosen, places = mutants.sample(source, options.sample, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "base.log"
        end, seconds = runner.run(target, source, 1200.0, log)
        if end != runner.SURVIVED:
            sys.exit(f"{target.module}: the tests do not pass without a mutant ({end})\n{log.read_text()[-3000:]}")
        print(f"{target.module}: {len(chosen)} of {places} places, {seconds:.0f} s without a mutant", flush=True)
        limit = 2 * seconds + runner.SPARE_S
        start = time.monotonic()

        def one(n: int) -> str:
            found, taken = runner.run(target, chosen[n].source, limit, Path(folder) / f"{n}.log")
            print(f"  {found:8} {taken:5.1f} s  {chosen[n]}", flush=True)
            return found

        with ThreadPoolExecutor(options.jobs) as pool:
            ends = list(pool.map(one, range(len(chosen))))
    lost = [str(m) for m, e in zip(chosen, ends, strict=True) if e in (runner.SURVIVED, runner.NOT_RUN)]
    print(f"  {len(chosen) - len(lost)} of {len(chosen)} killed in {time.monotonic() - start:.0f} s", flush=True)
    return {"module": target.module, "places": places, "run": len(chosen), "survived": lost}


def rate(rows: list[Row]) -> float:
    """The share of mutants that was killed."""
    total = sum(row["run"] for row in rows)
    return 1 - sum(len(row["survived"]) for row in rows) / max(total, 1)


def as_page(rows: list[Row], options: argparse.Namespace) -> str:
    lines = [HEAD.format(seed=options.seed, count=options.sample)]
    for row in rows:
        lost = len(row["survived"])
        killed = f"{row['run'] - lost} ({100 * (1 - lost / max(row['run'], 1)):.0f} %)"
        lines.append(f"| `{row['module']}` | {row['places']} | {row['run']} | {killed} | {lost} |\n")
    lines.append(f"\n**{100 * rate(rows):.1f} % killed in all.** What survived:\n\n")
    lines += [f"- `{row['module']}` {text}\n" for row in rows for text in map(_code, row["survived"])]
    return "".join(lines)


def _code(text: str) -> str:
    place, _, line = text.partition(": ")
    return f"{place}: `{line}`"


if __name__ == "__main__":
    sys.exit(main())
