"""Strangers at the listeners of a cluster: while it starts, in its first session, and when links are made anew.

A party has one listener, for control links and for bulk links; the driver has none, since it dials. The patience of the
party processes is ours to change only where they run in this process, so there it is without end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from jmpc.errors import DeadlineError, PartyError
from jmpc.runtime import door as door_module
from jmpc.runtime.client import Cluster
from jmpc.runtime.join import join
from jmpc.runtime.launch import launch

from .helpers import LONG_S
from .strangers import KINDS, Address, strangers
from .test_session import Trio, all_right

HERE = str(Path(__file__).parent)
SILENT = 60


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_S", 1e6)


@pytest.mark.usefixtures("endless")
def test_control_links_and_bulk_links_are_made_among_strangers() -> None:
    trio = Trio(deadline_s=LONG_S)
    with contextlib.closing(trio), strangers(trio.addresses, silent=SILENT):
        assert not any(isinstance(result, Exception) for result in trio.join())
        with strangers(trio.addresses, silent=SILENT):
            assert all_right(trio.run(trio.sessions(1)))
        assert all_right(trio.run(trio.sessions(2)))
        for here in trio.here:
            here.drop_bulk()
        with strangers(trio.addresses, silent=SILENT):
            assert all_right(trio.run(trio.sessions(3)))


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_kind_of_stranger_delays_a_join(kind: str) -> None:
    trio = Trio(deadline_s=LONG_S)
    with contextlib.closing(trio), strangers(trio.addresses, [kind] * 3):
        assert not any(isinstance(result, Exception) for result in trio.join())
        assert all_right(trio.run(trio.sessions(1)))


def test_who_never_comes_is_named_and_so_is_what_was_refused() -> None:
    trio = Trio()
    with contextlib.closing(trio), strangers([trio.addresses[2]], ["http"]):
        deadline = time.monotonic() + 4  # far more than it takes to refuse the stranger
        with pytest.raises(DeadlineError, match="party 0 or party 1 or driver did not connect") as caught:
            join(2, trio.listeners[2], trio.addresses, trio.ends[2], trio.terms, deadline)
    assert "1 others were refused" in caught.value.why


class Crowd:
    """A `route` that leaves the addresses alone, and lets strangers connect to each before the parties run."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack, self.addresses = stack, []

    def __call__(self, addresses: Sequence[Address]) -> Sequence[Address]:
        self.addresses = list(addresses)
        self.stack.enter_context(strangers(self.addresses, silent=SILENT))
        return addresses


def works(cluster: Cluster) -> bool:
    result = cluster.run(cluster.load("sum"), [[np.full(3, party + 1, np.uint64)] for party in range(3)])
    for outputs in result.outputs:
        np.testing.assert_array_equal(outputs[0], [6, 6, 6])
    return True


def test_processes_start_run_and_recover_among_strangers() -> None:
    with contextlib.ExitStack() as first:
        crowd = Crowd(first)
        with launch(LONG_S, "ring_engine:make_engine", path=[HERE], route=crowd) as cluster:
            first.close()
            pids = cluster.pids
            with strangers(crowd.addresses, silent=SILENT):
                assert works(cluster)
            with strangers(crowd.addresses, silent=SILENT), pytest.raises(PartyError):
                cluster.run(cluster.load("fault rounds=6 party=1 round=3 how=raise"), [[np.zeros(3, np.uint64)]] * 3)
            with strangers(crowd.addresses, silent=SILENT):
                assert works(cluster)
            assert cluster.pids == pids
