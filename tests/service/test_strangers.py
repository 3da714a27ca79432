"""Strangers at the port of each party: while the parties start, in a call, and when links and lines are made anew."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest

import jmpc
from jmpc.client.processes import ProcessBackend, started
from jmpc.daemon.children import Settings
from jmpc.errors import PartyError
from tests.runtime.strangers import Address, strangers

SILENT = 60
X = np.float32([1.0, -2.0, 3.0])
positive = jmpc.secure(lambda x: jax.nn.relu(x))
FAULTS = str(Path(__file__).parents[1] / "daemon")


class Crowd:
    """A `route` that leaves the addresses alone, and lets strangers connect to each before the parties run."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack, self.addresses = stack, []

    def __call__(self, addresses: Sequence[Address]) -> Sequence[Address]:
        self.addresses = list(addresses)
        self.stack.enter_context(strangers(self.addresses, silent=SILENT))
        return addresses


def works(backend: ProcessBackend) -> None:
    with jmpc.use(backend):
        np.testing.assert_allclose(positive(X), np.maximum(X, 0), atol=1e-4)


def test_processes_start_run_and_recover_among_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind, and many that say nothing."""
    monkeypatch.syspath_prepend(FAULTS)
    fault = tmp_path / "fault"
    with contextlib.ExitStack() as first:
        crowd = Crowd(first)
        settings = Settings(route=crowd, modules=("party_faults",), environment={"FAULT": str(fault)})
        with started(settings) as backend:
            first.close()
            pids = backend.cluster.pids
            with strangers(crowd.addresses, silent=SILENT):
                works(backend)
                fault.write_text('{"party": 1, "round": 0, "how": "raise"}')
                with pytest.raises(PartyError), jmpc.use(backend):
                    positive(X)
                fault.unlink()
                works(backend)
            assert backend.cluster.pids == pids
