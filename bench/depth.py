"""What depth costs at compile time: 1 layer and 12 of the same, in turn, each in a process of its own without a cache.

    python -m bench.depth --runs 3 --markdown bench/DEPTH.md

What goes in: how often. What comes out: CPU seconds to lower and plan and to compile, the number of distinct compiled
steps, and the ratio of 12 layers to one. Layers: dense with ReLU (64 wide), and transformer blocks (48 wide, 12 heads,
sequence 16; the block of models.py), one after the other in Python or under `lax.scan`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import jmpc
from bench.machine import facts
from bench.models import gpt2_block
from jmpc.executors.segment import groups

DEEP = 12
WIDTH, STEPS = 48, 16
Layer = Callable[..., Any]


def dense(x: Any, w: Any, b: Any) -> Any:
    return jnp.maximum(x @ w + b, 0.0)


DENSE = ((64, 64), (64,))
BLOCK = (
    (WIDTH,), (WIDTH,), (WIDTH, 3 * WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,),
    (WIDTH,), (WIDTH,), (WIDTH, 4 * WIDTH), (4 * WIDTH,), (4 * WIDTH, WIDTH), (WIDTH,),
)  # fmt: skip
CASES: dict[str, tuple[Layer, tuple[int, ...], tuple[tuple[int, ...], ...], bool]] = {
    "dense, unrolled": (dense, (32, 64), DENSE, False),
    "transformer, unrolled": (gpt2_block, (STEPS, WIDTH), BLOCK, False),
    "transformer, by scan": (gpt2_block, (STEPS, WIDTH), BLOCK, True),
}


def stack(layer: Layer, scanned: bool) -> Callable[..., Any]:
    """All layers: of weights with a leading axis under scan, of a list of them unrolled."""

    def by_scan(x: Any, weights: Any) -> Any:
        return lax.scan(lambda x, w: (layer(x, *w), None), x, weights)[0]

    def unrolled(x: Any, weights: Any) -> Any:
        for w in weights:
            x = layer(x, *w)
        return x

    return by_scan if scanned else unrolled


def arguments(case: str, depth: int) -> tuple[Any, Any]:
    _, x, shapes, scanned = CASES[case]
    lead = (depth,) if scanned else ()
    weights = tuple(jax.ShapeDtypeStruct((*lead, *s), "float32") for s in shapes)
    return jax.ShapeDtypeStruct(x, "float32"), weights if scanned else [weights] * depth


def measure(case: str, depth: int) -> dict[str, float]:
    """CPU seconds of this process, after the first compile, which costs any process the same."""
    jmpc.secure(lambda x: x * x).lower(jax.ShapeDtypeStruct((3,), "float32")).compile()
    layer, *_, scanned = CASES[case]
    start = time.process_time()
    lowered = jmpc.secure(stack(layer, scanned)).lower(*arguments(case, depth))
    plans = lowered.flow.plans
    planned = time.process_time()
    lowered.compile()
    distinct = {tuple(s.key for s in group if s) for group in groups(plans) if any(group)}
    return {"plan": planned - start, "compile": time.process_time() - planned, "distinct": len(distinct)}


def run(case: str, depth: int) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, "-m", "bench.depth", "--one", case, str(depth)]
    environment = {**os.environ, "JMPC_CACHE_DIR": ""}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def table(runs: int) -> str:
    lines = [
        "# Compile time by depth\n",
        f"`python -m bench.depth --runs {runs}`: CPU seconds, medians; each run in a process without a cache.\n",
        *(f"- {name}: {fact}" for name, fact in facts(Path(__file__).parents[1]).items()),
        "",
        f"| layers | plan s, 1 / {DEEP} | compile s, 1 / {DEEP} | compiled steps, 1 / {DEEP} | ratio of the sums |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for case in CASES:
        found = [(run(case, 1), run(case, DEEP)) for _ in range(runs)]
        one, many = ({k: statistics.median(pair[n][k] for pair in found) for k in found[0][0]} for n in (0, 1))
        ratio = (many["plan"] + many["compile"]) / (one["plan"] + one["compile"])
        cells = [f"{one[k]:.2f} / {many[k]:.2f}" for k in ("plan", "compile")]
        steps = f"{one['distinct']:.0f} / {many['distinct']:.0f}"
        lines.append(f"| {case} | {cells[0]} | {cells[1]} | {steps} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.depth", description="Compile time by depth.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "DEPTH"), help="measure one case in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    page = table(options.runs)
    print(page)
    if options.markdown:
        options.markdown.write_text(page)


if __name__ == "__main__":
    main()
