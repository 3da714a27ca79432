"""Products of secret numbers of every size: each is rounded to a number beside it, and on average to itself.

What goes in: how many, a seed. What comes out: for each protocol of truncation how many were tried and how far their
mean is from the product, in units of the last place; and every product that became another number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

import jmpc
from jmpc.config import Config

BATCH = 1 << 20
F = Config().f
BITS = Config().k - 3  # of a product, as the verifier allows
SMALL = 10  # bits after the point of factors whose product is small enough for the protocol that may err
MOST_BIAS = 0.02


@dataclass
class Counts:
    products: int = 0
    bias: dict[str, float] = field(default_factory=dict[str, float])  # by protocol
    wrong: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Case:
    """bits: of the largest factor, as the ring has it: so few that a wrong result is a fault. A protocol that may err
    does so in one batch of 2^28."""

    protocol: str
    function: Callable[[Any, Any], Any]
    bits: int
    config: Config


CASES = (
    Case("truncate_wrap", lambda x, y: x * y, (Config().k - 3) // 2, Config()),
    Case(
        "truncate_local",
        lambda x, y: jmpc.bounded(x, 2.0**-SMALL) * jmpc.bounded(y, 2.0**-SMALL),
        F - SMALL,
        Config(failure_bits=24),
    ),
)


def _factors(bits: int, draw: np.random.Generator) -> np.ndarray:
    """As often of one size as of another, of both signs."""
    size = 2.0 ** draw.uniform(0, bits, BATCH)
    return (size * draw.choice((-1, 1), BATCH)).astype(np.int64)


def one(case: Case, count: int, draw: np.random.Generator, counts: Counts) -> float:
    """The mean distance of results from products, in units of the last place."""
    compute = jmpc.secure(case.function, config=case.config)
    total, done = 0.0, 0
    while done < count:
        x, y = _factors(case.bits, draw), _factors(case.bits, draw)
        if not done:
            text = compute.lower(x / 2.0**F, y / 2.0**F).as_text("share")
            assert f"= {case.protocol} " in text, text
        found = np.asarray(compute(x / 2.0**F, y / 2.0**F))
        assert found.dtype == np.float64
        ulps, product = np.rint(found * 2.0**F).astype(np.int64), x * y
        below = product >> F
        for n in np.flatnonzero((ulps != below) & ((ulps != below + 1) | (product == below << F)))[:10]:
            counts.wrong.append(f"{case.protocol}: {x[n]} * {y[n]} gave {ulps[n]}")
        rest = (product - (below << F)) / 2.0**F
        total += float(((ulps - below) - rest).sum())
        done += BATCH
    counts.products += done
    return total / done


def run(count: int, seed: int = 0) -> Counts:
    """So many products by each protocol, or a few more."""
    counts = Counts()
    with jax.enable_x64(True):
        for case in CASES:
            bias = counts.bias[case.protocol] = one(case, count, np.random.default_rng(seed), counts)
            # Seven standard deviations of a uniform dither.
            if abs(bias) > min(MOST_BIAS, 3 / (count**0.5)):
                counts.wrong.append(f"{case.protocol}: the mean is {bias} units beside the product")
    return counts
