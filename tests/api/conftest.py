"""No compiled code from other runs, and small arrays for all."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _no_disk_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMPC_CACHE_DIR", "")


@pytest.fixture(scope="session")
def x() -> np.ndarray:
    return np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)


@pytest.fixture(scope="session")
def y() -> np.ndarray:
    return np.array([[1.0, 2.5, -0.5], [0.25, -3.0, 1.5]], np.float32)
