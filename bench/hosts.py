"""What it costs a party to be several processes: calls between real services of this machine, of which some have two.

    python -m bench.hosts --runs 20

In: how often. Out: a table: seconds of a call, and of the run at party 1, by how many parties are two processes. All of
them share this machine, so that it says what the second process costs, and nothing of what a second machine brings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from typing import Any

import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.daemon.trial import Trial, trial

OWNER = "owner"
SEVERAL: dict[str, dict[int, int]] = {"none": {}, "party 1": {1: 2}, "parties 1, 2": {1: 2, 2: 2}}
DRAW = np.random.default_rng(0)


def layer(x: Any, w: Any) -> Any:
    """A product and ReLU."""
    return jnp.maximum(x @ w, 0.0)


def product(x: Any, w: Any) -> Any:
    """A product."""
    return x @ w


SIZES = {"product, 32 x 32": (product, 32), "product, 256 x 256": (product, 256), "with ReLU, 128 x 128": (layer, 128)}


def measured(cluster: Trial, body: Callable[..., Any], size: int, runs: int) -> tuple[float, float]:
    """Medians: of a call, and of what party 1 says of its run."""
    function = jmpc.secure(body, outputs=OWNER, owners=[OWNER, OWNER])
    x, w = (DRAW.normal(size=(size, size)).astype(np.float32) for _ in range(2))
    calls = list[float]()
    with closing(jmpc.connect(cluster.folder, identity=OWNER)) as client:
        for _ in range(runs + 2):
            began = time.perf_counter()
            client.run(function, x, w)
            calls.append(time.perf_counter() - began)
    lines = [json.loads(line) for line in cluster.log(1).read_text().splitlines() if line.startswith("{")]
    ran = [line["seconds"] for line in lines if line["event"] == "session finished"]
    return median(calls[2:]), median(ran[-runs:])


def rows(runs: int) -> list[str]:
    """Of the table."""
    found = ["| two processes | " + " | ".join(SIZES) + " |", "|---" * (len(SIZES) + 1) + "|"]
    for name, several in SEVERAL.items():
        with trial([OWNER], several=several) as cluster:
            times = [measured(cluster, body, size, runs) for body, size in SIZES.values()]
        cells = [f"{1000 * call:.0f} ms, run {1000 * ran:.0f}" for call, ran in times]
        found.append(f"| {name} | " + " | ".join(cells) + " |")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.hosts", description="Parties of one process and of two.")
    parser.add_argument("--runs", type=int, default=20)
    print("\n".join(rows(parser.parse_args(arguments).runs)))


if __name__ == "__main__":
    main()
