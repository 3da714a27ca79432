"""The benchmark of parties of several processes: its table; no time is asserted, and no party started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench import hosts


def test_the_table_has_a_row_for_each_cluster_and_both_times(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    @contextmanager
    def trial(clients: list[str], several: dict[int, int]) -> Iterator[dict[int, int]]:
        yield several

    def measured(cluster: Any, body: Any, size: int, runs: int) -> tuple[float, float]:
        asked.append((cluster, size, runs))
        return size / 1000, sum(cluster.values()) / 1000

    monkeypatch.setattr(hosts, "trial", trial)
    monkeypatch.setattr(hosts, "measured", measured)
    head, rule, *rows = hosts.rows(7)
    assert head.count("|") == rule.count("|") == len(hosts.SIZES) + 2
    assert rows[-1] == "| parties 1, 2 | 32 ms, run 4 | 256 ms, run 4 | 128 ms, run 4 |"
    assert asked == [(several, size, 7) for several in hosts.SEVERAL.values() for _, size in hosts.SIZES.values()]
