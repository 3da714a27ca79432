"""A party on several devices: the same bits as on one, with arrays in parts where that is worth it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import PartitionSpec

from jmpc.executors.placement import Placement
from jmpc.executors.spread import AXIS, parts

ROOT = Path(__file__).parents[2]


def test_results_are_the_same_bits_on_two_devices() -> None:
    """In a process of its own: the number of CPU devices is fixed when JAX starts."""
    settings = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.executors.spread_side"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["differ"] for line in lines] == [0] * 5, lines
    assert all(line["arrays"] >= 3 and line["devices"] == 2 for line in lines), lines


def test_large_arrays_lie_in_parts_and_small_ones_whole() -> None:
    shapes = ((96, 120), (97, 120), (97, 101), (4, 4), ())
    found = [parts(shape, np.uint64, 2) for shape in shapes]
    in_columns = PartitionSpec(None, AXIS)
    assert found == [in_columns, in_columns, PartitionSpec(), PartitionSpec(), PartitionSpec()]
    assert parts((96, 90), np.uint64, 2) == PartitionSpec(AXIS)


def test_one_device_is_no_spread() -> None:
    assert not Placement.over(jax.devices()[:1]).spread
