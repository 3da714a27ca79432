"""The mesh executor: the same bits and counts as the local one, from the same keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

import jmpc
from tests.executors.programs import PROGRAMS

ROOT = Path(__file__).parents[2]
CASES = [*((name, False) for name in PROGRAMS), ("product, chacha20", True)]

Seen = dict[tuple[str, bool], dict[str, Any]]


@pytest.fixture(scope="module")
def seen() -> Seen:
    """What a process with three CPU devices saw, by program and by whether its masks were made inside."""
    settings = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.executors.mesh_side"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(line["name"], line["inside"]): line for line in lines}


@pytest.mark.parametrize(("name", "inside"), CASES)
def test_every_party_holds_the_same_bits_as_in_the_local_executor(seen: Seen, name: str, inside: bool) -> None:
    found = seen[name, inside]
    assert found["arrays"] >= 3
    assert found["differ"] == []


@pytest.mark.parametrize(("name", "inside"), CASES)
def test_counts_are_those_of_the_local_executor(seen: Seen, name: str, inside: bool) -> None:
    found = seen[name, inside]
    assert found["mesh counts"] == found["local counts"]
    assert min(found["mesh counts"]) > 0


@pytest.mark.parametrize(("name", "inside"), CASES)
def test_results_are_those_of_the_function(seen: Seen, name: str, inside: bool) -> None:
    assert seen[name, inside]["error"] < (0.1 if "k=32" in name else 1e-3)


def test_one_device_is_refused_with_what_to_do() -> None:
    with (
        pytest.raises(jmpc.errors.ConfigError, match="needs 3 devices, and there is 1") as caught,
        jmpc.mesh(jax.devices()[:1]),
    ):
        pass
    assert "xla_force_host_platform_device_count=3" in str(caught.value)
    assert "jax_num_cpu_devices" in str(caught.value)
