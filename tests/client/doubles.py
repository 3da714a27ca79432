"""Stand-ins for the tests of clients: a table that has what tables of all libraries have, rows of every dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Column:
    def __init__(self, values: Any) -> None:
        self._values = values

    def to_numpy(self) -> np.ndarray:
        return np.asarray(self._values)


class Frame:
    """Columns by name, and nothing else."""

    def __init__(self, data: dict[Any, Any]) -> None:
        self.data = data

    @property
    def columns(self) -> Sequence[Any]:
        return list(self.data)

    def __getitem__(self, name: Any) -> Column:
        return Column(self.data[name])


def rows_of(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    return {
        "x": rng.normal(size=(count, 3)).astype(np.float32),
        "n": rng.integers(-9, 9, count).astype(np.int16),
        "sick": rng.random(count) > 0.5,
        "wide": rng.random((count, 2)) > 0.5,
    }
