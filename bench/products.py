"""Milliseconds of exact ring products, by form: `python -m bench.products [--k 64] [--cores 1] [--forms ...]`.

Measured 2026-11-22: 2 cores, AVX-512, jax 0.10.2, jaxlib 0.10.2, Python 3.11; other work on the machine, the least of
7 rounds. "sum of two" is what a party runs for a product of two secrets.

                                      k = 64, two cores                      one core          k = 32
                                      integer        float64        native   integer float64   integer float64
                                        wall    cpu    wall    cpu    wall     wall   wall       wall   wall
    dot 64x64x64                       0.076  0.130   0.165  0.200   0.146    0.034  0.099    0.102  0.075
    dot 256x256x256                    1.015  1.685   2.289  4.165    38.9    1.350  3.815    0.505  0.978
    dot 512x512x512                    6.387   11.9    27.2   42.1   382.2    9.327   38.1    5.969   11.4
    dot 1024x1024x1024                  89.9  148.4   160.7  307.0       -    141.5  280.5     46.8  104.0
    sum of two 256x256x256             4.239  7.295   6.720   11.6    82.7    2.198  7.990    1.049  3.340
    sum of two 512x512x512              22.2   40.2    49.7   88.6       -     19.5   78.0     12.1   13.6
    dot 1x784x128                      0.042  0.062   0.228  0.377   0.042    0.031  0.145    0.019  0.202
    dot 8x784x128                      0.102  0.134   0.253  0.439   0.826    0.080  0.263    0.253  0.241
    dot 128x784x128                    1.715  3.118   3.371  5.155    10.5    0.716  3.391    0.540  0.914
    dot 128x128x10                     0.225  0.299   0.119  0.119   0.091    0.043  0.096    0.120  0.095
    dot 12x(32x64x32)                  0.070  0.131   0.331  0.360   0.291    0.071  0.266    0.084  0.165
    conv 1x28x28x1 5x5x20              0.153  0.268   0.309  0.338   0.103    0.030  0.137    0.143  0.108
    conv 16x28x28x1 5x5x20             0.211  0.339   2.582  2.708   0.322    0.248  2.013    0.238  0.844
    conv 1x12x12x20 5x5x50             0.579  0.583   0.675  0.675   0.722    0.176  0.498    0.360  0.323
    conv 16x12x12x20 5x5x50            4.428  6.043   7.193   11.8    13.8    4.949  8.927    1.809  2.900
    conv 4x30x30x32 3x3x32, 4 groups   0.977  1.637   6.405   10.6   2.279    1.752  8.677    0.652  2.736
    conv 4x30x30x32 3x3x32, 32 groups  2.069  2.419   4.994  4.997    17.6    1.661  6.456    0.636  2.420

Measured for 64 bits and not taken. Limbs: six products instead of five in Karatsuba's way, CPU 7.6 against 5.9
(256x256x256); one batched product of all pairs of limbs, or limbs side by side, no faster. Float convolutions, not
patches: wall 7.5 against 5.3, CPU 7.9 against 10.3 (16x12x12x20 5x5x50, both in float64). With AVX2 only,
512x512x512 takes 32.9 CPU as integers and 30.8 in float64, so the forms are even there.
Compilation for 512x512x512: integer 0.4 s, float64 0.25 s, int8 1.5 s.
"""

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
