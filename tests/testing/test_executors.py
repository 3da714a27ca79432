"""`assert_secure_close` on the executors that need more than this process has: three devices, three processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from jmpc.testing import assert_secure_close
from tests.testing.functions import layer

ROOT = Path(__file__).parents[2]
X, W = np.float32([[0.3, -1.21], [2.0, 3.7]]), np.float32([[1.0, -0.5], [0.25, 2.0]])
ON_THE_MESH = """
import jmpc
from jmpc.testing import assert_secure_close
from tests.testing.functions import layer
from tests.testing.test_executors import W, X

assert_secure_close(layer, X, W, executors=["mesh", "simulated"])
try:
    assert_secure_close(layer, X, W, tolerance=[1e-12, 0.0], executors=["mesh"],
        config=jmpc.Config(f=8))
except AssertionError as fault:
    print(fault)
"""


def test_three_processes() -> None:
    assert_secure_close(layer, X, W, executors=("processes",))


def test_a_mesh_of_three_devices() -> None:
    """In a process of its own: the number of CPU devices is fixed when JAX starts. It also finds what is wrong there:
    8 fraction bits do not give twelve decimals."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_THE_MESH]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "layer on mesh, seed 0: " in done.stdout
    assert "bound 1e-12" in done.stdout
