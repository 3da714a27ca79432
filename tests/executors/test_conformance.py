"""The executors of this project do what every executor must do; and one that does not is found by the rule that it
breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmpc
from jmpc.backends import Backend, Fed, Kept, LocalBackend, RunStats
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError, CheatingDetected
from jmpc.executors.local import run_local
from jmpc.executors.run import Counts
from jmpc.testing import check_executor
from jmpc.testing.conformance.executors import EXECUTORS
from tests.executors.programs import KEYS

ROOT = Path(__file__).parents[2]
Ran = tuple[list[np.ndarray | Kept], RunStats]


@pytest.fixture(scope="module", autouse=True)
def no_disk_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", "")
        yield


@pytest.mark.parametrize("check", EXECUTORS.checks.values(), ids=EXECUTORS.checks)
def test_the_local_executor(check: Callable[[Backend], None]) -> None:
    check(LocalBackend())


def test_three_processes() -> None:
    with jmpc.processes() as backend:
        check_executor(backend)


ON_THE_MESH = (
    "import jmpc; from jmpc.testing import check_executor\nwith jmpc.mesh() as backend: check_executor(backend)"
)


def test_a_mesh_of_three_devices() -> None:
    """In a process of its own: the number of CPU devices is fixed when JAX starts."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_THE_MESH]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr


# --- executors that break one rule


class OffByOne(LocalBackend):
    """Opens the last bit wrong."""

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        found, stats = super().run(flow, fed)
        return [x if isinstance(x, Kept) or x.dtype == bool else x + x.dtype.type(1 << 12) for x in found], stats


class Forgetful(LocalBackend):
    """Runs the first arguments again."""

    first: dict[Flow, Sequence[Fed]]

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        self.first = getattr(self, "first", {})
        return super().run(flow, self.first.setdefault(flow, fed))


class Miscounting(LocalBackend):
    """Does not count the first round."""

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        held, counts = super().execute(flow, inputs)
        return held, Counts(counts.rounds - 1, counts.bytes_sent)


class Misnamed(LocalBackend):
    """Says that it is three processes."""

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        found, stats = super().run(flow, fed)
        return found, replace(stats, executor="processes")


class SameKeys(LocalBackend):
    """Uses its keys twice."""

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[list[list[np.ndarray]], Counts]:
        return run_local(flow.placed(self.placement), inputs, KEYS)


class Mixing(LocalBackend):
    """Swaps what it keeps."""

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        found, stats = super().run(flow, fed)
        return (
            [found[1], found[0]] if all(isinstance(x, Kept) for x in found[:2]) and len(found) == 2 else found
        ), stats


class Anybodys(LocalBackend):
    """Takes shares that others made."""

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        import weakref

        mine = weakref.ref(self)
        return super().run(flow, [replace(x, place=mine) if isinstance(x, Kept) else x for x in fed])


class Trusting(LocalBackend):
    """Goes on whatever a party found."""

    def run(self, flow: Flow, fed: Sequence[Fed]) -> Ran:
        try:
            return super().run(flow, fed)
        except CheatingDetected:
            return super().run(flow, [fed[0], np.ones_like(fed[1])])


BROKEN: dict[str, tuple[type[LocalBackend], str]] = {
    "a wrong bit": (OffByOne, "results_are_those_of_jax"),
    "the first arguments again": (Forgetful, "results_are_those_of_jax"),
    "a round too few": (Miscounting, "rounds_and_bytes_are_those_that_were_stated"),
    "another name": (Misnamed, "rounds_and_bytes_are_those_that_were_stated"),
    "the same keys": (SameKeys, "every_run_draws_anew"),
    "shares mixed up": (Mixing, "what_stays_shared_feeds_the_next_run"),
    "shares of others": (Anybodys, "shares_of_other_parties_are_refused"),
    "no check": (Trusting, "a_check_that_fails_stops_everybody"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_executor_that_breaks_a_rule_is_found(broken: str) -> None:
    kind, rule = BROKEN[broken]
    with pytest.raises(AssertionError, match=f"not what an executor must do: {rule}\n  rule: "):
        check_executor(kind(), only=[rule])


def test_a_rule_that_there_is_not() -> None:
    with pytest.raises(ArgumentError, match=r"no rule of an executor is .be nice.[^:]*fix: name some of "):
        check_executor(LocalBackend(), only=["be nice"])
