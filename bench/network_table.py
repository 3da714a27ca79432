"""Turns what `bench.network` measured into a table for people and JSON for programs. It measures nothing."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

MISSING = "-"
WITHIN = 0.25
COLUMNS = (
    "program",
    "link",
    "rounds, MB",
    "run ms\nmin / median",
    "wire ms",
    "estimate ms\n(ratio)",
    "predicted ms\n(ratio)",
    "run in\nround trips",
    "call ms\nmin / median",
    "predicted ms\n(ratio)",
    "SPU ms",
    "SPU\nsends, MB",
    "SPU / jmpc",
)


@dataclass(frozen=True)
class Row:
    """A program over a link, in seconds. runs, calls: measured, in order.  local_run, local_call: the same without
    limits.  wire: predicted of the messages alone.  estimated_run: with the local work, at the speed of this machine.
    reckoned_run, reckoned_call: with this program's own local work, as measured without limits."""

    program: str
    link: str
    way: str
    config: str
    rounds: int
    bytes_sent: int
    round_trip_s: float
    runs: tuple[float, ...]
    calls: tuple[float, ...]
    local_run: float
    local_call: float
    wire: float
    estimated_run: float
    reckoned_run: float
    reckoned_call: float
    max_error: float
    load: float
    rival_runs: tuple[float, ...] = ()
    rival_sends: int = 0
    rival_bytes: int = 0
    rival_failure: str = ""

    @property
    def ratios(self) -> dict[str, float]:
        """What was measured, the least of the runs, over what was predicted."""
        return {
            "estimated_run": min(self.runs) / self.estimated_run,
            "reckoned_run": min(self.runs) / self.reckoned_run,
            "reckoned_call": min(self.calls) / self.reckoned_call,
        }


def cells(row: Row) -> list[str]:
    """The texts of one row, in the order of `COLUMNS`."""
    ratios = row.ratios
    return [
        row.program,
        row.link,
        f"{row.rounds}, {row.bytes_sent / 1e6:.3g}",
        _both(row.runs),
        _ms(row.wire),
        f"{_ms(row.estimated_run)} ({ratios['estimated_run']:.2f})",
        f"{_ms(row.reckoned_run)} ({ratios['reckoned_run']:.2f})",
        f"{min(row.runs) / row.round_trip_s:.1f}",
        _both(row.calls),
        f"{_ms(row.reckoned_call)} ({ratios['reckoned_call']:.2f})",
        "failed" if row.rival_failure else _ms(min(row.rival_runs)) if row.rival_runs else MISSING,
        f"{row.rival_sends}, {row.rival_bytes / 1e6:.3g}" if row.rival_runs else MISSING,
        f"{min(row.rival_runs) / min(row.runs):.1f}x" if row.rival_runs else MISSING,
    ]


def remarks(rows: Sequence[Row]) -> list[str]:
    """What stands below the table: how many predictions hold, those that do not, and why a rival failed."""
    lines: list[str] = []
    for name, what in (
        ("reckoned_run", "run, its local work measured"),
        ("reckoned_call", "call"),
        ("estimated_run", "run, estimated"),
    ):
        far = [row for row in rows if not within(row.ratios[name])]
        lines.append(f"{what}: {len(rows) - len(far)} of {len(rows)} within {WITHIN:.0%} of the prediction")
        lines += [f"  {row.program} over {row.link}: {row.ratios[name]:.2f} of it" for row in far]
    lines += [
        f"SPU failed on {row.program} over {row.link}: {row.rival_failure.strip().splitlines()[0]}"
        for row in rows
        if row.rival_failure
    ]
    return lines


def within(ratio: float) -> bool:
    """Whether what was measured differs from the prediction by at most a quarter of it."""
    return abs(ratio - 1) <= WITHIN


def rich_table(rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_lines=False)
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row))
    return table


def markdown(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """Facts, table and remarks as one Markdown page."""
    head = [column.replace("\n", " ") for column in COLUMNS]
    body = [head, ["---"] * 2 + ["---:"] * (len(head) - 2), *(cells(row) for row in rows)]
    lines = ["# Over shaped links", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", *("| " + " | ".join(row) + " |" for row in body), ""]
    lines += [f"{'  ' if remark.startswith(' ') else ''}- {remark.strip()}" for remark in remarks(rows)]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], facts: dict[str, str]) -> dict[str, Any]:
    """Everything measured, each run included."""
    return {
        "facts": facts,
        "results": [dataclasses.asdict(row) | {"ratios": row.ratios} for row in rows],
    }


def _both(seconds: Sequence[float]) -> str:
    return f"{_ms(min(seconds))} / {_ms(statistics.median(seconds))}"


def _ms(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
