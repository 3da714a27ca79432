"""Runs the programs on three virtual CPU devices, beside the local executor; prints what it saw as JSON lines.

A process of its own, since the number of CPU devices is fixed when JAX starts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

import jmpc
from jmpc import backends
from jmpc.compiler import Flow
from jmpc.executors.local import run_local
from jmpc.executors.mesh import run_mesh
from jmpc.executors.placement import Placement
from jmpc.executors.run import Counts
from tests.executors.programs import KEYS, PROGRAMS

Held = list[list[np.ndarray]]


class Compared(backends.MeshBackend):
    """The mesh backend, which also runs the local executor from the same keys and notes where they differ."""

    def __init__(self, inside: bool) -> None:
        super().__init__(replace(Placement.of_each(), inside=inside))
        self.seen: dict[str, Any] = {}

    def prepare(self, flow: Flow) -> None:
        flow.placed(self.placement)

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[Held, Counts]:
        local, local_counts = run_local(flow.placed(Placement.here()), inputs, KEYS)
        held, counts = run_mesh(flow.placed(self.placement), inputs, KEYS)
        arrays = [(p, n, a, b) for p in range(3) for n, (a, b) in enumerate(zip(held[p], local[p], strict=True))]
        differ = [[p, n] for p, n, a, b in arrays if a.dtype != b.dtype or not np.array_equal(a, b)]
        self.seen = {
            "arrays": len(arrays),
            "differ": differ,
            "mesh counts": [counts.rounds, *counts.bytes_sent],
            "local counts": [local_counts.rounds, *local_counts.bytes_sent],
        }
        return held, counts


def main() -> None:
    for name, (function, args, config) in PROGRAMS.items():
        for inside in {False, config.prf == "chacha20"}:
            backend = Compared(inside)
            with backends.use(backend):
                got = jmpc.secure(function, config=config)(*args)
            pairs = zip(jax.tree.leaves(got), jax.tree.leaves(function(*args)), strict=True)
            error = max(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in pairs)
            print(json.dumps({"name": name, "inside": inside, "error": error, **backend.seen}), flush=True)


if __name__ == "__main__":
    main()
