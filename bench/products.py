"""Seconds of exact ring products, by form: `python -m bench.products [--cores 1] [--k 64]`."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc.ring import product
from jmpc.ring.element import Ring

Array = Any
Case = tuple[str, int, Callable[..., Array], list[np.ndarray]]
MATRIX = (((1,), (0,)), ((), ()))
BATCHED = (((2,), (1,)), ((0,), (0,)))
ROUNDS, ROUND_S = 7, 0.02
NATIVE_LIMIT = 1 << 27  # multiplications; XLA's own loop takes seconds beyond
BYTES_LIMIT = 1 << 25


def words(rng: np.random.Generator, k: int, *shape: int) -> np.ndarray:
    return rng.integers(0, 1 << k, shape, dtype=Ring(k).dtype)


def dot_case(name: str, k: int, x: tuple[int, ...], y: tuple[int, ...], pairs: int = 1) -> Case:
    rng = np.random.default_rng(len(name))
    dims = MATRIX if len(x) == 2 else BATCHED
    operands = [words(rng, k, *shape) for _ in range(pairs) for shape in (x, y)]

    def run(form: str, *flat: Array) -> Array:
        return product.dot_sum(list(zip(flat[::2], flat[1::2], strict=True)), dims, k=k, form=form)

    return name, int(np.prod(x)) * y[-1] * pairs, run, operands


def conv_case(name: str, k: int, x: tuple[int, ...], y: tuple[int, ...], groups: int = 1) -> Case:
    rng = np.random.default_rng(len(name))
    numbers = lax.conv_dimension_numbers(x, y, ("NHWC", "HWIO", "NHWC"))
    params = {
        "window_strides": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dimension_numbers": numbers,
        "feature_group_count": groups,
        "batch_group_count": 1,
    }

    def run(form: str, a: Array, b: Array) -> Array:
        return product.conv_general_dilated(a, b, k=k, form=form, **params)

    places = (x[1] - y[0] + 1) * (x[2] - y[1] + 1)
    return name, x[0] * places * int(np.prod(y)), run, [words(rng, k, *x), words(rng, k, *y)]


def cases(k: int) -> list[Case]:
    squares = [dot_case(f"dot {n}x{n}x{n}", k, (n, n), (n, n)) for n in (64, 256, 512, 1024)]
    sums = [dot_case(f"sum of two {n}x{n}x{n}", k, (n, n), (n, n), pairs=2) for n in (256, 512)]
    return [
        *squares,
        *sums,
        dot_case("dot 1x784x128", k, (1, 784), (784, 128)),
        dot_case("dot 8x784x128", k, (8, 784), (784, 128)),
        dot_case("dot 128x784x128", k, (128, 784), (784, 128)),
        dot_case("dot 128x128x10", k, (128, 128), (128, 10)),
        dot_case("dot 12x(32x64x32)", k, (12, 32, 64), (12, 64, 32)),
        conv_case("conv 1x28x28x1 5x5x20", k, (1, 28, 28, 1), (5, 5, 1, 20)),
        conv_case("conv 16x28x28x1 5x5x20", k, (16, 28, 28, 1), (5, 5, 1, 20)),
        conv_case("conv 1x12x12x20 5x5x50", k, (1, 12, 12, 20), (5, 5, 20, 50)),
        conv_case("conv 16x12x12x20 5x5x50", k, (16, 12, 12, 20), (5, 5, 20, 50)),
        conv_case("conv 4x30x30x32 3x3x32, 4 groups", k, (4, 30, 30, 32), (3, 3, 8, 32), groups=4),
        conv_case("conv 4x30x30x32 3x3x32, 32 groups", k, (4, 30, 30, 32), (3, 3, 1, 32), groups=32),
    ]


def seconds(compiled: Callable[..., Array], operands: list[Array]) -> tuple[float, float]:
    """The least wall and CPU seconds a call over the rounds."""
    jax.block_until_ready(compiled(*operands))
    start = time.perf_counter()
    jax.block_until_ready(compiled(*operands))
    calls = max(1, min(500, int(ROUND_S / (time.perf_counter() - start))))
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            jax.block_until_ready(compiled(*operands))
        walls.append((time.perf_counter() - wall) / calls)
        cpus.append((time.process_time() - cpu) / calls)
    return min(walls), min(cpus)


def measure(case: Case, forms: list[str]) -> str:
    name, work, run, operands = case
    cells = []
    for form in forms:
        if (form == "native" and work > NATIVE_LIMIT) or (form == "int8" and work > BYTES_LIMIT):
            cells.append(f"{'-':>17}")
            continue
        compiled = jax.jit(partial(run, form)).lower(*operands).compile()
        wall, cpu = seconds(compiled, [jax.device_put(a) for a in operands])
        cells.append(f"{wall * 1e3:8.3f} {cpu * 1e3:8.3f}")
    return f"{name:34}" + "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description="Milliseconds (wall, CPU) of exact ring products.")
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--cores", type=int, default=0, help="run on so many cores only (Linux)")
    parser.add_argument("--forms", nargs="+", default=["integer", "float64", "native"], choices=product.FORMS)
    args = parser.parse_args()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    print(f"{'k = ' + str(args.k):34}" + "  ".join(f"{form + ': wall  cpu':>17}" for form in args.forms))
    with jax.enable_x64(True):
        for case in cases(args.k):
            print(measure(case, args.forms), flush=True)


if __name__ == "__main__":
    main()
