"""Numbers that no party knows: what jmpc.random draws, by its first two moments; the cost is that of 64 numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import jmpc
from tests.operations.entry import Entry

SIZE = 64
SPREAD_16 = 2.0**16 / np.sqrt(12)


LOGITS = np.log(np.array([0.2, 0.3, 0.5], np.float32))


@dataclass(frozen=True)
class Moments:
    """mean, deviation: of the distribution asked for."""

    draw: Callable[[tuple[int, ...]], Any]
    mean: float
    deviation: float


def drawn(name: str, domain: str, draw: Callable[[tuple[int, ...]], Any], error: float = 0.0) -> Entry:
    x = np.zeros(SIZE, np.float32)
    return Entry(name, "Randomness", lambda x: draw(x.shape), lambda: (x,), domain, error)


DRAWS = {
    "bits": Moments(lambda shape: jmpc.random.bits(shape, np.uint16), (2.0**16 - 1) / 2, SPREAD_16),
    "uniform": Moments(lambda shape: jmpc.random.uniform(shape), 0.5, 1 / np.sqrt(12)),
    "bernoulli": Moments(lambda shape: jmpc.random.bernoulli(0.3, shape), 0.3, np.sqrt(0.21)),
    "binomial": Moments(lambda shape: jmpc.random.binomial(20, 0.3, shape), 6.0, np.sqrt(20 * 0.21)),
    "normal": Moments(lambda shape: jmpc.random.normal(shape), 0.0, 1.0),
    "discrete_gaussian": Moments(lambda shape: jmpc.random.discrete_gaussian(3.0, shape), 0.0, 3.0),
    "exponential": Moments(lambda shape: jmpc.random.exponential(shape), 1.0, 1.0),
    "laplace": Moments(lambda shape: jmpc.random.laplace(shape), 0.0, np.sqrt(2)),
    "gumbel": Moments(lambda shape: jmpc.random.gumbel(shape), np.euler_gamma, np.pi / np.sqrt(6)),
    "categorical": Moments(lambda shape: jmpc.random.categorical(jmpc.public(LOGITS), shape=shape), 1.3, np.sqrt(0.61)),
    "permutation": Moments(lambda shape: jmpc.random.permutation(shape[0]) / shape[0], 0.5, 1 / np.sqrt(12)),
}
SAID = {
    "bits": ("an integer dtype (here uint16)", 0.0),
    "uniform": ("[low, high), which may be secret; multiples of 2^-f", 2.0**-18),
    "bernoulli": ("p in [0, 1], which may be secret (then right to 2^-f)", 2.0**-32),
    "binomial": ("n in 1 to 4096, public p (here 20, 0.3)", 20 * 2.0**-32),
    "normal": ("nothing beyond 16.1", 5e-4),
    "discrete_gaussian": ("public scale in (0, 32] (here 3)", 2.0**-36),
    "exponential": ("multiples of 2^-f; nothing from 32 on", 2.0**-28),
    "laplace": ("multiples of 2^-f, as the discrete distribution on them; nothing from 32 on", 2.0**-27),
    "gumbel": ("between -3.5 and 22.9", 2e-5),
    "categorical": ("logits, which may be secret (here 3 public ones)", 4e-5),
    "permutation": ("any arrays, which may be secret (here the numbers below 64)", 0.0),
}
ENTRIES = tuple(drawn(f"jmpc.random.{name}", domain, DRAWS[name].draw, error) for name, (domain, error) in SAID.items())
