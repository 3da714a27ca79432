"""Turns measured pairs into a table for people and JSON for programs.

In: `Pair`s and the facts of the machine. Out: a rich table, Markdown text, plain JSON values. It measures nothing.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from bench.measure import Measurement, Pair

SPU = "SPU"
MISSING = "-"
FAILED = "failed"


def columns(rival: str) -> tuple[str, ...]:
    """rival: what the other side is called."""
    return (
        "workload",
        "executor",
        "jmpc ms\nmin / median",
        f"{rival} ms\nmin / median",
        f"{rival} / jmpc\n(median of turns)",
        f"CPU ms\njmpc / {rival}",
        "jmpc\nrounds, MB",
        f"{rival}\n{'sends' if rival == SPU else 'rounds'}, MB",
        f"max error\njmpc / {rival}",
        f"compile s\njmpc / {rival}",
    )


def ratio(pair: Pair) -> float | None:
    """How many times as long the other side takes, the median over turns; None unless both sides have run."""
    if pair.other is None or pair.jmpc.failure or pair.other.failure:
        return None
    turns = zip(pair.other.turns, pair.jmpc.turns, strict=True)
    return math.exp(statistics.median(math.log(theirs / ours) for theirs, ours in turns))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean that treats twice as fast and twice as slow alike."""
    return math.exp(sum(math.log(value) for value in values) / len(values))


def summaries(pairs: Sequence[Pair]) -> dict[str, float]:
    """The geometric mean of the ratios of each executor that has any."""
    by_executor: dict[str, list[float]] = {}
    for pair in pairs:
        value = ratio(pair)
        if value is not None:
            by_executor.setdefault(pair.executor, []).append(value)
    return {executor: geometric_mean(values) for executor, values in by_executor.items()}


def cells(pair: Pair) -> list[str]:
    """The texts of one row, in the order of `columns`."""
    times = ratio(pair)
    return [
        pair.workload,
        pair.executor,
        _times(pair.jmpc),
        _times(pair.other),
        MISSING if times is None else f"{times:.2f}x",
        _both(pair, _cpu),
        _traffic(pair.jmpc),
        _traffic(pair.other),
        _both(pair, lambda side: f"{side.max_error:.1e}"),
        _both(pair, lambda side: f"{side.compile_seconds:.2f}"),
    ]


def _milliseconds(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _times(side: Measurement | None) -> str:
    if side is None:
        return MISSING
    return FAILED if side.failure else f"{_milliseconds(side.fastest)} / {_milliseconds(side.median)}"


def _traffic(side: Measurement | None) -> str:
    if side is None or side.failure:
        return MISSING
    return f"{side.steps}, {side.bytes_sent / 1e6:.3g}"


def _cpu(side: Measurement) -> str:
    return MISSING if side.cpu_seconds is None else _milliseconds(side.cpu_seconds)


def _both(pair: Pair, text: Any) -> str:
    sides = (pair.jmpc, pair.other)
    return " / ".join(MISSING if side is None or side.failure else text(side) for side in sides)


def rich_table(pairs: Sequence[Pair], rival: str) -> Table:
    """The table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_lines=False)
    for i, column in enumerate(columns(rival)):
        table.add_column(column, justify="left" if i < 2 else "right", no_wrap=i < 5)
    for pair in pairs:
        table.add_row(*cells(pair))
    return table


def remarks(pairs: Sequence[Pair], rival: str) -> list[str]:
    """What stands below the table: the means, and why a side failed."""
    lines = [f"{name}: geometric mean of {rival} / jmpc {value:.2f}x" for name, value in summaries(pairs).items()]
    for pair in pairs:
        for name, side in (("jmpc", pair.jmpc), (rival, pair.other)):
            if side is not None and side.failure:
                lines.append(f"{name} failed on {pair.workload} ({pair.executor}): {side.failure.strip()}")
    return lines


def markdown(pairs: Sequence[Pair], facts: dict[str, str], rival: str) -> str:
    """Facts, table and remarks as one Markdown page."""
    head = [column.replace("\n", " ") for column in columns(rival)]
    rows = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    rows += [cells(pair) for pair in pairs]
    lines = [f"# jmpc and {rival}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", *("| " + " | ".join(row) + " |" for row in rows), ""]
    lines += [f"- {remark.splitlines()[0]}" for remark in remarks(pairs, rival)]
    return "\n".join(lines) + "\n"


def as_json(pairs: Sequence[Pair], facts: dict[str, str]) -> dict[str, Any]:
    """Everything measured, each run included."""
    return {
        "facts": facts,
        "results": [dataclasses.asdict(pair) | {"ratio": ratio(pair)} for pair in pairs],
        "geometric_means": summaries(pairs),
    }
