"""Values for stores, and what a store holds, as a plain dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jmpc.store import Description, Store
from jmpc.store.value import Words

ROWS = Description("rows", "alice", "arith", (3,), 64, ("hash 1",), ("bob",), created=1)
Model = dict[str, tuple[Description, dict[str, list[int]]]]


def named(name: str, **fields: Any) -> Description:
    return replace(ROWS, name=name, **fields)


def words(seed: int, size: int = 20, dtype: str = "uint64") -> Words:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, size, dtype=dtype, endpoint=True)


def summands(seed: int, size: int = 20) -> dict[str, Words]:
    return {"0": words(seed, size), "1": words(seed + 1000, size)}


def plain(arrays: Mapping[str, Words]) -> dict[str, list[int]]:
    return {name: array.tolist() for name, array in arrays.items()}


def content(store: Store) -> Model:
    """All that it holds, and read: but for the version, which the store counts."""
    return {
        stored.description.name: (
            replace(stored.description, version=0),
            plain(store.load(stored.description.name)),
        )
        for stored in store.values()
    }


def files(store: Store | Path) -> list[Path]:
    folder = store if isinstance(store, Path) else store.folder
    return sorted((folder / "values").iterdir())
